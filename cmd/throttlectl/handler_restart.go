package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/scheduler"
)

// restartLook is how often a command that waits looks whether workers have answered,
// which they do within a second of being through.
const restartLook = 100 * time.Millisecond

func (a *app) handlerRestartCommand() *cobra.Command {
	var only string
	c := &cobra.Command{
		Use:   "restart NAME",
		Short: "Replace the processes of a handler's plugin, without a pause",
		Long: `Has each worker start new processes of the handler's plugin, from the binary that is in
its plugin_dir now. When all of them are ready they take the new tasks; the old ones finish
theirs and leave. Where a new one does not come up, nothing is changed, and the command
fails with its error. A plugin that is failing is started at once.

Settings of the handler are those that the worker has; SIGHUP makes it read its files.`,
		Example: `  throttlectl handler restart webhook
  throttlectl handler restart webhook --worker web-1 --timeout 1m`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.connected(func(s *session) error { return s.restartHandler(args[0], only) })
		},
	}
	c.Flags().StringVar(&only, "worker", "", "only on the worker of this `id`, or whose id begins so")
	return c
}

// restartView is what came of a restart on one worker, in JSON.
type restartView struct {
	Worker    string  `json:"worker"`
	Restarted bool    `json:"restarted"`
	Error     *string `json:"error"`
}

func (s *session) restartHandler(name, only string) error {
	asked, err := s.restartable(name, only)
	if err != nil {
		return err
	}
	request := rand.Text()
	pending := map[string]bool{}
	for _, w := range asked {
		err := s.RestartHandler(s.ctx, w.ID, name, request)
		if err != nil && !errors.Is(err, scheduler.ErrLeaseLost) {
			return err
		}
		pending[w.ID] = err == nil
	}
	views, err := s.awaitRestart(asked, pending, name, request)
	if err != nil {
		return err
	}
	var failed []string
	for _, v := range views {
		if !v.Restarted {
			failed = append(failed, fmt.Sprintf("worker %s: %s", v.Worker, deref(v.Error)))
		} else if !s.a.json {
			s.a.printf("%s: restarted on worker %s\n", name, safe(v.Worker))
		}
	}
	if s.a.json {
		if err := s.a.printJSON(views); err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("handler %q not restarted; what ran goes on: %s", name, strings.Join(failed, "; "))
	}
	return nil
}

// restartable are the live workers that have the handler as a plugin.
func (s *session) restartable(name, only string) ([]scheduler.Worker, error) {
	workers, err := s.liveWorkers()
	if err != nil {
		return nil, err
	}
	having := withHandler(workers, name)
	if len(having) == 0 {
		return nil, s.noHandler(workers, name)
	}
	if only != "" {
		w, err := findWorker(having, only, s.Namespace())
		if err != nil {
			return nil, err
		}
		having = []scheduler.Worker{w}
	}
	for _, w := range having {
		if _, ok := w.State(name); !ok {
			return nil, usagef("handler %q of worker %s is no plugin: it is part of the worker's program", name, w.ID)
		}
	}
	return having, nil
}

// awaitRestart waits until each worker has said what came of the request, or is gone.
func (s *session) awaitRestart(asked []scheduler.Worker, pending map[string]bool, name, request string) ([]restartView, error) {
	for {
		workers, err := s.liveWorkers()
		if err != nil {
			return nil, err
		}
		states := map[string]scheduler.HandlerState{}
		for _, w := range workers {
			states[w.ID], _ = w.State(name)
		}
		var views []restartView
		waiting := 0
		for _, w := range asked {
			state, live := states[w.ID]
			v := restartView{Worker: w.ID, Restarted: state.Restart == request && state.RestartError == "", Error: optional(state.RestartError)}
			switch {
			case !live || !pending[w.ID]:
				gone := "it is gone"
				v.Error = &gone
			case state.Restart != request:
				waiting++
			}
			views = append(views, v)
		}
		if waiting == 0 {
			return views, nil
		}
		select {
		case <-s.ctx.Done():
			return nil, &timeoutError{s.a.timeout, fmt.Errorf("no answer yet from %s, which may still restart handler %q", plural(int64(waiting), "worker"), name)}
		case <-time.After(restartLook):
		}
	}
}
