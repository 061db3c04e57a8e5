package plugintest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/pluginapi/plugintest"
)

type greeter struct {
	Greeting string `hcl:"greeting"`
}

func (g *greeter) Configure(_ context.Context, c pluginapi.Config) error { return c.Decode(g) }

func (g *greeter) Handle(ctx context.Context, t *pluginapi.Task) ([]byte, error) {
	if len(t.Payload) == 0 {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	t.Log.Info("greeting", "name", string(t.Payload))
	return []byte(g.Greeting + ", " + string(t.Payload) + " " + t.Headers["sign"]), nil
}

func TestRun(t *testing.T) {
	task := pluginapi.Task{Payload: []byte("world"), Headers: map[string]string{"sign": "!"}}
	for name, config := range map[string]any{
		"a value": map[string]string{"greeting": "hello"},
		"a text":  `{"greeting": "hello"}`,
		"bytes":   []byte(`{"greeting": "hello"}`),
	} {
		if r := plugintest.Run(t, &greeter{}, config, task); r.Outcome != pluginapi.Done || string(r.Result) != "hello, world !" {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestRunEndsAtTheDeadline(t *testing.T) {
	task := pluginapi.Task{Deadline: time.Now().Add(10 * time.Millisecond)}
	r := plugintest.Run(t, &greeter{}, `{"greeting": "hello"}`, task)
	if r.Outcome != pluginapi.Failed || !strings.Contains(r.Err, pluginapi.ErrTimeout.Error()) {
		t.Errorf("%+v", r)
	}
}

func TestConfigure(t *testing.T) {
	if err := plugintest.Configure(t, &greeter{}, `{"greeting": "hello"}`); err != nil {
		t.Error(err)
	}
	attr, ok := errors.AsType[*pluginapi.AttributeError](plugintest.Configure(t, &greeter{}, nil))
	if !ok || attr.Attribute != "greeting" {
		t.Errorf("%v", attr)
	}
}
