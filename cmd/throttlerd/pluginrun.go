package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/runtime/config"
	"github.com/throttlerd/throttlerd/runtime/daemon"
	"github.com/throttlerd/throttlerd/runtime/pluginhost"
)

// oneRun is a task as the flags say it.
type oneRun struct {
	payload, config, file, handler string
	kind, key, level               string
	headers                        []string
	timeout                        time.Duration
	asJSON, plain                  bool
}

func pluginRunCommand() *cobra.Command {
	var r oneRun
	c := &cobra.Command{
		Use:   "run [BINARY]",
		Short: "Run one task in a plugin, without Redis, and show what came of it",
		Long: "Starts a plugin, hands it one task and ends it. Its log goes to stderr, outcome, result\n" +
			"and time to stdout. Exit code 1 unless the task is done, 7 when the plugin does not start\n" +
			"or refuses its config.\n\n" +
			"BINARY is a path, or the bare name of a file in plugin_dir. With --handler the binary,\n" +
			"its config block and all else come from that handler of the configuration.",
		Example: "  throttlerd plugin run ./bin/hello --payload '{\"name\":\"world\"}'\n" +
			"  throttlerd plugin run webhook --config '{\"url\":\"https://example.com\"}' --payload @body.json\n" +
			"  throttlerd plugin run --handler mail -c config.hcl --type email --payload -",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case (len(args) == 1) == (r.handler != ""):
				return &usageError{errors.New("give a BINARY, or --handler to take one from the configuration")}
			case r.file != "" && r.handler == "":
				return &usageError{errors.New("-c says where --handler is to be found; which one is it?")}
			case r.config != "" && r.handler != "":
				return &usageError{errors.New("--config and --handler exclude each other: the handler has its config block")}
			}
			return r.run(c, args)
		},
	}
	f := c.Flags()
	f.StringVar(&r.payload, "payload", "{}", "the payload; @FILE reads a file, - stdin")
	f.StringVar(&r.config, "config", "", "the config block as a JSON object")
	f.StringVarP(&r.file, "config-file", "c", "", "configuration that has the --handler (THROTTLE_CONFIG, ./config.hcl)")
	f.StringVar(&r.handler, "handler", "", "run the plugin of this handler as the configuration says")
	f.StringVar(&r.kind, "type", "", "type of the task")
	f.StringVar(&r.key, "key", "", "key of the task")
	f.StringArrayVar(&r.headers, "header", nil, "header of the task, name=value; repeatable")
	f.DurationVar(&r.timeout, "timeout", 30*time.Second, "how long the task may take")
	f.StringVar(&r.level, "log-level", "info", "trace, debug, info, warn, error or off")
	f.BoolVar(&r.asJSON, "json", false, "one JSON object")
	f.BoolVar(&r.plain, "no-mtls", false, "as mtls = false of a handler: for a plugin that cannot make certificates")
	return c
}

var errInterrupted = errors.New("interrupted; the plugin has been ended")

func (r *oneRun) run(c *cobra.Command, args []string) error {
	task, err := r.task(c.InOrStdin())
	if err != nil {
		return err
	}
	log, err := newLog(c.ErrOrStderr(), config.Log{}, r.level)
	if err != nil {
		return err
	}
	spec, cfg, err := r.spec(c, args)
	if err != nil {
		return err
	}
	spec.Log = log
	stopped, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer release()
	ctx, cancel := context.WithTimeout(stopped, time.Minute)
	defer cancel()
	var once collector
	once.done = make(chan struct{})
	p, err := pluginhost.Start(ctx, spec, pluginhost.Sink{Results: once.results, Progress: once.told})
	if stopped.Err() != nil && err != nil {
		return errInterrupted
	}
	if err != nil {
		if cfg != nil {
			return show(c, daemon.StartDiagnostics(cfg, r.handler, err))
		}
		return &fileError{err}
	}
	task.Deadline = time.Now().Add(r.timeout)
	task.SubmittedAt, task.GrantedAt = time.Now(), time.Now()
	p.Send([]pluginhost.Sending{{Task: task}})
	const grace = 5 * time.Second // as a worker gives
	overdue := time.AfterFunc(r.timeout+grace, p.Kill)
	select {
	case <-once.done:
	case <-p.Done():
	case <-stopped.Done():
		p.Kill()
		<-p.Done() // so that nothing of it stays
		return errInterrupted
	}
	overdue.Stop()
	leave, stop := context.WithTimeout(context.Background(), grace)
	defer stop()
	p.Stop(leave) // its last log lines come before what is printed
	return once.print(c, p, r)
}

// spec is what is run, with the configuration that it comes from, if it does.
func (r *oneRun) spec(c *cobra.Command, args []string) (pluginhost.Spec, *config.Config, error) {
	if r.handler == "" {
		path, err := findPlugin(args[0])
		return pluginhost.Spec{Handler: filepath.Base(path), Path: path, MTLS: !r.plain, Config: []byte(r.config)}, nil, err
	}
	cfg, err := loadConfig(c, r.file)
	if err != nil {
		return pluginhost.Spec{}, nil, err
	}
	if _, ok := cfg.Handler(r.handler); !ok {
		var names []string
		for _, h := range cfg.Handlers {
			names = append(names, h.Name)
		}
		return pluginhost.Spec{}, nil, &fileError{fmt.Errorf("no handler %q in the configuration; it has %s", r.handler, strings.Join(names, ", "))}
	}
	return daemon.Handlers(cfg, "")[r.handler].Plugin, cfg, nil
}

func (r *oneRun) task(stdin io.Reader) (*pluginapi.Task, error) {
	payload, err := readPayload(r.payload, stdin)
	if err != nil {
		return nil, err
	}
	t := &pluginapi.Task{ID: "try", Queue: "try", Type: r.kind, Key: r.key, Attempt: 1, MaxAttempts: 1, Fence: 1, Payload: payload}
	for _, h := range r.headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok || name == "" {
			return nil, &usageError{fmt.Errorf("--header %q: must be name=value", h)}
		}
		if t.Headers == nil {
			t.Headers = make(map[string]string)
		}
		t.Headers[name] = value
	}
	if r.timeout <= 0 {
		return nil, &usageError{fmt.Errorf("--timeout %s: must be more than 0", r.timeout)}
	}
	return t, nil
}

func readPayload(text string, stdin io.Reader) ([]byte, error) {
	if text == "-" {
		return io.ReadAll(stdin)
	}
	if name, ok := strings.CutPrefix(text, "@"); ok {
		payload, err := os.ReadFile(name)
		return payload, asFile(err)
	}
	return []byte(text), nil
}

// collector takes what comes of the one task.
type collector struct {
	done chan struct{} // closed with the result

	mu       sync.Mutex
	result   *pluginapi.Result
	progress []pluginapi.Progress
}

func (o *collector) results(list []pluginapi.Result) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.result == nil {
		r := list[0]
		o.result = &r
		close(o.done)
	}
}

func (o *collector) told(list []pluginapi.Progress) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.progress = append(o.progress, list...)
}

func (o *collector) print(c *cobra.Command, p *pluginhost.Process, r *oneRun) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.result == nil {
		if err := p.Err(); err != nil {
			return err
		}
		return errors.New("the plugin left without a result")
	}
	failed := error(nil)
	if o.result.Outcome != pluginapi.Done {
		failed = &shownError{errors.New(o.result.Err), 1}
	}
	if r.asJSON {
		return errors.Join(printJSON(c, viewRun(*o.result, o.progress)), failed)
	}
	w := c.OutOrStdout()
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%-9s %s\n", name, value)
		}
	}
	row("outcome", o.result.Outcome.String())
	if o.result.Delay > 0 {
		row("delay", o.result.Delay.String())
	}
	row("limit", o.result.Limit)
	row("took", o.result.Took.Round(time.Microsecond).String())
	for _, x := range o.progress {
		row("progress", strings.TrimSpace(fmt.Sprintf("%d %% %s", x.Percent, x.Note)))
	}
	for _, x := range o.result.Reports {
		row("report", fmt.Sprintf("limit %s has %d left", x.Limit, x.Remaining))
	}
	for limit, tokens := range o.result.Actual {
		row("cost", fmt.Sprintf("%d of limit %s", tokens, limit))
	}
	row("error", o.result.Err)
	row("result", string(o.result.Result))
	if o.result.Truncated {
		row("", "(the result was longer and has been cut)")
	}
	return failed
}
