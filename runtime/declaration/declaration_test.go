package declaration

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/runtime/config"
	"github.com/throttlerd/throttlerd/scheduler"
)

// load loads a configuration; nil when there are mistakes in it.
func load(t *testing.T, src string) (*config.Config, config.Diagnostics) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.hcl")
	if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Load(path, config.Options{SkipPlugins: true, LookupEnv: func(string) (string, bool) { return "", false }})
}

func mustLoad(t *testing.T, src string) *config.Config {
	t.Helper()
	c, diags := load(t, src)
	if diags.Len() > 0 {
		t.Fatal(diags)
	}
	return c
}

const everything = `
owner = "team-a"
handler "echo" {}
limit "github" {
  rate        = ["5000/1h:50", "100/1m:20"]
  concurrency = 20
  debt_max    = 10
}
limit "places" { concurrency = 3 }
queue "calls" {
  pool         = "fast"
  rate         = ["10/1s", "300/15m:20"]
  concurrency  = 8
  debt_max     = 1
  limits       = ["places", "github"]
  timeout      = "1m"
  history      = 7
  paused       = true
  max_length   = 9
  expire_after = "2h"
  retry {
    max_attempts = 3
    min          = "2s"
    max          = "3s"
    jitter       = 0.25
  }
  key {
    rate        = "5/1s"
    concurrency = 2
    weight      = 3
  }
  exception "acme" {
    rate   = "50/1s"
    weight = 4
  }
  exception "free" {
    rate        = "unlimited"
    concurrency = 0
  }
}
queue "plain" {}
queue "turns" {
  key {}
}
`

func TestOf(t *testing.T) {
	rates := func(s string) ratelimit.Rates {
		rs, err := ratelimit.ParseRates(s)
		if err != nil {
			t.Fatal(err)
		}
		return rs
	}
	fast, none := rates("50/1s"), ratelimit.Rates(nil)
	four, noCap := 4, 0
	plain := scheduler.DefaultQueue("echo")
	turns := plain
	turns.Key = &scheduler.KeySpec{Weight: 1}
	want := scheduler.Declaration{
		Owner: "team-a",
		Limits: map[string]scheduler.LimitSpec{
			"github": {Rates: rates("5000/1h:50, 100/1m:20"), Concurrency: 20, DebtMax: 10},
			"places": {Concurrency: 3},
		},
		Queues: map[string]scheduler.QueueSpec{
			"plain": plain,
			"turns": turns,
			"calls": {
				Handler: "echo", Pool: "fast", Limits: []string{"places", "github"},
				LimitSpec: scheduler.LimitSpec{Rates: rates("10/1s, 300/15m:20"), Concurrency: 8, DebtMax: 1},
				Key:       &scheduler.KeySpec{Rates: rates("5/1s"), Concurrency: 2, Weight: 3},
				Exceptions: map[string]scheduler.KeyRule{
					"acme": {Rates: &fast, Weight: &four},
					"free": {Rates: &none, Concurrency: &noCap},
				},
				Timeout: time.Minute, History: 7, Paused: true, MaxLength: 9, ExpireAfter: 2 * time.Hour,
				Retry: scheduler.Retry{MaxAttempts: 3, Min: 2 * time.Second, Max: 3 * time.Second, Jitter: 0.25},
			},
		},
	}
	if got := Of(mustLoad(t, everything)); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

// FuzzOf: what the language lets through, the scheduler takes.
func FuzzOf(f *testing.F) {
	f.Add(everything)
	f.Fuzz(func(t *testing.T, src string) {
		c, diags := load(t, src)
		if diags.HasErrors() {
			return
		}
		d := Of(c)
		for name, spec := range d.Queues {
			if err := spec.Validate(); err != nil {
				t.Errorf("queue %q: %v", name, err)
			}
		}
		for name, spec := range d.Limits {
			q := scheduler.DefaultQueue("echo") // its own limit obeys the same rules
			q.LimitSpec = spec
			if err := q.Validate(); err != nil {
				t.Errorf("limit %q: %v", name, err)
			}
		}
	})
}
