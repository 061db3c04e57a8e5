package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// printJSON adds one value to standard output.
func (a *app) printJSON(v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	a.out.Write(asciiControls(b.Bytes()))
	return nil
}

// asciiControls escapes, in JSON text, what a terminal might obey and JSON allows to
// stand as it is. Such characters stand only inside strings, where the escape means
// the same.
func asciiControls(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		switch {
		case r == '\n' || n == 1 && r < 0x7f || r != utf8.RuneError && unicode.IsPrint(r):
			out = append(out, text[i:i+n]...)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
		default: // bytes that are no UTF-8 become U+FFFD, as every JSON reader has it
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		i += n
	}
	return out
}

// instant is a time in JSON: null when there is none.
func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// optional is null in JSON for the zero value.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// list is never null in JSON.
func list[T any](v []T) []T {
	if v == nil {
		return []T{}
	}
	return v
}

// content is bytes of a task in JSON: as the value they are, if they are JSON, else as
// a string; null when there are none.
func content(b []byte) any {
	switch {
	case len(b) == 0:
		return nil
	case json.Valid(b):
		return json.RawMessage(b)
	}
	return string(b)
}

// printLine adds one value of a stream to standard output: a line of JSON.
func (a *app) printLine(v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	a.out.Write(asciiControls(b.Bytes()))
	return nil
}
