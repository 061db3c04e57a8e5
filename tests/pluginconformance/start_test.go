//go:build linux

package pluginconformance

import (
	"errors"
	"slices"
	"testing"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/runtime/pluginhost"
	"github.com/throttlerd/throttlerd/tests/proc"
)

func TestDescribe(t *testing.T) {
	each(t, func(t *testing.T, p plugin) {
		s := p.start(t, "")
		if info := s.Info(); info.Name == "" || info.Version == "" {
			t.Errorf("%+v", info)
		}
	})
}

func TestConfigIsTaken(t *testing.T) {
	each(t, func(t *testing.T, p plugin) {
		s := p.start(t, `{"fail": "boom", "limit": null}`)
		if r := s.do("x"); r.Outcome != pluginapi.Failed || r.Err != "boom" {
			t.Errorf("%+v", r)
		}
		if r := s.do(`{"fail": ""}`); r.Outcome != pluginapi.Done {
			t.Errorf("the payload's own script does not win: %+v", r)
		}
	})
}

// Everything that is wrong is told at once, by attribute.
func TestConfigIsRefused(t *testing.T) {
	each(t, func(t *testing.T, p plugin) {
		for config, want := range map[string][]string{
			`{"nosuch": "x"}`:   {"nosuch"},
			`{"sleep": "long"}`: {"sleep"},
			`{"fail": "boom", "sleep": "long", "nosuch": 17}`: {"nosuch", "sleep"},
		} {
			started, err := pluginhost.Start(t.Context(), p.spec(t, config), pluginhost.Sink{})
			if err == nil {
				started.Kill()
				<-started.Done()
			}
			var refused pluginhost.ConfigErrors
			errors.As(err, &refused)
			var got []string
			for _, r := range refused {
				if got = append(got, r.Attribute); r.Message == "" {
					t.Errorf("%s: nothing is said of %s", config, r.Attribute)
				}
			}
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("%s: %v", config, err)
			}
		}
	})
}

// A plugin that names the types of its tasks is given others, too.
func TestUnknownType(t *testing.T) {
	list := plugins(t)
	if given == "" {
		list = append(list, plugin{
			name: "custom-handler", path: proc.Plugin(t, "./examples/custom-handler"), mtls: true,
			config: `{"from": "shop@example.com"}`,
		})
	}
	for _, p := range list {
		t.Run(p.name, func(t *testing.T) {
			s := p.start(t, p.config)
			r := s.doTask(&pluginapi.Task{Type: "no such type", Payload: []byte("{}")})
			want := pluginapi.Done
			if len(s.Info().TaskTypes) > 0 {
				want = pluginapi.FailedForGood
			}
			if r.Outcome != want {
				t.Errorf("of the types %q: %+v", s.Info().TaskTypes, r)
			}
		})
	}
}
