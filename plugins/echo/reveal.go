package main

import (
	"encoding/json"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
)

// revealed is a task as JSON shows it.
type revealed struct {
	ID          string            `json:"id"`
	Queue       string            `json:"queue"`
	Type        string            `json:"type"`
	Key         string            `json:"key"`
	Attempt     int               `json:"attempt"`
	MaxAttempts int               `json:"max_attempts"`
	Run         int64             `json:"run,string"` // it may be more than a float holds
	Headers     map[string]string `json:"headers"`
	SubmittedUs int64             `json:"submitted_us"`
	GrantedUs   int64             `json:"granted_us"`
	LeftUs      int64             `json:"left_us"` // until the deadline; 0: none
}

func reveal(t *pluginapi.Task) ([]byte, error) {
	r := revealed{
		ID: t.ID, Queue: t.Queue, Type: t.Type, Key: t.Key,
		Attempt: t.Attempt, MaxAttempts: t.MaxAttempts, Run: t.Fence, Headers: t.Headers,
		SubmittedUs: t.SubmittedAt.UnixMicro(), GrantedUs: t.GrantedAt.UnixMicro(),
	}
	if !t.Deadline.IsZero() {
		r.LeftUs = time.Until(t.Deadline).Microseconds()
	}
	return json.Marshal(r)
}
