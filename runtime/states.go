package runtime

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/throttlerd/throttlerd/runtime/pluginhost"
	"github.com/throttlerd/throttlerd/scheduler"
)

const maxErrorText = 500 // bytes of an error, or of a line, that are announced

// restart is the last request to restart a handler's plugin. Guarded by Worker.mu.
type restart struct {
	request string
	through bool
	err     error
}

// restartPlugins begins what is asked for and was not begun yet.
func (w *Worker) restartPlugins(ctx context.Context, requests map[string]string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, request := range requests {
		h := w.handlers[name]
		if h == nil || h.restart.request == request {
			continue
		}
		h.restart = restart{request: request}
		go func() {
			err := w.RestartPlugin(ctx, name)
			w.mu.Lock()
			defer w.mu.Unlock()
			if h.restart.request == request {
				h.restart.through, h.restart.err = true, err
				w.tickSoon() // somebody waits to hear of it
			}
		}()
	}
}

// states are what the worker says of its handlers that are plugins, sorted.
func (w *Worker) states() []scheduler.HandlerState {
	var out []scheduler.HandlerState
	for _, name := range slices.Sorted(maps.Keys(w.handlers)) {
		h := w.handlers[name]
		b, ok := h.backend.(*pluginBackend)
		if !ok {
			continue
		}
		_, group := b.present()
		s := scheduler.HandlerState{Handler: name}
		for _, p := range group.States() {
			describe(&s, p)
		}
		w.mu.Lock()
		if h.restart.through {
			s.Restart = h.restart.request
			if h.restart.err != nil {
				s.RestartError = brief(h.restart.err)
			}
		}
		w.mu.Unlock()
		out = append(out, s)
	}
	return out
}

// describe adds one process of a handler; its error counts if it is the last one.
func describe(s *scheduler.HandlerState, p pluginhost.State) {
	if p.Info.Name != "" {
		s.Plugin, s.Version = p.Info.Name, p.Info.Version
	}
	s.Processes = append(s.Processes, scheduler.ProcessState{
		Phase: string(p.Phase), PID: p.PID, Since: p.Since.UTC().Truncate(time.Millisecond), Restarts: p.Restarts,
	})
	if p.LastError == nil || !p.LastErrorAt.After(s.LastErrorAt) {
		return
	}
	s.LastError, s.LastErrorAt = brief(p.LastError), p.LastErrorAt.UTC().Truncate(time.Millisecond)
	s.Stderr = nil
	for _, line := range p.Stderr {
		s.Stderr = append(s.Stderr, cut(line))
	}
}

// brief is an error without the plugin's last words, which are told beside it.
func brief(err error) string {
	if e, ok := errors.AsType[*pluginhost.StartError](err); ok {
		return cut("does not start: " + e.Reason)
	}
	if e, ok := errors.AsType[*pluginhost.ExitError](err); ok {
		return cut(e.Reason)
	}
	return cut(err.Error())
}

func cut(text string) string {
	if len(text) <= maxErrorText {
		return text
	}
	return strings.ToValidUTF8(text[:maxErrorText], "") + "…"
}
