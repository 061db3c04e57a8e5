package main

import (
	"strings"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
)

// workerView is a worker in JSON.
type workerView struct {
	ID           string         `json:"id"`
	Host         string         `json:"host"`
	PID          int            `json:"pid"`
	Pool         string         `json:"pool"` // several with commas between them
	Handlers     []string       `json:"handlers"`
	Slots        int            `json:"slots"` // of all its handlers together
	Running      int            `json:"running"`
	LeaseSeconds float64        `json:"lease_seconds"`
	Version      string         `json:"version"`
	ConfigHash   string         `json:"config_hash"`
	Pools        []string       `json:"pools"`
	HandlerSlots map[string]int `json:"handler_slots"`
	Live         bool           `json:"live"`     // its lease is in force
	Draining     bool           `json:"draining"` // it takes no more tasks
	LeaseEndsIn  float64        `json:"lease_ends_in_seconds"`
	HeartbeatAge float64        `json:"heartbeat_age_seconds"`
	StartedAt    *time.Time     `json:"started_at"`
}

// viewWorker needs the engine's time, by which leases end.
func viewWorker(w scheduler.Worker, now time.Time) workerView {
	v := workerView{
		ID: w.ID, Host: w.Host, PID: w.PID, Pool: strings.Join(w.Pools, ","), Pools: w.Pools, Handlers: w.Handlers(),
		Running: w.Running, LeaseSeconds: w.Lease.Seconds(), Version: w.Version, ConfigHash: w.ConfigHash,
		HandlerSlots: w.Slots, Live: w.LeaseEnds.After(now), Draining: w.Draining, LeaseEndsIn: w.LeaseEnds.Sub(now).Seconds(),
		HeartbeatAge: age(w, now).Seconds(), StartedAt: instant(w.Started),
	}
	for _, n := range w.Slots {
		v.Slots += n
	}
	return v
}

// workerState is "live", "draining" or "lost": its lease has ended.
func workerState(w scheduler.Worker, now time.Time) string {
	switch {
	case !w.Live(now):
		return "lost"
	case w.Draining:
		return "draining"
	}
	return "live"
}

// age is how long ago a worker was last heard of.
func age(w scheduler.Worker, now time.Time) time.Duration { return max(0, now.Sub(w.Beat)) }

func ageText(w scheduler.Worker, now time.Time) string { return span(age(w, now)) + " ago" }
