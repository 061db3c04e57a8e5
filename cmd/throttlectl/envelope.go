package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/runtime/config"
	"github.com/throttlerd/throttlerd/scheduler"
)

var envelopeFields = []string{"payload", "id", "type", "key", "headers", "cost", "in", "at"}

// task reads one line of a bulk as a task: a payload, or an envelope with one in it. It
// finds all that a submit would refuse.
func (b *bulkFile) task(text []byte) (r scheduler.SubmitRequest, err error) {
	if len(text) == 0 {
		return r, errors.New("is empty; each line is one JSON value")
	}
	if bytes.HasPrefix(text, []byte("\xef\xbb\xbf")) {
		return r, errors.New("begins with a byte order mark; save the file without one")
	}
	if !b.envelope {
		r.Payload = text
	} else if err := readEnvelope(text, &r); err != nil {
		return r, err
	}
	if err := r.Validate(b.payload); err != nil {
		return r, err
	}
	if !b.envelope { // an envelope has been read as JSON already
		return r, scheduler.CheckJSON(text)
	}
	return r, nil
}

// readEnvelope reads {"payload":…, …} strictly: encoding/json by itself would take
// unknown fields, fields twice, and any capitals.
func readEnvelope(text []byte, r *scheduler.SubmitRequest) error {
	if err := scheduler.CheckJSON(text); err != nil {
		var invalid *scheduler.InvalidError
		if errors.As(err, &invalid) {
			return errors.New(invalid.Reason)
		}
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if t, _ := d.Token(); t != json.Delim('{') {
		return fmt.Errorf(`is no envelope {"payload":…}; without --envelope each line is a payload`)
	}
	seen := make(map[string]bool, len(envelopeFields))
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := t.(string)
		if seen[name] {
			return fmt.Errorf("%q is there twice", name)
		}
		seen[name] = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		if err := envelopeField(r, name, value); err != nil {
			return err
		}
	}
	switch {
	case !seen["payload"]:
		return errors.New(`has no "payload"`)
	case seen["in"] && seen["at"]:
		return errors.New(`has both "in" and "at"; give one`)
	}
	return nil
}

func envelopeField(r *scheduler.SubmitRequest, name string, value json.RawMessage) error {
	switch name {
	case "payload":
		r.Payload = value
		return nil
	case "id":
		if err := text(name, value, &r.ID); err != nil || r.ID != "" {
			return err
		}
		return errors.New(`"id" is empty; leave it out for one by file and line`)
	case "type":
		return text(name, value, &r.Type)
	case "key":
		return text(name, value, &r.Key)
	case "headers":
		var h map[string]*string
		if json.Unmarshal(value, &h) != nil || h == nil {
			return errors.New(`"headers" must be an object of strings`)
		}
		r.Headers = make(map[string]string, len(h))
		for k, v := range h {
			if v == nil {
				return fmt.Errorf(`"headers": %q must be a string`, k)
			}
			r.Headers[k] = *v
		}
		return nil
	case "cost":
		return costField(r, value)
	case "in":
		var s string
		if err := text(name, value, &s); err != nil {
			return err
		}
		d, err := config.ParseDuration(s)
		if err == nil && (d < 0 || d > maxDelay) {
			err = fmt.Errorf("%q must be 0 to %s", s, exact(maxDelay))
		}
		if err != nil {
			return fmt.Errorf(`"in": %w`, err)
		}
		r.In = d
		return nil
	case "at":
		var s string
		if err := text(name, value, &s); err != nil {
			return err
		}
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return fmt.Errorf(`"at" %q is not an instant; write date, time and zone as in "2026-12-31T23:59:00Z"`, s)
		}
		r.At = t
		return nil
	}
	if near := ratelimit.Nearest(name, envelopeFields); near != "" {
		return fmt.Errorf("has an unknown field %q; did you mean %q?", name, near)
	}
	return fmt.Errorf("has an unknown field %q; there are %s", name, strings.Join(envelopeFields, ", "))
}

func text(name string, value json.RawMessage, to *string) error {
	var s *string
	if json.Unmarshal(value, &s) != nil || s == nil {
		return fmt.Errorf("%q must be a string, not %s", name, cut(string(value), 40))
	}
	*to = *s
	return nil
}
