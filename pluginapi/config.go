package pluginapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Config holds the attributes of a handler's config block.
type Config struct {
	attrs map[string]json.RawMessage
}

// NewConfig makes a Config of a JSON object; no bytes are an empty object. An
// attribute that is null counts as absent. It is for hosts and tests.
func NewConfig(object []byte) (Config, error) {
	c := Config{}
	if len(bytes.TrimSpace(object)) == 0 {
		return c, nil
	}
	if err := json.Unmarshal(object, &c.attrs); err != nil {
		return Config{}, fmt.Errorf("it is not a JSON object: %w", err)
	}
	maps.DeleteFunc(c.attrs, func(_ string, v json.RawMessage) bool { return string(v) == "null" })
	return c, nil
}

// Attributes returns the names of the attributes that are set, sorted.
func (c Config) Attributes() []string { return slices.Sorted(maps.Keys(c.attrs)) }

// only returns the attributes that a schema has.
func (c Config) only(schema []Attribute) Config {
	part := Config{attrs: make(map[string]json.RawMessage)}
	for _, a := range schema {
		if v, ok := c.attrs[a.Name]; ok {
			part.attrs[a.Name] = v
		}
	}
	return part
}

// AttributeError says what is wrong with one attribute of the config block.
// throttlerd shows the user that attribute's line.
type AttributeError struct {
	Attribute string
	Message   string
}

func (e *AttributeError) Error() string {
	return fmt.Sprintf("attribute %q: %s", e.Attribute, e.Message)
}

// BadAttribute is an error on an attribute that only the plugin can find, such
// as a URL that does not parse.
func BadAttribute(name, message string) error {
	return &AttributeError{Attribute: name, Message: message}
}

// Configure gives c to h if h takes one; otherwise every attribute of c is
// refused. A panic in h is an error. It is for hosts without a process and for
// tests.
func Configure(ctx context.Context, h Handler, c Config) (err error) {
	configurable, ok := h.(Configurable)
	if !ok {
		return CheckConfig(nil, c)
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic while configuring: %v\n%s", p, panicStack())
		}
	}()
	return configurable.Configure(ctx, c)
}
