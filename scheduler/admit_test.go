package scheduler

import (
	"context"
	"testing"
	"time"
)

// What Admission refuses, submit refuses in the same words, and nothing else.
func TestAdmissionSaysWhatSubmitDoes(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newLimit(t, c, "github", "10/1s:50, 300/15m:20", 0)
		newLimit(t, c, "places", "unlimited", 3)
		newLimit(t, c, "lowered", "1/1h:9", 0)
		lower := rates(t, "1/1h:2")
		if _, err := c.SetLimit(ctx, "lowered", LimitChange{Rates: &lower, For: time.Hour}); err != nil {
			t.Fatal(err)
		}
		wide, any := rates(t, "1/1h:7"), rates(t, "unlimited")
		newQueue(t, c, "plain", "10/1m:5")
		newQueue(t, c, "free", "", under("places", "lowered"))
		newQueue(t, c, "keyed", "", under("github"), func(s *QueueSpec) {
			s.Key = &KeySpec{Rates: rates(t, "1/1h:4"), Weight: 1}
			s.Exceptions = map[string]KeyRule{"acme": {Rates: &wide}, "void": {Rates: &any}}
		})
		for _, s := range []struct {
			r       SubmitRequest
			refused bool
		}{
			{SubmitRequest{Queue: "plain", Cost: 5}, false},
			{SubmitRequest{Queue: "plain", Cost: 6}, true},
			{SubmitRequest{Queue: "plain", Cost: 6, Costs: map[string]int64{"queue": 5}}, false},
			{SubmitRequest{Queue: "plain", Costs: map[string]int64{"queue": 0}}, false},
			{SubmitRequest{Queue: "plain", Costs: map[string]int64{"github": 1}}, true},
			{SubmitRequest{Queue: "plain", Costs: map[string]int64{"key": 1}}, true},
			{SubmitRequest{Queue: "free", Cost: 1000, Costs: map[string]int64{"lowered": 9}}, false},
			{SubmitRequest{Queue: "keyed"}, true},
			{SubmitRequest{Queue: "keyed", Key: "globex", Cost: 4}, false},
			{SubmitRequest{Queue: "keyed", Key: "globex", Cost: 5}, true},
			{SubmitRequest{Queue: "keyed", Key: "acme", Cost: 7}, false},
			{SubmitRequest{Queue: "keyed", Key: "acme", Cost: 8}, true},
			{SubmitRequest{Queue: "keyed", Key: "void", Cost: 20}, false},
			{SubmitRequest{Queue: "keyed", Key: "void", Costs: map[string]int64{"github": 21}}, true},
			{SubmitRequest{Queue: "keyed", Key: "globex", Costs: map[string]int64{"places": 1}}, true},
		} {
			a, err := c.Admission(ctx, s.r.Queue)
			if err != nil {
				t.Fatal(err)
			}
			said := a.Check(&s.r)
			_, err = c.Submit(ctx, s.r)
			if text(said) != text(err) || (err != nil) != s.refused {
				t.Errorf("%+v: %q, and submit says %q", s.r, text(said), text(err))
			}
		}
		if _, err := c.Admission(ctx, "plane"); text(err) != `no queue "plane" in namespace "test"; did you mean "plain"?` {
			t.Error(err)
		}
	})
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
