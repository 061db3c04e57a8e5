package pluginapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Decode fills the struct that into points to. Exported fields are tagged
//
//	URL     string        `hcl:"url" doc:"where to deliver to"`
//	Timeout time.Duration `hcl:"timeout" default:"15s"`
//	Token   string        `hcl:"token,optional" sensitive:"true"`
//
// and may be string, bool, any integer or float, time.Duration (from "5s"),
// []string, map[string]string, or a pointer to one of these, which stays nil
// when the attribute is absent. An absent attribute takes its default, whose text is
// JSON for lists and maps; without one the field is left as it is. Fields without an
// hcl tag are left alone.
//
// Everything that is wrong with the block is returned at once, as joined
// AttributeErrors: unknown attributes, missing ones and those of a wrong type. No
// message repeats the value of a sensitive one. A struct that breaks these rules is the
// author's mistake: Decode panics.
func (c Config) Decode(into any) error {
	target := reflect.ValueOf(into)
	if target.Kind() != reflect.Pointer || target.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("pluginapi: Config.Decode needs a pointer to a struct, not %T", into))
	}
	target = target.Elem()

	fields := configFields(target.Type())
	schema := make([]Attribute, len(fields))
	var tooBig []error
	for i, f := range fields {
		schema[i] = f.Attribute
		raw, present := c.attrs[f.Name]
		if !present {
			raw = json.RawMessage(f.value)
		}
		if len(raw) == 0 || checkType(f.Type, raw) != "" {
			continue
		}
		if problem := setValue(target.Field(f.index), raw); problem != "" {
			tooBig = append(tooBig, f.bad(problem))
		}
	}
	var errs []error
	for _, e := range attributeErrors(errors.Join(CheckConfig(schema, c), errors.Join(tooBig...))) {
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

// attributeErrors lists those that err joins.
func attributeErrors(err error) []*AttributeError {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var list []*AttributeError
		for _, e := range joined.Unwrap() {
			list = append(list, attributeErrors(e)...)
		}
		return list
	}
	if e, ok := errors.AsType[*AttributeError](err); ok {
		return []*AttributeError{e}
	}
	return nil
}

// checkType returns what is wrong with a value of an attribute, "" if nothing. A type
// that it does not know is a later version's.
func checkType(name string, raw json.RawMessage) string {
	switch name {
	case TypeString:
		return checkJSON[string](raw, "a string")
	case TypeBool:
		return checkJSON[bool](raw, "true or false")
	case TypeInteger:
		if kind := kindOf(raw); kind != "a number" {
			return "must be a whole number, not " + kind
		}
		if _, ok := wholeNumber(raw); !ok {
			return "must be a whole number, not " + string(raw)
		}
	case TypeNumber:
		return checkJSON[float64](raw, "a number")
	case TypeDuration:
		const want = `must be a duration such as "5s" or "1m30s"`
		var text string
		if json.Unmarshal(raw, &text) != nil {
			return want + ", not " + kindOf(raw)
		}
		if _, err := time.ParseDuration(text); err != nil {
			return fmt.Sprintf("%s, not %q", want, text)
		}
	case TypeStrings:
		return checkJSON[[]string](raw, "a list of strings")
	case TypeMap:
		return checkJSON[map[string]string](raw, "a map of strings")
	}
	return ""
}

func checkJSON[T any](raw json.RawMessage, want string) string {
	if json.Unmarshal(raw, new(T)) != nil {
		return fmt.Sprintf("must be %s, not %s", want, kindOf(raw))
	}
	return ""
}

// wholeNumber is the plain spelling of one, from any that JSON has, such as 1e3 or 5.0.
func wholeNumber(raw json.RawMessage) (string, bool) {
	text := string(raw)
	if !strings.ContainsAny(text, ".eE") {
		return text, true
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<53 {
		return "", false
	}
	return strconv.FormatFloat(f, 'f', 0, 64), true
}

// setValue sets v from a value of its type. What can still be wrong is its size.
func setValue(v reflect.Value, raw json.RawMessage) string {
	if v.Kind() == reflect.Pointer {
		elem := reflect.New(v.Type().Elem())
		problem := setValue(elem.Elem(), raw)
		if problem == "" {
			v.Set(elem)
		}
		return problem
	}
	switch {
	case v.Type() == durationType:
		var text string
		json.Unmarshal(raw, &text)
		d, _ := time.ParseDuration(text)
		v.SetInt(int64(d))
	case v.CanUint():
		text, _ := wholeNumber(raw)
		n, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if err != nil {
			return fmt.Sprintf("must be a whole number from 0 to %d, not %s",
				uint64(math.MaxUint64)>>(64-v.Type().Bits()), text)
		}
		v.SetUint(n)
	case v.CanInt():
		text, _ := wholeNumber(raw)
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return fmt.Sprintf("must be a whole number of at most %d bits, not %s", v.Type().Bits(), text)
		}
		v.SetInt(n)
	default:
		value := reflect.New(v.Type()) // a map of the author's would otherwise be added to
		if err := json.Unmarshal(raw, value.Interface()); err != nil {
			return "must be a smaller number"
		}
		v.Set(value.Elem())
	}
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
