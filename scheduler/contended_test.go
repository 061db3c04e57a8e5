package scheduler

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// contest is one worker on Redis with engine time of its own: it claims when the due index
// says so, runs what it is granted for a while, settles it, and keeps the queues full.
type contest struct {
	t      *testing.T
	c      *Client
	s      *Session
	free   int
	lasts  func(queue string) time.Duration
	starts map[byte]int // by the first letter of the queue
	grants int
	moves  int
	claims int
	ends   []end
}

type end struct {
	at      int64
	outcome Outcome
}

func newContest(t *testing.T, c *Client, slots int) *contest {
	return &contest{t: t, c: c, s: newWorker(t, c, "w"), free: slots, starts: make(map[byte]int),
		lasts: func(string) time.Duration { return time.Millisecond }}
}

// queues makes n queues with a backlog each, named letter and a number.
func (x *contest) queues(n int, letter string, costs map[string]int64, limits ...string) {
	for i := range n {
		name := fmt.Sprintf("%s%04d", letter, i)
		newQueue(x.t, x.c, name, "", under(limits...))
		x.submit(name, 2, costs)
	}
}

func (x *contest) submit(queue string, n int, costs map[string]int64) {
	x.t.Helper()
	many := make([]SubmitRequest, n)
	for i := range many {
		many[i] = SubmitRequest{Payload: []byte("{}"), Costs: costs}
	}
	if _, err := x.c.SubmitMany(context.Background(), queue, many); err != nil {
		x.t.Fatal(err)
	}
}

// now is engine time.
func (x *contest) now() int64 {
	x.t.Helper()
	at, err := x.c.rdb.Time(context.Background()).Result()
	if err != nil {
		x.t.Fatal(err)
	}
	return at.UnixMicro() + number(x.c.rdb.HGet(context.Background(), x.c.keys.clock(), "off").Val())
}

// run goes on for a span of engine time; costs are those of the queues with that letter.
func (x *contest) run(span time.Duration, costs map[byte]map[string]int64) {
	x.t.Helper()
	ctx := context.Background()
	until := x.now() + span.Microseconds()
	for {
		next := until
		first := x.c.rdb.ZRangeWithScores(ctx, x.c.keys.prefix+"due:default:echo", 0, 0).Val()
		if x.free > 0 && len(first) > 0 {
			next = min(next, int64(first[0].Score))
		}
		if len(x.ends) > 0 {
			next = min(next, x.ends[0].at)
		}
		now := x.now()
		if now >= until {
			return
		}
		if next > now {
			forward(x.t, x.c, time.Duration(next-now)*time.Microsecond)
			now = next
		}
		var out []Outcome
		for len(x.ends) > 0 && x.ends[0].at <= now {
			out = append(out, x.ends[0].outcome)
			x.ends = x.ends[1:]
			x.free++
		}
		if len(out) > 0 {
			settle(x.t, x.s, out...)
		}
		if x.free == 0 {
			continue
		}
		x.claims++
		g := claimN(x.t, x.s, x.free)
		refill := make(map[string]int)
		now = x.now()
		for _, r := range g.Grants {
			x.free--
			x.grants++
			x.starts[r.Queue[0]]++
			refill[r.Queue]++
			e := end{now + r.StartIn.Microseconds() + x.lasts(r.Queue).Microseconds(), report(r, Done, 0, "")}
			i, _ := slices.BinarySearchFunc(x.ends, e, func(a, b end) int { return int(a.at - b.at) })
			x.ends = slices.Insert(x.ends, i, e)
		}
		x.moves += g.Moves
		for q, n := range refill {
			x.submit(q, n, costs[q[0]])
		}
	}
}

// A under L, C under M, Q under both: Q gets its turn at the slower one, and both are used.
func TestContendedLimits(t *testing.T) {
	for _, tt := range []struct {
		l, m    string
		a, c, q int
		cost    int64 // of Q at L
	}{
		{"100/1s:5", "50/1s:5", 1, 1, 1, 1},
		{"100/1s:5", "100/1s:5", 1, 1, 1, 1},
		{"100/1s:5", "70/1s:5", 1, 1, 1, 1},
		{"100/1s:5", "95/1s:5", 6, 1, 50, 1}, // both bind Q
		{"100/1s:5", "50/1s:5", 100, 1, 10, 1},
		{"100/1s:50", "50/1s:5", 1, 1, 5, 10},
		{"7/1m:5", "5/1m:5", 1, 1, 1, 1}, // a token in longer than anybody is patient
		{"11/1m:20", "7/1m:5", 1, 1, 1, 7},
		{"1/20s:2", "1/17s:2", 1, 1, 1, 1},
		{"100/1s:5", "50/1s:5", 1, 1, 1000, 1},
	} {
		t.Run(fmt.Sprintf("%s,%s,%d+%d+%d", tt.l, tt.m, tt.a, tt.c, tt.q), func(t *testing.T) {
			c := onRedis(t)
			newLimit(t, c, "l", tt.l, 0)
			newLimit(t, c, "m", tt.m, 0)
			x := newContest(t, c, 64)
			costs := map[string]int64{"l": tt.cost}
			x.queues(tt.a, "a", nil, "l")
			x.queues(tt.c, "c", nil, "m")
			x.queues(tt.q, "q", costs, "l", "m")
			l, m := rates(t, tt.l)[0], rates(t, tt.m)[0]
			pace := func(r ratelimit.Rate, n int) float64 { return float64(n) * r.Period.Seconds() / float64(r.N) }
			span := max(10, 400*pace(m, 1))
			x.run(time.Duration(span*1e9), map[byte]map[string]int64{'q': costs})
			checkInvariants(t, c)
			round := max(pace(l, tt.a+int(tt.cost)*tt.q), pace(m, tt.c+tt.q))
			share := span / round * float64(tt.q)
			a, cc, q := float64(x.starts['a']), float64(x.starts['c']), float64(x.starts['q'])
			ul, um := (a+float64(tt.cost)*q)*pace(l, 1)/span, (cc+q)*pace(m, 1)/span
			t.Logf("%.0f + %.0f + %.0f of %.0f; used %.3f, %.3f; %d moves, %d claims for %d grants", a, cc, q, share, ul, um, x.moves, x.claims, x.grants)
			if q < 0.9*share {
				t.Errorf("Q had %.0f starts, its turn at the slower limit is %.0f", q, share)
			}
			if ul < 0.95 || um < 0.95 {
				t.Errorf("L is used %.3f, M %.3f", ul, um)
			}
			if x.moves >= x.grants {
				t.Errorf("%d moves for %d grants", x.moves, x.grants)
			}
		})
	}
}

// A queue under two limits whose places, or tokens and places, others take up at once, is
// served nevertheless, and little is lost by it. The time that the calls take is a part of
// the loss here: a place stands empty meanwhile.
func TestContendedCaps(t *testing.T) {
	for _, tt := range []struct {
		name       string
		lCap       int
		mRate      string
		mCap       int
		q          int
		lasts      time.Duration
		span       time.Duration
		share      float64 // of its turn, at least
		lUse, mUse float64 // of the places of L, and of the tokens of M or its places
	}{
		{"many places, a rate", 20, "5/1s", 0, 1, time.Second, 5 * time.Minute, 0.9, 0.95, 0.95},
		{"long tasks", 20, "5/1s", 0, 1, time.Minute, 20 * time.Minute, 0.9, 0.95, 0.95},
		{"one place, a slow rate, long tasks", 1, "1/1m", 0, 1, 10 * time.Minute, 24 * time.Hour, 0.9, 0.9, 0.95},
		{"one place, short tasks", 1, "50/1s:5", 0, 1, 100 * time.Millisecond, 2 * time.Minute, 0.9, 0.95, 0.95},
		{"two caps", 20, "unlimited", 5, 1, time.Second, 3 * time.Minute, 0.9, 0.92, 0.95},
		{"as many places as tokens", 60, "50/1s", 0, 50, time.Second, time.Minute, 0.9, 0.85, 0.9},
		{"many queues at few places", 5, "50/1s:5", 0, 50, time.Second, 2 * time.Minute, 0.9, 0.95, 0.95},
		{"many queues at few tokens", 20, "5/1s", 0, 50, time.Second, 5 * time.Minute, 0.9, 0.87, 0.95},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := onRedis(t)
			newLimit(t, c, "l", "unlimited", tt.lCap)
			newLimit(t, c, "m", tt.mRate, tt.mCap)
			x := newContest(t, c, 1000)
			n := 0
			x.lasts = func(string) time.Duration { // four fifths to six fifths, evenly
				n++
				return tt.lasts * time.Duration(80+n*17%41) / 100
			}
			x.queues(1, "a", nil, "l")
			x.queues(1, "c", nil, "m")
			x.queues(tt.q, "q", nil, "l", "m")
			if os.Getenv("THROTTLE_LONG") == "" { // beside other tests the calls take longer
				tt.span, tt.share, tt.lUse, tt.mUse = tt.span/3, tt.share-0.07, tt.lUse-0.07, tt.mUse-0.07
			}
			x.run(tt.span, nil)
			checkInvariants(t, c)
			perPlace := float64(tt.span) / float64(tt.lasts)
			lGives, mGives := float64(tt.lCap)*perPlace, float64(tt.mCap)*perPlace
			if tt.mCap == 0 {
				r := rates(t, tt.mRate)[0]
				mGives = tt.span.Seconds() * float64(r.N) / r.Period.Seconds()
			}
			q := float64(tt.q)
			share := q / (q + 1) * min(lGives, mGives)
			a, cc, got := float64(x.starts['a']), float64(x.starts['c']), float64(x.starts['q'])
			ul, um := (a+got)/lGives, (cc+got)/mGives
			t.Logf("%.0f + %.0f + %.0f of %.0f; used %.3f, %.3f; %d moves, %d claims for %d grants", a, cc, got, share, ul, um, x.moves, x.claims, x.grants)
			if got < tt.share*share {
				t.Errorf("Q had %.0f starts, its turn is %.0f", got, share)
			}
			if ul < tt.lUse || um < tt.mUse {
				t.Errorf("%.3f of the places of L and %.3f of M were used", ul, um)
			}
			if x.moves >= x.grants {
				t.Errorf("%d moves for %d grants", x.moves, x.grants)
			}
		})
	}
}
