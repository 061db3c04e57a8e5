package config_test

import (
	"bytes"
	"os"
	"regexp"
	"testing"

	"github.com/throttlerd/throttlerd/runtime/config"
)

const example = "../../config.hcl.example"

func TestExampleFileLoads(t *testing.T) {
	c, diags := config.Load(example, config.Options{
		SkipPlugins: true,
		LookupEnv:   func(string) (string, bool) { return "", false },
	})
	if diags.Len() > 0 {
		var b bytes.Buffer
		_ = diags.Write(&b, 80, false)
		t.Fatalf("%s", b.String())
	}
	// What it calls defaults are the defaults.
	d := config.Default()
	d.Limits, d.Handlers, d.Queues = c.Limits, c.Handlers, c.Queues
	if c.Hash() != d.Hash() {
		t.Error("the example shows other values than the defaults at its top")
	}
	if q, _ := c.Queue("deploys"); q.Retry != config.NewQueue("", "").Retry || q.DebtMax != 0 || c.Limits[0].DebtMax != 0 {
		t.Errorf("the example shows another retry or debt_max than the default: %+v", q)
	}
	if q, _ := c.Queue("calls"); q.Key.Weight != config.NewKey().Weight {
		t.Errorf("the example shows another weight than the default: %+v", q.Key)
	}
}

func TestExampleFileIsFormatted(t *testing.T) {
	src, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	got, diags := config.Format(example, src)
	if diags.Len() > 0 || !bytes.Equal(got, src) {
		t.Errorf("not formatted (%v); want:\n%s", diags, got)
	}
}

// Every setting of the language is shown, if only in a comment.
func TestExampleFileShowsEverySetting(t *testing.T) {
	src, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range config.Settings() {
		if !regexp.MustCompile(`(?m)^[# ]*` + name + `\b.*[={]`).Match(src) {
			t.Errorf("%s is not shown", name)
		}
	}
}
