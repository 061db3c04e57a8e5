//go:build linux

package blackbox

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
	"github.com/throttlerd/throttlerd/tests/proc"
)

// Two queues side by side have 1,000 keys each, all with the same work but one, which has
// a hundred times as much in one of the queues. The other keys do not wait longer for it.
func TestBusyKeyAmongThousand(t *testing.T) {
	s := newSite(t)
	const keys, each = 1000, 5
	file := s.file(s.echo(),
		queue("even", `rate = "600/1s"`, "paused = true", "key {}"),
		queue("busy", `rate = "600/1s"`, "paused = true", "key {}"))
	s.three(file)
	s.submitKeys("busy", 99*each, "{}", "k0") // before all others
	var names []string
	for i := range keys {
		names = append(names, fmt.Sprint("k", i))
	}
	for _, q := range []string{"even", "busy"} {
		s.submitKeys(q, each, "{}", names...)
	}
	for _, q := range []string{"even", "busy"} {
		s.must(s.client.Resume(s.ctx(), q))
	}
	for _, q := range []string{"even", "busy"} {
		s.waitDone(q, map[string]int{"even": keys * each, "busy": keys*each + 99*each}[q], 60*time.Second)
	}
	p95 := make(map[string]time.Duration)
	worst := make(map[string]time.Duration) // 95th percentile of the key that waited longest
	for _, q := range []string{"even", "busy"} {
		starts := s.journal.Starts(proc.OfQueue(q))
		s.holds("queue "+q, "600/1s", starts, one)
		_, first, _ := share(starts)
		var all []time.Duration
		of := make(map[string][]time.Duration)
		for _, e := range starts {
			if e.Key != "k0" {
				wait := time.Duration(e.GrantUs-first) * time.Microsecond
				all, of[e.Key] = append(all, wait), append(of[e.Key], wait)
			}
		}
		if len(of) != keys-1 {
			t.Errorf("queue %s: %d other keys ran", q, len(of))
		}
		p95[q] = quantile(all, 0.95)
		for _, waits := range of {
			worst[q] = max(worst[q], quantile(waits, 0.95))
		}
	}
	t.Logf("figure: the other 999 keys: 95th percentile %v, beside a busy key %v; of the worst key %v and %v", p95["even"], p95["busy"], worst["even"], worst["busy"])
	if float64(p95["busy"]) > 1.2*float64(p95["even"]) {
		t.Errorf("the 95th percentile of the other keys' waits is %v beside a busy key, %v without", p95["busy"], p95["even"])
	}
	if float64(worst["busy"]) > 1.2*float64(worst["even"]) {
		t.Errorf("a key waits %v beside a busy key; without it none waits more than %v", worst["busy"], worst["even"])
	}
}

// Weights 1:2:4 are served 1:2:4, over 7,000 starts and over each 700 of them.
func TestKeysByWeight(t *testing.T) {
	s := newSite(t)
	file := s.file(s.echo(), queue("calls", `rate = "1500/1s"`, "paused = true", "key {}",
		"exception \"b\" {\nweight = 2\n}", "exception \"c\" {\nweight = 4\n}"))
	s.three(file)
	weights := map[string]int{"a": 1, "b": 2, "c": 4}
	var ids []string
	for key, w := range weights {
		ids = append(ids, s.submitKeys("calls", 1100*w, "{}", key)...)
	}
	s.must(s.client.Resume(s.ctx(), "calls"))
	starts := s.journal.WaitStarts(7700, 60*time.Second)
	slices.SortFunc(starts, func(a, b proc.Entry) int { return cmp.Compare(a.Fence, b.Fence) })
	for _, window := range []int{7000, 700} {
		for from := 0; from+window <= 7000; from += window {
			n := make(map[string]int)
			for _, e := range starts[from : from+window] {
				n[e.Key]++
			}
			for key, w := range weights {
				if want := float64(window * w / 7); math.Abs(float64(n[key])-want) > 0.05*want {
					t.Errorf("of starts %d to %d key %s has %d, not %.0f", from, from+window, key, n[key], want)
				}
			}
			if window == 7000 {
				t.Logf("figure: of 7,000 starts at weights 1:2:4: %v", n)
			}
		}
	}
	s.holds("queue calls", "1500/1s", starts, one)
	s.waitDone("calls", 7700, 10*time.Second)
	q := s.show("calls")
	s.accounted("queue calls", q.TokensSpent, q.TokensWasted, ofTasks(ids...))
}

// A key that waits for its own limit takes no token of others, and none of them waits.
func TestBlockedKeysDelayNobody(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := s.file(s.echo(), limit("api", `rate = "100/1s:50"`), queue("calls", `limits = ["api"]`, "paused = true",
		"key {\nrate = \"1/1h\"\n}", "exception \"free\" {\nrate = \"unlimited\"\n}"))
	s.three(file)
	var blocked []string
	for i := range 200 {
		blocked = append(blocked, fmt.Sprint("k", i))
	}
	ids := append(s.submitKeys("calls", 5, "{}", blocked...), s.submitKeys("calls", 400, "{}", "free")...)
	s.must(s.client.Resume(s.ctx(), "calls"))
	starts := s.journal.WaitStarts(600, 30*time.Second) // one of each that is blocked, and all of the free one
	_, first, last := share(starts)
	s.holds("limit api", "100/1s:50", starts, one)
	used := s.used("100/1s:50", len(starts), first, last)
	t.Logf("figure: %.2f %% of the limit used beside 200 keys that wait for an hour", 100*used)
	if used < 0.99 {
		t.Errorf("%.2f %% of the limit are used", 100*used)
	}
	if n := s.show("calls").Waiting; n != 800 {
		t.Errorf("%d wait, not 800", n)
	}
	api := s.limit("api")
	s.accounted("limit api", api.Spent, api.Wasted, ofTasks(ids...))
	var none scheduler.KeySpec // the default goes: all start, by turns
	none.Weight = 1
	key := &none
	s.must(s.client.UpdateQueue(s.ctx(), "calls", scheduler.QueueChange{Key: &key}))
	s.journal.WaitStarts(1400, 30*time.Second)
}
