package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
)

// echo is the handler. Its script applies to every task; a task's own wins.
type echo struct {
	script   script
	journals journals
}

var (
	errThrottle = errors.New("throttled as scripted")
	errRetry    = errors.New("retry as scripted")
)

// Describe names the plugin.
func (e *echo) Describe() pluginapi.Info {
	return pluginapi.Info{
		Name: "echo", Version: "1.0.0", Doc: "returns the payload, as a script in it or in the config says",
		Config: pluginapi.SchemaOf[script](),
	}
}

// Configure takes the script for every task.
func (e *echo) Configure(_ context.Context, c pluginapi.Config) error {
	var s script
	if err := c.Decode(&s); err != nil {
		return err
	}
	e.script = s
	if e.script.Journal == "" {
		return nil
	}
	if err := e.journals.open(e.script.Journal); err != nil {
		return pluginapi.BadAttribute("journal", err.Error())
	}
	return nil
}

// Handle plays the script and returns the payload. The journal's first line is
// written before anything else.
func (e *echo) Handle(ctx context.Context, t *pluginapi.Task) (result []byte, err error) {
	now := time.Now()
	s, err := e.script.override(t.Payload)
	if err != nil {
		return nil, pluginapi.Permanent(err)
	}
	if s.Journal != "" {
		entered := clocksAt(now)
		if err := e.journals.start(s.Journal, t, entered); err != nil {
			return nil, err
		}
		defer func() {
			if p := recover(); p != nil {
				e.journals.finish(s.Journal, t, entered, "panic")
				panic(p)
			}
			e.journals.finish(s.Journal, t, entered, outcome(err))
		}()
	}
	if err := sleep(ctx, t, s.Sleep); err != nil {
		return nil, err
	}
	if s.Log != "" {
		t.Log.Info(s.Log)
	}
	s.tell(t)
	switch {
	case s.Exit != nil:
		os.Exit(*s.Exit)
	case s.Panic != "":
		panic(s.Panic)
	case s.Throttle > 0:
		return nil, pluginapi.ThrottledLimit(s.Limit, s.Throttle, errThrottle)
	case s.Retry > 0:
		return nil, pluginapi.RetryAfter(s.Retry, errRetry)
	case s.Fail != "":
		return nil, errors.New(s.Fail)
	case s.Reveal:
		return reveal(t)
	}
	return t.Payload, nil
}

// tell says what the script has to say of limits.
func (s *script) tell(t *pluginapi.Task) {
	for limit, tokens := range s.Actual {
		t.ActualCost(limit, tokens)
	}
	for _, r := range s.Report {
		told := pluginapi.Report{Limit: r.limit, Remaining: r.remaining}
		if r.reset > 0 {
			told.ResetAt = time.Now().Add(r.reset)
		}
		t.Report(told)
	}
}

// sleep tells each second how far it is. It returns early, with the cause, when ctx ends.
func sleep(ctx context.Context, t *pluginapi.Task, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	var seconds <-chan time.Time
	if d > time.Second {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		seconds = ticker.C
	}
	for slept := time.Duration(0); ; slept += time.Second {
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-seconds:
			t.Progress(int(100*(slept+time.Second)/d), "sleeping "+d.String())
		}
	}
}

// outcome names err as the journal spells it.
func outcome(err error) string {
	var permanent *pluginapi.PermanentError
	var throttled *pluginapi.ThrottledError
	var retry *pluginapi.RetryAfterError
	switch {
	case err == nil:
		return pluginapi.Done.String()
	case errors.As(err, &permanent):
		return pluginapi.FailedForGood.String()
	case errors.As(err, &throttled):
		return pluginapi.SlowedDown.String()
	case errors.As(err, &retry):
		return pluginapi.FailedRetryAfter.String()
	}
	return pluginapi.Failed.String()
}
