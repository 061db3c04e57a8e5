package pluginapi_test

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
)

type everything struct {
	Text     string            `hcl:"text,optional"`
	Flag     bool              `hcl:"flag,optional"`
	Whole    int               `hcl:"whole,optional"`
	Small    int8              `hcl:"small,optional"`
	Natural  uint16            `hcl:"natural,optional"`
	Fraction float64           `hcl:"fraction,optional"`
	Pause    time.Duration     `hcl:"pause,optional"`
	List     []string          `hcl:"list,optional"`
	Map      map[string]string `hcl:"map,optional"`
	Maybe    *int              `hcl:"maybe,optional"`
	Untagged string
}

func decode(t *testing.T, object string, into any) error {
	t.Helper()
	c, err := pluginapi.NewConfig([]byte(object))
	if err != nil {
		t.Fatal(err)
	}
	return c.Decode(into)
}

func TestDecodeEveryType(t *testing.T) {
	got := everything{Text: "replaced", Untagged: "kept"}
	err := decode(t, `{
		"text": "x", "flag": true, "whole": 1e3, "small": -128, "natural": 65535, "fraction": 2.5,
		"pause": "1m30s", "list": ["a", "b"], "map": {"k": "v"}, "maybe": 0
	}`, &got)
	if err != nil {
		t.Fatal(err)
	}
	if got.Text != "x" || !got.Flag || got.Whole != 1000 || got.Small != -128 || got.Natural != 65535 ||
		got.Fraction != 2.5 || got.Pause != 90*time.Second || !slices.Equal(got.List, []string{"a", "b"}) ||
		!maps.Equal(got.Map, map[string]string{"k": "v"}) || got.Maybe == nil || got.Untagged != "kept" {
		t.Errorf("%+v", got)
	}
}

func TestDecodeKeepsDefaults(t *testing.T) {
	got := everything{Pause: time.Second}
	if err := decode(t, `{"text": null}`, &got); err != nil || got.Pause != time.Second || got.Maybe != nil {
		t.Errorf("%v, %+v", err, got)
	}
}

func TestDecodeRefusesByAttribute(t *testing.T) {
	for _, c := range []struct{ object, attribute, message string }{
		{`{"text": 5}`, "text", "must be a string, not a number"},
		{`{"flag": "true"}`, "flag", "must be true or false, not a string"},
		{`{"whole": 2.5}`, "whole", "must be a whole number, not 2.5"},
		{`{"whole": true}`, "whole", "must be a whole number, not a bool"},
		{`{"whole": 99999999999999999999}`, "whole", "must be a whole number of at most 64 bits, not 99999999999999999999"},
		{`{"small": 128}`, "small", "must be a whole number of at most 8 bits, not 128"},
		{`{"natural": -1}`, "natural", "must be a whole number from 0 to 65535, not -1"},
		{`{"fraction": "1"}`, "fraction", "must be a number, not a string"},
		{`{"pause": 5}`, "pause", `must be a duration such as "5s" or "1m30s", not a number`},
		{`{"pause": "5"}`, "pause", `must be a duration such as "5s" or "1m30s", not "5"`},
		{`{"list": "a"}`, "list", "must be a list of strings, not a string"},
		{`{"list": [1]}`, "list", "must be a list of strings, not a list"},
		{`{"map": ["a"]}`, "map", "must be a map of strings, not a list"},
		{`{"maybe": {}}`, "maybe", "must be a whole number, not a map"},
		{`{"pauze": "5s"}`, "pauze", `unknown attribute; did you mean "pause"?`},
		{`{"Untagged": "x"}`, "Untagged", "unknown attribute; this plugin has: flag, fraction, list, map, maybe, natural, pause, small, text, whole"},
	} {
		err := decode(t, c.object, &everything{})
		attr, ok := errors.AsType[*pluginapi.AttributeError](err)
		if !ok || attr.Attribute != c.attribute || attr.Message != c.message {
			t.Errorf("%s: %v", c.object, err)
		}
	}
}

func TestDecodeReturnsEverythingThatIsWrong(t *testing.T) {
	var target struct {
		URL  string `hcl:"url"`
		Size int    `hcl:"size"`
	}
	err := decode(t, `{"urll": "x", "size": "big"}`, &target)
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 3 {
		t.Errorf("want a missing, an ill-typed and an unknown attribute: %v", err)
	}
}

func TestDecodePanicsOnTheAuthorsMistakes(t *testing.T) {
	for name, into := range map[string]any{
		"no pointer": everything{},
		"unknown type": &struct {
			C chan int `hcl:"text"`
		}{},
		"bad option": &struct {
			S string `hcl:"text,omitempty"`
		}{},
		"unexported": &struct {
			s string `hcl:"text"`
		}{},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			decode(t, `{"text": "x"}`, into)
		}()
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"text": "x", "whole": 1e400, "pause": "-1s", "map": {"a": null}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, object []byte) {
		if c, err := pluginapi.NewConfig(object); err == nil {
			c.Decode(&everything{})
		}
	})
}
