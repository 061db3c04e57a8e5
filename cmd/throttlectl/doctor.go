package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/runtime/config"
	"github.com/throttlerd/throttlerd/scheduler"
)

// Of more than so many, by name, the doctor looks at the first.
const (
	mostQueues = 10_000
	mostLimits = 1_000
)

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check Redis, the configuration, the workers and what waits for nobody",
		Long: fmt.Sprintf(`Checks what keeps tasks from being safe or from starting, a line each: ok, warn or fail,
what was looked at, what was found, and what would be right. What Redis refuses to tell is
said so. It changes nothing. Exit code 1 when something failed, 5 when Redis does not answer,
7 when the file is bad.

config, declared: the file is good, and Redis has what it declares (-c, THROTTLE_CONFIG or
./config.hcl). redis, version, role, appendonly, maxmemory-policy, clock, scripts: the
server, seen from here. workers, config-hash, handlers: who is there, with what. served,
held, never, frozen, limits, dead: tasks that wait for nobody, and why. Of more than
%s queues or %s limits the first by name are looked at.`, count(mostQueues), count(mostLimits)),
		Example: `  throttlectl doctor
  throttlectl doctor -c config.hcl
  throttlectl doctor --json | jq '.[] | select(.status == "fail")'`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.examine() },
	}
}

// finding is what one check found, in JSON too.
type finding struct {
	Status string  `json:"status"` // "ok", "warn" or "fail"
	Check  string  `json:"check"`
	Found  string  `json:"found"`
	Right  *string `json:"right"` // what would be right, or what to type; null where nothing is wrong or it passes by itself
}

// doctor collects what it finds.
type doctor struct {
	a        *app
	s        *session
	cfg      *config.Config
	file     string // "" for none
	findings []finding
	stopped  error // what kept it from looking further
}

// unwellError makes scripts see that a check failed.
type unwellError struct {
	checks  []string
	stopped error
}

func (e *unwellError) Unwrap() error { return e.stopped }

func (e *unwellError) Error() string {
	return fmt.Sprintf("%s failed: %s", plural(int64(len(e.checks)), "check"), strings.Join(e.checks, ", "))
}

func (a *app) examine() error {
	d := &doctor{a: a}
	if err := d.look(); err != nil {
		return err
	}
	if a.json {
		if err := a.printJSON(d.findings); err != nil {
			return err
		}
	} else {
		rows := make([][]string, len(d.findings))
		for i, f := range d.findings {
			rows[i] = []string{f.Status, f.Check, f.text()}
		}
		a.table(nil, rows)
	}
	var failed []string
	for _, f := range d.findings {
		if f.Status == "fail" && (len(failed) == 0 || failed[len(failed)-1] != f.Check) {
			failed = append(failed, f.Check)
		}
	}
	if len(failed) > 0 {
		return &unwellError{failed, d.stopped}
	}
	return nil
}

func (f finding) text() string {
	if f.Right == nil {
		return f.Found
	}
	return f.Found + "; " + *f.Right
}

func (d *doctor) add(status, check, found, right string) {
	d.findings = append(d.findings, finding{status, check, found, optional(right)})
}

func (d *doctor) ok(check, format string, args ...any) {
	d.add("ok", check, fmt.Sprintf(format, args...), "")
}

// all adds what a check found wrong, or says that all is well.
func (d *doctor) all(check string, wrong []finding, format string, args ...any) {
	for _, f := range wrong {
		d.add(f.Status, check, f.Found, deref(f.Right))
	}
	if len(wrong) == 0 {
		d.ok(check, format, args...)
	}
}

// blind says that these checks could not be made, for want of a command or of an answer.
func (d *doctor) blind(err error, command string, checks ...string) {
	status, right := "warn", "grant "+command+" to the user in the ACL of Redis"
	var away *scheduler.UnreachableError
	if errors.As(err, &away) {
		status, right = "fail", "see whether Redis and the way to it are overloaded; --timeout gives it longer"
		err = errors.New(cause(err))
	}
	for _, check := range checks {
		d.add(status, check, "could not look: "+err.Error(), right)
	}
}

// look makes all checks; those that stand on another are left out when that fails.
func (d *doctor) look() error {
	cfg, err := d.a.settings()
	var mistakes config.Diagnostics
	switch {
	case errors.As(err, &mistakes):
		d.add("fail", "config", strings.TrimSuffix(mistakes.Error(), "."), "throttlerd validate shows it with its line; nothing else was looked at, since the file says where")
		d.stopped = err
		return nil
	case err != nil:
		return err
	}
	d.cfg = cfg
	d.file, _ = config.Path(d.a.configPath, nil)
	if _, err := os.Stat(d.file); err != nil {
		d.file = ""
	}
	if d.file == "" {
		d.ok("config", "no file; with -c FILE, Redis is compared with what it declares")
	} else {
		d.ok("config", "%s declares %s, %s and %s", d.file, plural(int64(len(cfg.Handlers)), "handler"), plural(int64(len(cfg.Limits)), "limit"), plural(int64(len(cfg.Queues)), "queue"))
	}
	return d.a.dialed(cfg, func(s *session) error {
		d.s = s
		if err := s.wait(cfg.Redis.Where()); err != nil && !refused(err) {
			d.add("fail", "redis", err.Error(), "")
			d.stopped = err
			return nil
		}
		s.restart() // a Redis that was loading its data has had its time
		if now, ok := d.server(); ok {
			d.fleet(now)
		} else {
			d.all("queues", wrong("warn", "see scripts", "could not look at queues, limits and workers: scripts read them"), "")
		}
		return nil
	})
}

// refused tells an answer of Redis that it does not let this user do that.
func refused(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply) && strings.HasPrefix(reply.Error(), "NOPERM")
}
