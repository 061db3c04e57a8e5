package pluginapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Mux routes tasks to handlers by their type; "" takes the tasks without one:
//
//	pluginapi.Serve(pluginapi.Mux{
//		"email":   pluginapi.Typed(send),
//		"webhook": pluginapi.HandlerFunc(call),
//	})
//
// A task of another type is dead at once, with an error that lists the known ones.
//
// The handlers share one config block. Each is given the attributes that it declares,
// or, if it declares none by Describe, all of them. A Mux must not be changed once it
// serves.
type Mux map[string]Handler

// Handle routes t.
func (m Mux) Handle(ctx context.Context, t *Task) ([]byte, error) {
	h := m[t.Type]
	if h == nil {
		return nil, Permanent(fmt.Errorf("unknown task type %q; the known types are %s", t.Type, quoteEmpty(slices.Sorted(maps.Keys(m)))))
	}
	return h.Handle(ctx, t)
}

// Describe puts together what the handlers say.
func (m Mux) Describe() Info {
	all := Info{TaskTypes: slices.Sorted(maps.Keys(m)), Config: []Attribute{}, Payloads: map[string][]Attribute{}}
	for _, t := range all.TaskTypes {
		if m[t] == nil {
			panic(fmt.Sprintf("pluginapi: Mux has no handler for the type %q", t))
		}
		info := describe(m[t])
		if fields, ok := info.Payloads[""]; ok {
			all.Payloads[t] = fields
		}
		if info.Config == nil {
			all.Config = nil
		}
		if all.Config == nil {
			continue
		}
		for _, a := range info.Config {
			all.Config = share(all.Config, a)
		}
	}
	return all
}

// share adds an attribute that others may have too: it is one, and has one type.
func share(list []Attribute, a Attribute) []Attribute {
	i := slices.IndexFunc(list, func(b Attribute) bool { return a.Name == b.Name })
	if i < 0 {
		return append(list, a)
	}
	if list[i].Type != a.Type {
		panic(fmt.Sprintf("pluginapi: handlers of a Mux declare %q as a %s and as a %s", a.Name, list[i].Type, a.Type))
	}
	list[i].Required = list[i].Required || a.Required
	list[i].Sensitive = list[i].Sensitive || a.Sensitive
	return list
}

// Configure gives each handler its part of the block. What several say of an attribute
// is told once.
func (m Mux) Configure(ctx context.Context, c Config) error {
	var errs []error
	if schema := m.Describe().Config; schema != nil {
		if err := CheckConfig(schema, c); err != nil {
			return err
		}
	}
	told := map[string]bool{}
	for _, t := range slices.Sorted(maps.Keys(m)) {
		part := c
		if schema := describe(m[t]).Config; schema != nil {
			part = c.only(schema)
		}
		if err := Configure(ctx, m[t], part); err != nil && !told[err.Error()] {
			told[err.Error()] = true
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
