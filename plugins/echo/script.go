package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// script says what echo does with a task beside returning its payload.
type script struct {
	Sleep    time.Duration `hcl:"sleep,optional" doc:"sleep before anything else, and tell each second how far it is"`
	Log      string        `hcl:"log,optional" doc:"log this text"`
	Fail     string        `hcl:"fail,optional" doc:"fail with this text"`
	Throttle time.Duration `hcl:"throttle,optional" doc:"ask for this slow-down"`
	Limit    string        `hcl:"limit,optional" doc:"of this limit instead of the queue's own"`
	Retry    time.Duration `hcl:"retry_after,optional" doc:"fail, and ask for the next attempt then"`
	Panic    string        `hcl:"panic,optional" doc:"panic with this text"`
	Exit     *int          `hcl:"exit,optional" doc:"end the process with this code"`
	Journal  string        `hcl:"journal,optional" doc:"append a line per start and finish to this file"`

	// What only a payload can set.
	Actual map[string]int64 // tell these costs, by limit
	Report []report         // report these limits of the upstream
	Reveal bool             // return the task itself
}

// report is a pluginapi.Report whose reset comes so long after the end of sleep.
type report struct {
	limit     string
	remaining int64
	reset     time.Duration // 0: not told
}

// scripted holds the fields of a payload that script echo, as JSON spells them.
type scripted struct {
	Sleep    *string `json:"sleep"`
	Log      *string `json:"log"`
	Fail     *string `json:"fail"`
	Throttle *string `json:"throttle"`
	Limit    *string `json:"limit"`
	Retry    *string `json:"retry_after"`
	Panic    *string `json:"panic"`
	Exit     *int    `json:"exit"`
	Journal  *string `json:"journal"`

	Actual map[string]int64 `json:"actual"`
	Report []scriptedReport `json:"report"`
	Reveal bool             `json:"reveal"`
}

type scriptedReport struct {
	Limit     string  `json:"limit"`
	Remaining int64   `json:"remaining"`
	Reset     *string `json:"reset"`
}

var fields = [][]byte{
	[]byte(`"sleep"`), []byte(`"log"`), []byte(`"fail"`), []byte(`"throttle"`), []byte(`"limit"`),
	[]byte(`"retry_after"`), []byte(`"panic"`), []byte(`"exit"`), []byte(`"journal"`),
	[]byte(`"actual"`), []byte(`"report"`), []byte(`"reveal"`),
}

// override returns s with the fields that the payload sets. A payload that is
// not a JSON object sets none; a field of a wrong type is an error.
func (s script) override(payload []byte) (script, error) {
	if !mayScript(payload) {
		return s, nil
	}
	var p scripted
	if err := json.Unmarshal(payload, &p); err != nil {
		if !json.Valid(payload) {
			return s, nil
		}
		return s, fmt.Errorf("payload: %w", err)
	}
	if err := setDuration(&s.Sleep, "sleep", p.Sleep); err != nil {
		return s, err
	}
	if err := setDuration(&s.Throttle, "throttle", p.Throttle); err != nil {
		return s, err
	}
	if err := setDuration(&s.Retry, "retry_after", p.Retry); err != nil {
		return s, err
	}
	for _, r := range p.Report {
		scripted := report{limit: r.Limit, remaining: r.Remaining}
		if err := setDuration(&scripted.reset, "reset", r.Reset); err != nil {
			return s, err
		}
		s.Report = append(s.Report, scripted)
	}
	s.Actual, s.Reveal = p.Actual, p.Reveal
	setString(&s.Log, p.Log)
	setString(&s.Fail, p.Fail)
	setString(&s.Limit, p.Limit)
	setString(&s.Panic, p.Panic)
	setString(&s.Journal, p.Journal)
	if p.Exit != nil {
		s.Exit = p.Exit
	}
	return s, nil
}

// mayScript tells cheaply whether decoding the payload could set a field.
func mayScript(payload []byte) bool {
	trimmed := bytes.TrimLeft(payload, " \t\r\n")
	if len(trimmed) == 0 || trimmed[0] != '{' {
		return false
	}
	for _, field := range fields {
		if bytes.Contains(trimmed, field) {
			return true
		}
	}
	return false
}

func setString(to *string, from *string) {
	if from != nil {
		*to = *from
	}
}

func setDuration(to *time.Duration, name string, from *string) error {
	if from == nil {
		return nil
	}
	d, err := time.ParseDuration(*from)
	if err != nil {
		return fmt.Errorf("payload field %q must be a duration such as \"5s\", not %q", name, *from)
	}
	*to = d
	return nil
}
