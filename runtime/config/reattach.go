package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/throttlerd/throttlerd/internal/environ"
)

// EnvReattach holds which handlers' plugins somebody has started by hand, with -debug,
// and where they are: what such a plugin prints.
const EnvReattach = environ.Reattach

// Reattach says where a plugin is that somebody has started by hand.
type Reattach struct {
	Network, Address string
	PID              int
}

// parseReattach reads what EnvReattach holds, by handler.
func parseReattach(text string) (map[string]*Reattach, error) {
	if text == "" {
		return nil, nil
	}
	var raw map[string]struct {
		Protocol        string
		ProtocolVersion int
		Pid             int
		Addr            struct{ Network, String string }
	}
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return nil, fmt.Errorf("it is not what a plugin prints that is started with -debug: %w", err)
	}
	out := make(map[string]*Reattach)
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		r := raw[name]
		network := r.Addr.Network
		if network != "unix" && network != "tcp" || r.Addr.String == "" || r.Protocol != "grpc" || r.ProtocolVersion != 1 {
			return nil, fmt.Errorf("handler %q: it needs the protocol grpc in version 1 and an address of the network unix or tcp", name)
		}
		out[name] = &Reattach{network, r.Addr.String, r.Pid}
	}
	return out, nil
}

// readReattach finds the plugins that somebody has started by hand.
func (d *decoder) readReattach() {
	var err error
	if d.reattach, err = parseReattach(d.opts.Reattach); err != nil {
		d.reattachError("Invalid reattachment", err.Error())
	}
}

// checkReattach reports handlers to attach to that there are none of.
func (d *decoder) checkReattach(c *Config) {
	for _, name := range slices.Sorted(maps.Keys(d.reattach)) {
		if _, ok := c.Handler(name); ok {
			continue
		}
		var names []string
		for _, h := range c.Handlers {
			names = append(names, h.Name)
		}
		d.reattachError("Unknown handler", fmt.Sprintf("handler %q is not declared.%s", name, didYouMean(name, names)))
	}
}

func (d *decoder) reattachError(summary, detail string) {
	d.diags = append(d.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: EnvReattach + ": " + detail})
}
