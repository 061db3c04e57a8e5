package scheduler

import (
	"fmt"
	"strings"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// The names of the limits that are not named ones.
const (
	ofQueue = "queue"
	ofKey   = "key"
)

// encodeCosts writes costs as cost.lua reads them; "" where each is 1.
func encodeCosts(all int64, costs map[string]int64) string {
	if all == 0 {
		all = 1
	}
	if all == 1 && len(costs) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprint(&b, all)
	for _, name := range sortedKeys(costs) {
		fmt.Fprintf(&b, " %s=%d", name, costs[name]) // also where it is no other: submit looks whether there is such a limit
	}
	return b.String()
}

func decodeCosts(s string) (all int64, costs map[string]int64) {
	for i, f := range strings.Fields(s) {
		name, c, found := strings.Cut(f, "=")
		switch {
		case i == 0:
			all = number(f)
		case found:
			if costs == nil {
				costs = make(map[string]int64)
			}
			costs[name] = number(c)
		}
	}
	return max(all, 1), costs
}

// costOf is what a task costs of one limit.
func costOf(name string, all int64, costs map[string]int64) int64 {
	if c, ok := costs[name]; ok {
		return c
	}
	return max(all, 1)
}

// checkCosts refuses what cannot be a cost.
func checkCosts(all int64, costs map[string]int64) error {
	if all < 0 || all > ratelimit.MaxCount {
		return &InvalidError{What: "cost", Reason: fmt.Sprintf("%d must be 1 to %d", all, ratelimit.MaxCount), Payload: true}
	}
	for _, name := range sortedKeys(costs) {
		if !ratelimit.ValidName(name) {
			return &InvalidError{What: "cost", Reason: fmt.Sprintf("%q names no limit", name), Payload: true}
		}
		if c := costs[name]; c < 0 || c > ratelimit.MaxCount {
			return &InvalidError{What: "cost", Reason: fmt.Sprintf("%d of %q must be 0 to %d", c, name, ratelimit.MaxCount), Payload: true}
		}
	}
	if len(costs) > maxLimits+2 {
		return &InvalidError{What: "cost", Reason: fmt.Sprintf("names %d limits; a task is under at most %d", len(costs), maxLimits+2), Payload: true}
	}
	return nil
}
