package pluginapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agext/levenshtein"
)

// Decode fills the struct that into points to. Exported fields are tagged
//
//	URL     string        `hcl:"url"`
//	Timeout time.Duration `hcl:"timeout,optional"`
//
// and may be string, bool, any integer or float, time.Duration (from "5s"),
// []string, map[string]string, or a pointer to one of these, which stays nil
// when the attribute is absent. Fields without a tag are left alone; so is the
// field of an absent optional attribute, so that a default may stand in it.
//
// Everything that is wrong with the block is returned at once, as joined
// AttributeErrors: unknown attributes, missing ones and those of a wrong type.
// A struct that breaks these rules is the author's mistake: Decode panics.
func (c Config) Decode(into any) error {
	target := reflect.ValueOf(into)
	if target.Kind() != reflect.Pointer || target.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("pluginapi: Config.Decode needs a pointer to a struct, not %T", into))
	}
	target = target.Elem()

	var errs []error
	var known []string
	for i := range target.NumField() {
		name, optional := parseTag(target.Type().Field(i))
		if name == "" {
			continue
		}
		known = append(known, name)
		raw, present := c.attrs[name]
		switch {
		case present:
			if problem := decodeAttr(target.Field(i), raw); problem != "" {
				errs = append(errs, BadAttribute(name, problem))
			}
		case !optional:
			errs = append(errs, BadAttribute(name, "is required and missing"))
		}
	}
	for _, name := range c.Attributes() {
		if !slices.Contains(known, name) {
			errs = append(errs, BadAttribute(name, unknownAttr(name, known)))
		}
	}
	return errors.Join(errs...)
}

func parseTag(field reflect.StructField) (name string, optional bool) {
	tag, ok := field.Tag.Lookup("hcl")
	if !ok {
		return "", false
	}
	name, option, _ := strings.Cut(tag, ",")
	if name == "" || !field.IsExported() || (option != "" && option != "optional") {
		panic(fmt.Sprintf("pluginapi: field %s: bad tag `hcl:%q`", field.Name, tag))
	}
	return name, option == "optional"
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
		return "unknown attribute; this plugin has none"
	}
	slices.Sort(known)
	return "unknown attribute; this plugin has: " + strings.Join(known, ", ")
}

var durationType = reflect.TypeFor[time.Duration]()

// decodeAttr sets v from raw and returns what is wrong, "" if nothing.
func decodeAttr(v reflect.Value, raw json.RawMessage) string {
	if v.Kind() == reflect.Pointer {
		elem := reflect.New(v.Type().Elem())
		problem := decodeAttr(elem.Elem(), raw)
		if problem == "" {
			v.Set(elem)
		}
		return problem
	}
	if v.Type() == durationType {
		return decodeDuration(v, raw)
	}
	switch v.Kind() {
	case reflect.String:
		return decodeJSON(v, raw, "a string")
	case reflect.Bool:
		return decodeJSON(v, raw, "true or false")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return decodeWhole(v, raw)
	case reflect.Float32, reflect.Float64:
		return decodeJSON(v, raw, "a number")
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.String {
			return decodeJSON(v, raw, "a list of strings")
		}
	case reflect.Map:
		if v.Type().Key().Kind() == reflect.String && v.Type().Elem().Kind() == reflect.String {
			return decodeJSON(v, raw, "a map of strings")
		}
	}
	panic(fmt.Sprintf("pluginapi: Config.Decode does not know the type %s", v.Type()))
}

func decodeJSON(v reflect.Value, raw json.RawMessage, want string) string {
	value := reflect.New(v.Type())
	if err := json.Unmarshal(raw, value.Interface()); err != nil {
		return fmt.Sprintf("must be %s, not %s", want, kindOf(raw))
	}
	v.Set(value.Elem())
	return ""
}

func decodeDuration(v reflect.Value, raw json.RawMessage) string {
	const want = `must be a duration such as "5s" or "1m30s"`
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return want + ", not " + kindOf(raw)
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Sprintf("%s, not %q", want, text)
	}
	v.SetInt(int64(d))
	return ""
}

// decodeWhole takes every spelling of a whole number, such as 1e3 or 5.0.
func decodeWhole(v reflect.Value, raw json.RawMessage) string {
	if kindOf(raw) != "a number" {
		return "must be a whole number, not " + kindOf(raw)
	}
	text := string(raw)
	if f, err := strconv.ParseFloat(text, 64); strings.ContainsAny(text, ".eE") {
		if err != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<53 {
			return "must be a whole number, not " + text
		}
		text = strconv.FormatFloat(f, 'f', 0, 64)
	}
	if v.CanUint() {
		n, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if err != nil {
			return fmt.Sprintf("must be a whole number from 0 to %d, not %s",
				uint64(math.MaxUint64)>>(64-v.Type().Bits()), text)
		}
		v.SetUint(n)
		return ""
	}
	n, err := strconv.ParseInt(text, 10, v.Type().Bits())
	if err != nil {
		return fmt.Sprintf("must be a whole number of at most %d bits, not %s", v.Type().Bits(), text)
	}
	v.SetInt(n)
	return ""
}

// kindOf names the JSON kind of raw as a reader of HCL would.
func kindOf(raw json.RawMessage) string {
	switch raw[0] {
	case '"':
		return "a string"
	case '{':
		return "a map"
	case '[':
		return "a list"
	case 't', 'f':
		return "a bool"
	}
	return "a number"
}
