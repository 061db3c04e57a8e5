package runtime

import (
	"fmt"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
	"github.com/throttlerd/throttlerd/scheduler"
)

// feedback puts on o what a result says of limits, within the bounds of the wire, which
// a plugin may not have kept. The error is about what is ignored, all of it as one.
func feedback(o *scheduler.Outcome, r *pluginapi.Result) error {
	var refused refusals
	if r.Outcome == pluginapi.SlowedDown {
		if o.Limit = refused.limit(r.Limit); o.Limit == "" {
			o.Limit = "queue"
		}
	}
	actual := r.Actual
	if len(actual) > handlerpb.MaxLimits {
		refused.add(fmt.Errorf("actual costs of %d limits; at most %d may be told, so none counts", len(actual), handlerpb.MaxLimits))
		actual = nil
	}
	for name, cost := range actual {
		if limit := refused.limit(name); limit != "" {
			if o.Actual == nil {
				o.Actual = make(map[string]int64, len(actual))
			}
			o.Actual[limit] = tokens(cost)
		}
	}
	reports := r.Reports
	if over := len(reports) - handlerpb.MaxLimits; over > 0 {
		refused.add(fmt.Errorf("%d reports; of more than %[2]d only the last %[2]d count", len(reports), handlerpb.MaxLimits))
		reports = reports[over:]
	}
	for _, p := range reports {
		if limit := refused.limit(p.Limit); limit != "" {
			o.Reports = append(o.Reports, scheduler.Report{Limit: limit, Remaining: tokens(p.Remaining), Reset: reset(p.ResetAt)})
		}
	}
	return refused.err()
}

func tokens(n int64) int64 { return min(max(n, 0), handlerpb.MaxTokens) }

// reset is the time to at; 0 when it has passed or was not told.
func reset(at time.Time) time.Duration {
	if at.IsZero() {
		return 0
	}
	return min(max(time.Until(at), 0), handlerpb.MaxReset)
}

// refusals keeps the first of many errors and counts the others.
type refusals struct {
	first error
	more  int
}

func (r *refusals) add(err error) {
	if r.first == nil {
		r.first = err
	} else {
		r.more++
	}
}

// limit is the name of a limit, "" when it was refused.
func (r *refusals) limit(name string) string {
	if name == "" {
		return "queue"
	}
	shown := name[:min(len(name), handlerpb.MaxLimitName+1)] // still too long, and not a page
	if err := scheduler.CheckName("limit", shown); err != nil {
		r.add(err)
		return ""
	}
	return name
}

func (r *refusals) err() error {
	if r.more > 0 {
		return fmt.Errorf("%w, and %d more", r.first, r.more)
	}
	return r.first
}
