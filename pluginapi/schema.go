package pluginapi

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agext/levenshtein"
)

// Attribute is one attribute of a config block, or one field of a payload, as a
// plugin declares it.
type Attribute struct {
	Name      string
	Type      string // one of the Type constants
	Required  bool
	Default   string // as it is written in HCL; empty: none
	Doc       string // one sentence, without a full stop
	Sensitive bool   // a secret: its value is never shown
}

// The types of attributes. A field of a payload may also be "list", "map" or "any".
const (
	TypeString   = "string"
	TypeBool     = "bool"
	TypeInteger  = "integer"
	TypeNumber   = "number"
	TypeDuration = "duration"
	TypeStrings  = "list of strings"
	TypeMap      = "map of strings"
)

// SchemaOf returns what Config.Decode takes for the struct T, in the order of its
// fields. It panics where Decode does.
func SchemaOf[T any]() []Attribute {
	fields := configFields(reflect.TypeFor[T]())
	schema := make([]Attribute, len(fields))
	for i, f := range fields {
		schema[i] = f.Attribute
	}
	return schema
}

// CheckConfig returns what is wrong with a config block by the schema that its plugin
// declares, as joined AttributeErrors: unknown attributes, missing ones and those of a
// wrong type. It is for hosts.
func CheckConfig(schema []Attribute, c Config) error {
	var errs []error
	var known []string
	for _, a := range schema {
		known = append(known, a.Name)
		switch raw, present := c.attrs[a.Name]; {
		case present:
			if problem := checkType(a.Type, raw); problem != "" {
				errs = append(errs, a.bad(problem))
			}
		case a.Required:
			errs = append(errs, BadAttribute(a.Name, "is required and missing"))
		}
	}
	for _, name := range c.Attributes() {
		if !slices.Contains(known, name) {
			errs = append(errs, BadAttribute(name, unknownAttr(name, known)))
		}
	}
	return errors.Join(errs...)
}

// bad is an error on the attribute that does not repeat a secret.
func (a Attribute) bad(problem string) error {
	if a.Sensitive {
		problem, _, _ = strings.Cut(problem, ", not ")
	}
	return BadAttribute(a.Name, problem)
}

// unknownAttr explains an attribute that the plugin does not have.
func unknownAttr(name string, known []string) string {
	best, distance := "", 3 // further apart is no typo
	for _, k := range known {
		if d := levenshtein.Distance(name, k, nil); d < distance && d < len(k) {
			best, distance = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("unknown attribute; did you mean %q?", best)
	}
	if len(known) == 0 {
		return "this plugin takes no config; remove the block's attributes"
	}
	return "unknown attribute; this plugin has: " + strings.Join(slices.Sorted(slices.Values(known)), ", ")
}

// configField is a field of a struct that an attribute of the config block goes to.
type configField struct {
	Attribute
	index int
	value string // the default, in JSON; empty: none
}

// configFields reads the tags of a struct:
//
//	hcl:"name" or hcl:"name,optional", default:"15s", doc:"what it is", sensitive:"true"
//
// A field with a default is optional. It panics on what it does not understand.
func configFields(t reflect.Type) []configField {
	if t.Kind() != reflect.Struct {
		panic(fmt.Sprintf("pluginapi: a config must be a struct, not %s", t))
	}
	var fields []configField
	for i := range t.NumField() {
		f := t.Field(i)
		tag, ok := f.Tag.Lookup("hcl")
		if !ok {
			continue
		}
		name, option, _ := strings.Cut(tag, ",")
		if name == "" || !f.IsExported() || (option != "" && option != "optional") {
			panic(fmt.Sprintf("pluginapi: field %s: bad tag `hcl:%q`", f.Name, tag))
		}
		field := configField{index: i, Attribute: Attribute{
			Name: name, Type: attributeType(f.Type), Required: option == "", Doc: f.Tag.Get("doc"), Sensitive: f.Tag.Get("sensitive") == "true",
		}}
		if text, ok := f.Tag.Lookup("default"); ok {
			field.Required, field.value = false, text
			if field.Type == TypeString || field.Type == TypeDuration {
				field.value = strconv.Quote(text)
			}
			field.Default = field.value
			if problem := checkType(field.Type, []byte(field.value)); problem != "" {
				panic(fmt.Sprintf("pluginapi: field %s: default %s", f.Name, problem))
			}
		}
		fields = append(fields, field)
	}
	return fields
}

var durationType = reflect.TypeFor[time.Duration]()

// scalarType is the type of a value that is one thing; empty if it is none.
func scalarType(kind reflect.Kind) string {
	switch kind {
	case reflect.String:
		return TypeString
	case reflect.Bool:
		return TypeBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return TypeInteger
	case reflect.Float32, reflect.Float64:
		return TypeNumber
	}
	return ""
}

// attributeType is the type of an attribute that is decoded into t; it panics if none is.
func attributeType(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == durationType {
		return TypeDuration
	}
	if scalar := scalarType(t.Kind()); scalar != "" {
		return scalar
	}
	switch t.Kind() {
	case reflect.Slice:
		if t.Elem().Kind() == reflect.String {
			return TypeStrings
		}
	case reflect.Map:
		if t.Key().Kind() == reflect.String && t.Elem().Kind() == reflect.String {
			return TypeMap
		}
	}
	panic(fmt.Sprintf("pluginapi: a config cannot hold the type %s", t))
}
