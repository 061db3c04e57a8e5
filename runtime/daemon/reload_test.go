package daemon

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/throttlerd/throttlerd/runtime/config"
)

func mustLoad(t *testing.T, src string) *config.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.hcl")
	if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	c, diags := config.Load(path, config.Options{SkipPlugins: true, LookupEnv: func(string) (string, bool) { return "", false }})
	if diags.Len() > 0 {
		t.Fatal(diags)
	}
	return c
}

const declared = `
owner = "team-a"
handler "echo" {}
limit "github" { rate = "5000/1h:50" }
queue "calls" {
  rate   = "10/1s"
  limits = ["github"]
  key {}
}
`

// A reload applies what differs in queues and limits; the rest needs a restart.
func TestSameWorker(t *testing.T) {
	old := mustLoad(t, declared)
	one := "handler \"echo\" {\n}\n"
	for block, same := range map[string]bool{
		`env = { A = "1" }`: true, `args = ["-v"]`: true, `config { sleep = "1s" }`: true, `plugin = "webhook"`: true,
		`instances = 2`: false, `concurrency = 3`: false, `max_crashes = 9`: false, "}\nhandler \"new\" {": false,
	} {
		if got := sameWorker(mustLoad(t, one), mustLoad(t, "handler \"echo\" {\n"+block+"\n}\n")); got != same {
			t.Errorf("%v for %q", got, block)
		}
	}
	for src, same := range map[string]bool{
		declared: true,
		declared + `limit "new" { rate = "1/1s" }`:       true,
		declared + `queue "new" { limits = ["github"] }`: true,
		declared + `lease = "2s"`:                        false,
		declared + `concurrency = 12`:                    false,
		declared + `plugin_dir = "elsewhere"`:            true,
	} {
		if got := sameWorker(old, mustLoad(t, src)); got != same {
			t.Errorf("%v for %q", got, src[len(declared):])
		}
	}
}
