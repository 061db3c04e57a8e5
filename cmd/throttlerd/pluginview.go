package main

import (
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/pluginapi"
)

// infoView is a plugin in JSON.
type infoView struct {
	Path     string                     `json:"path"`
	Name     string                     `json:"name"`
	Version  string                     `json:"version"`
	Doc      string                     `json:"doc"`
	Types    []string                   `json:"task_types"`
	Config   []attributeView            `json:"config"` // null: it is not declared
	Payloads map[string][]attributeView `json:"payloads"`
	Error    *string                    `json:"error"` // what kept it from saying this
}

type attributeView struct {
	Name      string  `json:"name"`
	Type      string  `json:"type"`
	Required  bool    `json:"required"`
	Default   *string `json:"default"` // as written in HCL
	Doc       string  `json:"doc"`
	Sensitive bool    `json:"sensitive"`
}

func viewInfo(path string, info pluginapi.Info) infoView {
	v := infoView{
		Path: path, Name: info.Name, Version: info.Version, Doc: info.Doc, Types: append([]string{}, info.TaskTypes...),
		Config: viewAttributes(info.Config), Payloads: map[string][]attributeView{},
	}
	for kind, fields := range info.Payloads {
		v.Payloads[kind] = viewAttributes(fields)
	}
	return v
}

func viewAttributes(list []pluginapi.Attribute) []attributeView {
	if list == nil {
		return nil
	}
	views := make([]attributeView, len(list))
	for i, a := range list {
		views[i] = attributeView{Name: a.Name, Type: a.Type, Required: a.Required, Doc: a.Doc, Sensitive: a.Sensitive}
		if a.Default != "" {
			views[i].Default = &a.Default
		}
	}
	return views
}

// runView is how one task ran, in JSON.
type runView struct {
	Outcome   string           `json:"outcome"`
	Result    any              `json:"result"` // the JSON value; a string if it is none; null unless done
	Truncated bool             `json:"result_truncated"`
	Error     *string          `json:"error"`
	Delay     float64          `json:"delay_seconds"` // of retry_after and throttled
	Limit     *string          `json:"limit"`         // of throttled
	Took      float64          `json:"took_seconds"`
	Progress  []progressView   `json:"progress"`
	Actual    map[string]int64 `json:"actual_costs"` // by limit
	Reports   []reportView     `json:"reports"`
}

type progressView struct {
	Percent int    `json:"percent"`
	Note    string `json:"note"`
}

type reportView struct {
	Limit     string     `json:"limit"`
	Remaining int64      `json:"remaining"`
	ResetAt   *time.Time `json:"reset_at"`
}

func viewRun(r pluginapi.Result, progress []pluginapi.Progress) runView {
	v := runView{
		Outcome: r.Outcome.String(), Truncated: r.Truncated, Delay: r.Delay.Seconds(), Took: r.Took.Seconds(),
		Progress: []progressView{}, Actual: map[string]int64{}, Reports: []reportView{},
	}
	if r.Outcome == pluginapi.Done {
		v.Result = content(r.Result)
	}
	if r.Err != "" {
		v.Error = &r.Err
	}
	if r.Limit != "" {
		v.Limit = &r.Limit
	}
	for _, p := range progress {
		v.Progress = append(v.Progress, progressView{p.Percent, p.Note})
	}
	for limit, tokens := range r.Actual {
		v.Actual[limit] = tokens
	}
	for _, x := range r.Reports {
		report := reportView{Limit: x.Limit, Remaining: x.Remaining}
		if !x.ResetAt.IsZero() {
			at := x.ResetAt.UTC()
			report.ResetAt = &at
		}
		v.Reports = append(v.Reports, report)
	}
	return v
}

func content(b []byte) any {
	switch {
	case len(b) == 0:
		return nil
	case json.Valid(b):
		return json.RawMessage(b)
	}
	return string(b)
}

func printJSON(c *cobra.Command, v any) error {
	e := json.NewEncoder(c.OutOrStdout())
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
