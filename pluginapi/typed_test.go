package pluginapi_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/pluginapi/plugintest"
)

type mailConfig struct {
	From    string        `hcl:"from" doc:"sender of the mails"`
	Patient time.Duration `hcl:"patient" default:"15s"`
	Parts   []string      `hcl:"parts" default:"[\"text\"]"`
	Token   string        `hcl:"token,optional" sensitive:"true"`
}

func (c *mailConfig) Check() error {
	if c.Patient <= 0 {
		return pluginapi.BadAttribute("patient", "must be more than 0")
	}
	return nil
}

type mail struct {
	To    string `json:"to" required:"true" doc:"whom to send it to"`
	Copy  []string
	Count int `json:"count"`
	Extra struct {
		Size uint8 `json:"size"`
	} `json:"extra"`
}

func (m *mail) Check() error {
	if m.Count < 0 {
		return errors.New(`"count" must not be negative`)
	}
	return nil
}

type receipt struct {
	From string `json:"from"`
	To   string `json:"to"`
}

func send(_ context.Context, c mailConfig, t pluginapi.TaskOf[mail]) (receipt, error) {
	if t.Payload.To == "nobody" {
		return receipt{}, pluginapi.RetryAfter(c.Patient, errors.New("nobody there"))
	}
	return receipt{c.From, t.Payload.To}, nil
}

func TestTyped(t *testing.T) {
	config := map[string]any{"from": "shop"}
	for _, c := range []struct {
		payload string
		outcome pluginapi.Outcome
		text    string
	}{
		{`{"to":"ann","unknown":1}`, pluginapi.Done, `{"from":"shop","to":"ann"}`},
		{`{"TO":"ann"}`, pluginapi.Done, `"to":"ann"`},
		{`{"to":"nobody"}`, pluginapi.FailedRetryAfter, "nobody there"},
		{`{}`, pluginapi.FailedForGood, `payload: "to" is required and missing`},
		{`{"to":null}`, pluginapi.FailedForGood, `payload: "to" is required and missing`},
		{`{"to":5}`, pluginapi.FailedForGood, `payload: "to" must be a string, not a number`},
		{`{"to":"ann","Copy":"bob"}`, pluginapi.FailedForGood, `payload: "Copy" must be a list, not a string`},
		{`{"to":"ann","count":1.5}`, pluginapi.FailedForGood, `payload: "count" must be an integer, not a number`},
		{`{"to":"ann","extra":{"size":"x"}}`, pluginapi.FailedForGood, `payload: "extra.size" must be an integer, not a string`},
		{`{"to":"ann","count":-1}`, pluginapi.FailedForGood, `payload: "count" must not be negative`},
		{`[]`, pluginapi.FailedForGood, "payload: it must be a map, not a list"},
		{`{"to":`, pluginapi.FailedForGood, "payload: it is not JSON, at byte 6"},
		{``, pluginapi.FailedForGood, "payload: it is empty, and should be JSON"},
	} {
		t.Run(c.payload, func(t *testing.T) {
			r := plugintest.Run(t, pluginapi.Typed(send), config, pluginapi.Task{Payload: []byte(c.payload)})
			r.Want(c.outcome, c.text)
			if c.outcome == pluginapi.FailedRetryAfter && r.Delay != 15*time.Second {
				t.Errorf("the default of patient is not in force: %s", r.Delay)
			}
		})
	}
}

func TestTypedTakesAndGivesBytes(t *testing.T) {
	raw := pluginapi.Typed(func(_ context.Context, _ struct{}, t pluginapi.TaskOf[[]byte]) (string, error) {
		return "got " + string(t.Payload), nil
	})
	plugintest.Run(t, raw, nil, pluginapi.Task{Payload: []byte("\x00{")}).Want(pluginapi.Done, "got \x00{")
	bad := pluginapi.Typed(func(context.Context, struct{}, pluginapi.TaskOf[[]byte]) (chan int, error) {
		return make(chan int), nil
	})
	plugintest.Run(t, bad, nil, pluginapi.Task{}).Want(pluginapi.FailedForGood, "the result has no form in JSON")
}

// Required fields are where package json puts them.
func TestRequiredFields(t *testing.T) {
	type Meta struct {
		ID string `json:"id" required:"true"`
	}
	type flat struct{ Meta }
	type deep struct {
		Meta `json:"meta" required:"true"`
	}
	run := func(h pluginapi.Handler, payload string) plugintest.Result {
		t.Helper()
		return plugintest.Run(t, h, nil, pluginapi.Task{Payload: []byte(payload)})
	}
	asFlat := pluginapi.Typed(func(_ context.Context, _ struct{}, t pluginapi.TaskOf[flat]) (string, error) {
		return t.Payload.ID, nil
	})
	run(asFlat, `{"id":"1"}`).Want(pluginapi.Done, "1")
	run(asFlat, `{}`).Want(pluginapi.FailedForGood, `"id" is required`)
	asDeep := pluginapi.Typed(func(_ context.Context, _ struct{}, t pluginapi.TaskOf[deep]) (string, error) {
		return t.Payload.ID, nil
	})
	run(asDeep, `{"meta":{"id":"1"}}`).Want(pluginapi.Done, "1")
	run(asDeep, `{}`).Want(pluginapi.FailedForGood, `"meta" is required`)
	asPointer := pluginapi.Typed(func(_ context.Context, _ struct{}, t pluginapi.TaskOf[*Meta]) (string, error) {
		return t.Payload.ID, nil
	})
	run(asPointer, `{"id":"1"}`).Want(pluginapi.Done, "1")
	run(asPointer, `{}`).Want(pluginapi.FailedForGood, `"id" is required`)
	run(asPointer, `null`).Want(pluginapi.FailedForGood, "must be a map, not null")
}

func TestTypedRefusesConfigByAttribute(t *testing.T) {
	for _, c := range []struct{ object, want string }{
		{`{}`, `attribute "from": is required and missing`},
		{`{"from":"a","patient":"0s"}`, `attribute "patient": must be more than 0`},
		{`{"from":"a","parts":[1]}`, `attribute "parts": must be a list of strings, not a list`},
		{`{"from":"a","tokken":"x"}`, `attribute "tokken": unknown attribute; did you mean "token"?`},
		{`{"from":"a","token":7}`, `attribute "token": must be a string`},
	} {
		if err := plugintest.Configure(t, pluginapi.Typed(send), c.object); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.object, err, c.want)
		}
	}
}

func TestSchemaOf(t *testing.T) {
	want := []pluginapi.Attribute{
		{Name: "from", Type: pluginapi.TypeString, Required: true, Doc: "sender of the mails"},
		{Name: "patient", Type: pluginapi.TypeDuration, Default: `"15s"`},
		{Name: "parts", Type: pluginapi.TypeStrings, Default: `["text"]`},
		{Name: "token", Type: pluginapi.TypeString, Sensitive: true},
	}
	if got := pluginapi.SchemaOf[mailConfig](); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestBadDefaultIsTheAuthorsMistake(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	pluginapi.SchemaOf[struct {
		Wait time.Duration `hcl:"wait" default:"soon"`
	}]()
}

func TestMux(t *testing.T) {
	mux := pluginapi.Mux{
		"email": pluginapi.Typed(send),
		"ping": pluginapi.Typed(func(_ context.Context, c struct {
			From string `hcl:"from"`
			To   string `hcl:"to,optional"`
		}, _ pluginapi.TaskOf[[]byte]) (string, error) {
			return c.From + " pings " + c.To, nil
		}),
		"": pluginapi.HandlerFunc(func(context.Context, *pluginapi.Task) ([]byte, error) { return []byte("untyped"), nil }),
	}
	config := `{"from":"shop","to":"all"}`
	run := func(kind string) plugintest.Result {
		return plugintest.Run(t, mux, config, pluginapi.Task{Type: kind, Payload: []byte(`{"to":"ann"}`)})
	}
	run("email").Want(pluginapi.Done, `{"from":"shop","to":"ann"}`)
	run("ping").Want(pluginapi.Done, "shop pings all")
	run("").Want(pluginapi.Done, "untyped")
	run("fax").Want(pluginapi.FailedForGood, `unknown task type "fax"; the known types are "", email, ping`)

	for _, c := range []struct{ object, want string }{
		{`{}`, `attribute "from": is required and missing`},
		{`{"from":"a","too":"x"}`, `attribute "too": unknown attribute; did you mean "to"?`},
		{`{"from":"a","patient":"0s"}`, `attribute "patient": must be more than 0`},
	} {
		if err := plugintest.Configure(t, mux, c.object); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.object, err, c.want)
		}
	}
	info := mux.Describe()
	if !slices.Equal(info.TaskTypes, []string{"", "email", "ping"}) || len(info.Config) != 5 || len(info.Payloads) != 1 || len(info.Payloads["email"]) != 4 {
		t.Errorf("%+v", info)
	}
}

// A handler that does not declare its config is given the whole block.
func TestMuxOfAnUndeclaredConfig(t *testing.T) {
	mux := pluginapi.Mux{"greet": &undeclared{}, "email": pluginapi.Typed(send)}
	if mux.Describe().Config != nil {
		t.Error("it declares what it cannot know")
	}
	r := plugintest.Run(t, mux, `{"from":"shop","greeting":"hello"}`, pluginapi.Task{Type: "greet"})
	r.Want(pluginapi.Done, "[from greeting]")
}

type undeclared struct{ names []string }

func (u *undeclared) Configure(_ context.Context, c pluginapi.Config) error {
	u.names = c.Attributes()
	return nil
}

func (u *undeclared) Handle(context.Context, *pluginapi.Task) ([]byte, error) {
	return []byte("[" + u.names[0] + " " + u.names[1] + "]"), nil
}

func TestWrap(t *testing.T) {
	var order []string
	note := func(name string) pluginapi.Middleware {
		return func(next pluginapi.HandlerFunc) pluginapi.HandlerFunc {
			return func(ctx context.Context, t *pluginapi.Task) ([]byte, error) {
				order = append(order, name)
				return next(ctx, t)
			}
		}
	}
	var seen []pluginapi.Result
	observe := pluginapi.Observe(func(_ context.Context, _ *pluginapi.Task, r pluginapi.Result) { seen = append(seen, r) })
	h := pluginapi.WithInfo(pluginapi.Info{Name: "mailer", Version: "2.0.0"}, pluginapi.Wrap(pluginapi.Typed(send), note("outer"), observe, note("inner")))

	config := `{"from":"shop"}`
	plugintest.Run(t, h, config, pluginapi.Task{Payload: []byte(`{"to":"ann"}`)}).Want(pluginapi.Done, `"to":"ann"`)
	plugintest.Run(t, h, config, pluginapi.Task{Payload: []byte(`{"to":"nobody"}`)}).Want(pluginapi.FailedRetryAfter, "nobody")
	if !slices.Equal(order, []string{"outer", "inner", "outer", "inner"}) {
		t.Errorf("%v", order)
	}
	if len(seen) != 2 || seen[0].Outcome != pluginapi.Done || string(seen[0].Result) == "" || seen[1].Outcome != pluginapi.FailedRetryAfter ||
		seen[1].Delay != 15*time.Second || seen[1].Err != "nobody there" || seen[0].StartedAt.IsZero() {
		t.Errorf("%+v", seen)
	}
	if err := plugintest.Configure(t, h, nil); err == nil {
		t.Error("the config of the inner handler is not asked for")
	}
	info := h.(pluginapi.Describer).Describe()
	if info.Name != "mailer" || info.Version != "2.0.0" || len(info.Config) != 4 {
		t.Errorf("%+v", info)
	}
}

func TestObserveSeesAPanic(t *testing.T) {
	var seen pluginapi.Result
	h := pluginapi.Wrap(pluginapi.HandlerFunc(func(context.Context, *pluginapi.Task) ([]byte, error) { panic("aargh") }),
		pluginapi.Observe(func(_ context.Context, _ *pluginapi.Task, r pluginapi.Result) { seen = r }))
	plugintest.Run(t, h, nil, pluginapi.Task{}).Want(pluginapi.Failed, "aargh")
	if seen.Outcome != pluginapi.Failed || seen.Err != "panic" {
		t.Errorf("%+v", seen)
	}
}
