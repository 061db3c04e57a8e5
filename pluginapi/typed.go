package pluginapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// TaskOf is a Task whose payload is a Go value. The bytes are in Task.Payload.
type TaskOf[P any] struct {
	*Task
	Payload P
}

// Checker is a config or a payload that checks itself once it is decoded. The error of
// a config, which BadAttribute may have made, refuses it; that of a payload makes its
// task dead at once.
type Checker interface{ Check() error }

// Typed makes a Handler of a function that takes its config and its payload as Go
// values and returns its result as one:
//
//	type Config struct {
//		From string `hcl:"from" doc:"sender of the mails"`
//	}
//	type Mail struct {
//		To      string `json:"to" required:"true" doc:"whom to send it to"`
//		Subject string `json:"subject"`
//	}
//
//	func send(ctx context.Context, c Config, t pluginapi.TaskOf[Mail]) (Receipt, error)
//
//	func main() { pluginapi.Serve(pluginapi.Typed(send)) }
//
// C is a struct as Config.Decode takes it, or struct{} for a handler without config; its
// schema is declared. P is decoded from JSON; one that does not fit, or lacks a field of
// P itself that is tagged required:"true", is a permanent failure that names the field.
// Fields that P does not have are ignored. R is encoded as JSON. As P and R, []byte stands for
// the bytes as they are, and a string as R for its own. Either may be a Checker.
func Typed[C, P, R any](handle func(ctx context.Context, config C, t TaskOf[P]) (R, error)) Handler {
	return &typed[C, P, R]{handle: handle, schema: SchemaOf[C](), payload: payloadFields(reflect.TypeFor[P]())}
}

type typed[C, P, R any] struct {
	handle  func(context.Context, C, TaskOf[P]) (R, error)
	schema  []Attribute
	payload []Attribute
	config  C
}

func (h *typed[C, P, R]) Configure(_ context.Context, c Config) error {
	var config C
	if err := c.Decode(&config); err != nil {
		return err
	}
	if err := check(&config); err != nil {
		return err
	}
	h.config = config
	return nil
}

func (h *typed[C, P, R]) Describe() Info {
	info := Info{Config: h.schema}
	if h.payload != nil {
		info.Payloads = map[string][]Attribute{"": h.payload}
	}
	return info
}

func (h *typed[C, P, R]) Handle(ctx context.Context, t *Task) ([]byte, error) {
	of := TaskOf[P]{Task: t}
	if err := decodePayload(t.Payload, &of.Payload, h.payload); err != nil {
		return nil, Permanent(fmt.Errorf("payload: %w", err))
	}
	result, err := h.handle(ctx, h.config, of)
	if err != nil {
		return nil, err
	}
	return encodeValue(result)
}

func check(v any) error {
	if c, ok := v.(Checker); ok {
		return c.Check()
	}
	return nil
}

func decodePayload(raw []byte, into any, fields []Attribute) error {
	if to, ok := into.(*[]byte); ok {
		*to = raw
		return nil
	}
	if len(raw) == 0 {
		return errors.New("it is empty, and should be JSON")
	}
	if fields != nil && string(bytes.TrimSpace(raw)) == "null" {
		return errors.New("it must be a map, not null")
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return explainJSON(err)
	}
	if err := checkRequired(raw, fields); err != nil {
		return err
	}
	return check(into)
}

func explainJSON(err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		what := "it"
		if e.Field != "" {
			what = strconv.Quote(e.Field)
		}
		return fmt.Errorf("%s must be %s, not %s", what, article(fieldType(e.Type)), article(e.Value))
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("it is not JSON, at byte %d: %w", e.Offset, err)
	}
	return err
}

// article puts "a" before the name of a type.
func article(name string) string {
	name, _, _ = strings.Cut(name, " ") // "number 1.5" of package json
	switch name {
	case "object":
		name = "map"
	case "array":
		name = "list"
	}
	if strings.HasPrefix(name, "i") {
		return "an " + name
	}
	return "a " + name
}

// checkRequired looks for the fields at the top that must be there. Package json takes
// names in any case, and so does this.
func checkRequired(raw []byte, fields []Attribute) error {
	var present map[string]json.RawMessage
	for _, f := range fields {
		if !f.Required {
			continue
		}
		if present == nil {
			if err := json.Unmarshal(raw, &present); err != nil {
				return explainJSON(err)
			}
		}
		found := false
		for name, value := range present {
			found = found || strings.EqualFold(name, f.Name) && string(value) != "null"
		}
		if !found {
			return fmt.Errorf("%q is required and missing", f.Name)
		}
	}
	return nil
}

func encodeValue(v any) ([]byte, error) {
	switch v := v.(type) {
	case []byte:
		return v, nil
	case string:
		return []byte(v), nil
	case nil, struct{}:
		return nil, nil
	}
	out, err := json.Marshal(v)
	if err != nil {
		return nil, Permanent(fmt.Errorf("the result has no form in JSON: %w", err))
	}
	return out, nil
}

// payloadFields are the fields at the top of a payload; nil if it is no struct.
func payloadFields(t reflect.Type) []Attribute {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	fields := []Attribute{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case f.Anonymous && name == "" && fieldType(f.Type) == "map": // as package json does
			fields = append(fields, payloadFields(f.Type)...)
		case f.IsExported():
			if name == "" {
				name = f.Name
			}
			fields = append(fields, Attribute{
				Name: name, Type: fieldType(f.Type), Required: f.Tag.Get("required") == "true",
				Doc: f.Tag.Get("doc"), Sensitive: f.Tag.Get("sensitive") == "true",
			})
		}
	}
	return fields
}

// fieldType names the JSON that package json reads into t.
func fieldType(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[interface{ UnmarshalText([]byte) error }]()) {
		return TypeString
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return "any"
	}
	if scalar := scalarType(t.Kind()); scalar != "" {
		return scalar
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return TypeString // base64
		}
		if t.Elem().Kind() == reflect.String {
			return TypeStrings
		}
		return "list"
	case reflect.Struct, reflect.Map:
		return "map"
	}
	return "any"
}
