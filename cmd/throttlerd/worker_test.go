package main

import (
	"slices"
	"testing"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/internal/environ"
)

// Flag before environment before file.
func TestWorkerFlags(t *testing.T) {
	t.Parallel()
	env := map[string]string{environ.Pool: "api,batch", environ.Concurrency: "9", environ.LogLevel: "debug"}
	for _, c := range []struct {
		name string
		args []string
		env  map[string]string
		want workerFlags
		bad  string // what the error says
	}{
		{"nothing is said", nil, nil, workerFlags{}, ""},
		{"the environment", nil, env, workerFlags{pools: []string{"api", "batch"}, concurrency: 9, level: "debug"}, ""},
		{"flags", []string{"--pool", "*", "--concurrency", "7", "--log-level", "warn"}, env, workerFlags{pools: []string{"*"}, concurrency: 7, level: "warn"}, ""},
		{"queues instead of the environment's pools", []string{"--queue", "q"}, env, workerFlags{queues: []string{"q"}, concurrency: 9, level: "debug"}, ""},
		{"empty is unset", nil, map[string]string{environ.Pool: "", environ.Concurrency: ""}, workerFlags{}, ""},
		{"a bad pool of the environment", nil, map[string]string{environ.Pool: "api, batch"}, workerFlags{}, `THROTTLE_POOL: pool " batch" is not a name: 1 to 64 of a-z 0-9 _ . - and a letter or digit first`},
		{"a bad number in the environment", nil, map[string]string{environ.Concurrency: "many"}, workerFlags{}, "THROTTLE_CONCURRENCY many: must be a whole number, at least 1"},
		{"a bad number", []string{"--concurrency", "0"}, env, workerFlags{}, "--concurrency 0: must be a whole number, at least 1"},
		{"a bad queue", []string{"--queue", "Q"}, nil, workerFlags{}, `--queue: queue "Q" is not a name: 1 to 64 of a-z 0-9 _ . - and a letter or digit first`},
		{"pools and queues", []string{"--queue", "q", "--pool", "p"}, nil, workerFlags{}, "--pool and --queue exclude each other: a queue is served whatever its pool"},
	} {
		var w workerFlags
		cmd := &cobra.Command{}
		w.register(cmd)
		if err := cmd.ParseFlags(c.args); err != nil {
			t.Fatal(err)
		}
		err := w.complete(cmd, func(name string) (string, bool) { v, ok := c.env[name]; return v, ok })
		if c.bad != "" {
			if err == nil || err.Error() != c.bad {
				t.Errorf("%s: %v, want %s", c.name, err, c.bad)
			}
			continue
		}
		if err != nil || !slices.Equal(w.pools, c.want.pools) || !slices.Equal(w.queues, c.want.queues) || w.concurrency != c.want.concurrency || w.level != c.want.level {
			t.Errorf("%s: %+v, %v", c.name, w, err)
		}
	}
}
