package config

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// origin remembers where handlers came from, for diagnostics that arise later.
type origin struct {
	files    map[string]*hcl.File
	handlers map[string]handlerOrigin
}

type handlerOrigin struct {
	block      hcl.Range // the head of the handler block
	config     hcl.Range // the head of its config block; the handler's without one
	attributes map[string]hcl.Range
}

func (d *decoder) handlers(blocks []*handlerBlock, c *Config) {
	c.origin.handlers = map[string]handlerOrigin{}
	seen := map[string]hcl.Range{}
	for _, b := range blocks {
		ok := d.declared("handler", b.Name, b.NameAt, seen)
		h, from := d.handler(b, ok, c.PluginDir)
		if ok {
			c.Handlers = append(c.Handlers, h)
			c.origin.handlers[h.Name] = from
		}
	}
}

func (d *decoder) handler(b *handlerBlock, named bool, pluginDir string) (Handler, handlerOrigin) {
	h := NewHandler(b.Name)
	h.Reattach = d.reattach[b.Name]
	d.plugin(b, named, pluginDir, &h)
	if !d.opts.SkipValues {
		d.textList(b.Args, &h.Args)
		d.environment(b.Env, &h)
	}
	d.integer(b.Instances, &h.Instances, 1, 1000)
	d.integer(b.Concurrency, &h.Concurrency, 1, 100_000)
	d.integer(b.MaxCrashes, &h.MaxCrashes, 1, 1000)
	d.user(b.User, &h)
	d.size(b.MemoryMax, &h.MemoryMax, 16<<20, min(1<<40, math.MaxInt))
	d.checksum(b.SHA256, &h)
	d.boolean(b.MTLS, &h.MTLS)

	from := handlerOrigin{block: b.At, config: b.At}
	block := single(d, "config", b.Config, func(b *configBlock) hcl.Range { return b.At })
	if block != nil && !d.opts.SkipValues {
		from.config = block.At
		h.Config, from.attributes = d.pluginConfig(block)
	}
	return h, from
}

func (d *decoder) environment(a attribute, h *Handler) {
	if !d.textMap(a, &h.Env) {
		return
	}
	for name, value := range h.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(value, "\x00") {
			d.errorAt(a.Expr.Range(), "Invalid environment variable",
				"env: %q is not a name of an environment variable, or its value holds a NUL.", shorten(name))
		}
	}
}

// user reads the name of a user. Whether there is one, the machine that runs it knows.
func (d *decoder) user(a attribute, h *Handler) {
	if d.text(a, &h.User) && (h.User == "" || strings.ContainsAny(h.User, ":/ \t\n\x00")) {
		d.errorAt(a.Expr.Range(), "Invalid user", "user is %q; it must be the name of a user of this machine, such as \"nobody\".", shorten(h.User))
	}
}

// checksum reads 64 hex digits. What sha256sum prints is fine too: its first word.
func (d *decoder) checksum(a attribute, h *Handler) {
	s := ""
	if !d.text(a, &s) {
		return
	}
	if words := strings.Fields(s); len(words) > 0 {
		s = strings.ToLower(words[0])
	}
	if raw, err := hex.DecodeString(s); err != nil || len(raw) != 32 {
		d.errorAt(a.Expr.Range(), "Invalid checksum", "sha256 must be 64 hexadecimal digits, as sha256sum prints them.")
		return
	}
	h.SHA256 = s
}

// pluginConfig evaluates a config block into a JSON object, and says where each of
// its attributes stands.
func (d *decoder) pluginConfig(b *configBlock) (json.RawMessage, map[string]hcl.Range) {
	attrs, diags := b.Body.JustAttributes()
	for _, x := range diags {
		if strings.HasPrefix(x.Summary, "Unexpected") && strings.HasSuffix(x.Summary, "block") {
			x.Detail = "A config block holds attributes only. Write NAME = { … } instead of NAME { … }."
		}
	}
	d.diags = append(d.diags, diags...)
	ranges := map[string]hcl.Range{}
	values := map[string]json.RawMessage{}
	for name, a := range attrs {
		ranges[name] = a.Range
		v, ok := d.value(a, cty.DynamicPseudoType, "a value")
		if !ok {
			continue
		}
		encoded, err := ctyjson.Marshal(v, v.Type())
		if err != nil {
			d.errorAt(a.Expr.Range(), "Wrong type", "%s has no form in JSON: %s", name, sentence(err))
			continue
		}
		values[name] = encoded
	}
	object, err := json.Marshal(values)
	if err != nil {
		panic(fmt.Sprintf("encode a map of valid JSON: %v", err))
	}
	return object, ranges
}

// HandlerDiagnostic is a handler's complaint about its config block, such as a
// plugin's about the attribute "url", as a diagnostic at that attribute. With an
// attribute that is not in the file, or "", it is at the config block.
func (c *Config) HandlerDiagnostic(handler, attribute, message string) Diagnostics {
	detail := fmt.Sprintf("Handler %q rejects its config: %s", handler, message)
	if attribute != "" {
		detail = fmt.Sprintf("Handler %q rejects its config: %s: %s", handler, attribute, message)
	}
	return c.handlerDiagnostic("Handler config rejected", handler, attribute, detail)
}

// HideAttributes keeps the values of attributes of a handler's config block out of all
// diagnostics that are made from here on: they are secrets.
func (c *Config) HideAttributes(handler string, names []string) {
	for _, name := range names {
		if at, ok := c.origin.handlers[handler].attributes[name]; ok {
			hide(c.origin.files[at.Filename], at)
		}
	}
}

// hide overwrites the value of an attribute in the copy of its file that diagnostics show.
func hide(f *hcl.File, attribute hcl.Range) {
	if f == nil || !attribute.CanSliceBytes(f.Bytes) {
		return
	}
	text := attribute.SliceBytes(f.Bytes)
	for i := bytes.IndexByte(text, '=') + 1; i < len(text); i++ {
		if text[i] != ' ' && text[i] != '\n' && text[i] != '\r' {
			text[i] = '*'
		}
	}
}

// HandlerStartDiagnostic is a diagnostic at the handler's block: its plugin could not
// be started, or has nothing to configure.
func (c *Config) HandlerStartDiagnostic(handler, message string) Diagnostics {
	d := c.handlerDiagnostic("Handler does not start", handler, "", fmt.Sprintf("Handler %q: %s", handler, message))
	if from, ok := c.origin.handlers[handler]; ok {
		d.list[0].Subject = from.block.Ptr()
	}
	return d
}

func (c *Config) handlerDiagnostic(summary, handler, attribute, detail string) Diagnostics {
	if !strings.HasSuffix(detail, ".") && !strings.HasSuffix(detail, "?") {
		detail += "."
	}
	x := &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail}
	if from, ok := c.origin.handlers[handler]; ok {
		x.Subject = from.config.Ptr()
		if at, ok := from.attributes[attribute]; ok {
			x.Subject = at.Ptr()
		}
	}
	return Diagnostics{list: hcl.Diagnostics{x}, files: c.origin.files}
}
