package scheduler

import (
	"reflect"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// What holds a task up longest, and when it can start by all its limits.
func TestBinding(t *testing.T) {
	t.Parallel()
	const now, second = int64(1_000_000_000_000_000), int64(1_000_000)
	limit := func(name, text string, taken, running, most int64) standing {
		l := standing{name: name, running: running, cap: most}
		if text != "" {
			l.b = ratelimit.NewBuckets(rates(t, text))
			if taken > 0 {
				l.b.Debit(now, taken)
			}
		}
		return l
	}
	frozen := limit("github", "1/1s", 0, 0, 0)
	frozen.b.Frozen = now + 9*second
	at := func(d int64) time.Time { return time.UnixMicro(now + d*second).UTC() }
	for _, s := range []struct {
		name   string
		limits []standing
		before int64
		cost   int64
		start  int64 // seconds from now; -1 never
		want   *Binding
	}{
		{"room everywhere", []standing{limit("queue", "1/1s", 0, 0, 0), limit("github", "1/1m", 0, 0, 4)}, 0, 1, 0, nil},
		{"the slower of two rates", []standing{limit("queue", "1/1s", 1, 0, 0), limit("github", "1/1m", 1, 0, 0)}, 0, 1, 60,
			&Binding{Limit: `limit "github"`, Why: "rate", Need: 1, Next: at(60)}},
		{"those before it take what is there", []standing{limit("key", "1/1m:2", 0, 0, 0)}, 2, 1, 60,
			&Binding{Limit: `key "acme"`, Why: "rate", Need: 1, Have: 2, Next: at(60)}},
		{"a freeze", []standing{limit("queue", "1/1s", 1, 0, 0), frozen}, 0, 1, 9, &Binding{Limit: `limit "github"`, Why: "frozen", Need: 1, Have: 1, Next: at(9)}},
		{"a full cap, and a rate that has an instant", []standing{limit("queue", "1/1m", 1, 3, 3), limit("github", "1/1s", 1, 0, 0)}, 0, 1, 60,
			&Binding{Limit: "queue", Why: "concurrency", Need: 1}},
		{"a rate holds it up before the places do", []standing{limit("github", "1/1s", 1, 0, 3)}, 7, 1, 8,
			&Binding{Limit: `limit "github"`, Why: "rate", Need: 1, Next: at(8)}},
		{"those before it fill the places", []standing{limit("queue", "", 0, 1, 3)}, 2, 1, 0, &Binding{Limit: "queue", Why: "turn", Need: 1, Have: 2}},
		{"above a capacity", []standing{limit("queue", "1/1s:3", 0, 9, 9)}, 0, 4, -1, &Binding{Limit: "queue", Why: "never", Need: 4, Have: 3}},
		{"not under it", []standing{limit("queue", "1/1s:3", 3, 9, 9)}, 0, 0, 0, nil},
	} {
		stand := standings{list: s.limits}
		start, got := stand.bind(now, s.before, 1, map[string]int64{"queue": s.cost, "key": s.cost, "github": s.cost}, "acme")
		want := now + s.start*second
		if s.start < 0 {
			want = ratelimit.Never
		}
		if start != want || !reflect.DeepEqual(got, s.want) {
			t.Errorf("%s: starts at %+d µs, %+v, want %+d µs, %+v", s.name, start-now, got, want-now, s.want)
		}
	}
}
