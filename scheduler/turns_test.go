package scheduler

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// rush claims all that may start, each step of engine time, settles it at once, and keeps
// the queues full; it counts starts by queue, claims and moves.
type rush struct {
	t       *testing.T
	c       *Client
	s       *Session
	starts  map[string]int
	grants  int
	moves   int
	commits []Outcome
}

func newRush(t *testing.T, c *Client) *rush {
	return &rush{t: t, c: c, s: newWorker(t, c, "w"), starts: make(map[string]int)}
}

func (r *rush) run(span, step time.Duration) {
	r.t.Helper()
	for at := time.Duration(0); at < span; at += step {
		g, settled, err, claimErr := r.s.Exchange(context.Background(), r.commits, &Claim{Slots: []Slots{{"default:echo", 128}}, Lookahead: 50 * time.Millisecond})
		if err != nil || claimErr != nil || settled.Stale > 0 {
			r.t.Fatal(err, claimErr, settled.Stale)
		}
		r.commits = nil
		for _, x := range g.Grants {
			r.starts[x.Queue]++
			r.commits = append(r.commits, report(x, Done, 0, ""))
		}
		r.grants += len(g.Grants)
		r.moves += g.Moves
		forward(r.t, r.c, step)
	}
}

// A queue under two contended limits gets its turn at the slower one, neither limit stands
// still for it, and it is moved less than once a grant.
func TestTurnUnderTwoLimits(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newLimit(t, c, "slow", "10/1s:5", 0)
		newLimit(t, c, "fast", "50/1s:5", 0)
		newQueue(t, c, "a", "", under("slow"))
		newQueue(t, c, "b", "", under("fast"))
		newQueue(t, c, "both", "", under("slow", "fast"))
		for _, q := range []string{"a", "b", "both"} {
			submitN(t, c, q, 3000)
		}
		r := newRush(t, c)
		const seconds = 30
		r.run(seconds*time.Second, 20*time.Millisecond)
		checkInvariants(t, c)
		slow, fast := r.starts["a"]+r.starts["both"], r.starts["b"]+r.starts["both"]
		t.Logf("%v, %d moves", r.starts, r.moves)
		if r.starts["both"] < 9*seconds*5/10 {
			t.Errorf("under both: %d starts of %d", r.starts["both"], seconds*5)
		}
		if slow < 95*seconds*10/100 || fast < 95*seconds*50/100 {
			t.Errorf("slow is used %d of %d, fast %d of %d", slow, seconds*10, fast, seconds*50)
		}
		if r.moves > r.grants {
			t.Errorf("%d moves for %d grants", r.moves, r.grants)
		}
	})
}

// The same with 1,000 queues under both limits.
func TestThousandQueuesUnderTwoLimits(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		queues, seconds := 1000, 40
		if c.miniredis() {
			queues, seconds = 100, 10
		}
		newLimit(t, c, "slow", "50/1s:5", 0)
		newLimit(t, c, "fast", "150/1s:5", 0)
		newQueue(t, c, "a", "", under("slow"))
		newQueue(t, c, "b", "", under("fast"))
		submitN(t, c, "a", 1000)
		submitN(t, c, "b", 9000)
		for i := range queues {
			newQueue(t, c, fmt.Sprint("q", i), "", under("slow", "fast"))
			submitN(t, c, fmt.Sprint("q", i), 6)
		}
		r := newRush(t, c)
		r.run(time.Duration(seconds)*time.Second, 20*time.Millisecond)
		checkInvariants(t, c)
		both, least, most := 0, 1<<30, 0
		for i := range queues {
			n := r.starts[fmt.Sprint("q", i)]
			both, least, most = both+n, min(least, n), max(most, n)
		}
		t.Logf("%d under slow, %d under fast, %d under both, each %d to %d; %d moves", r.starts["a"], r.starts["b"], both, least, most, r.moves)
		if slow, fast := r.starts["a"]+both, r.starts["b"]+both; slow < 95*seconds*50/100 || fast < 95*seconds*150/100 {
			t.Errorf("slow is used %d of %d, fast %d of %d", slow, seconds*50, fast, seconds*150)
		}
		if most-least > 1 {
			t.Errorf("turns differ: %d to %d", least, most)
		}
		if r.moves > r.grants {
			t.Errorf("%d moves for %d grants", r.moves, r.grants)
		}
	})
}

// Queues of another index have their turns too, while somebody idle serves them; where
// nobody does, they delay no one.
func TestTurnsAcrossIndexes(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newLimit(t, c, "api", "50/1s:2", 0)
		far := func(s *QueueSpec) { s.Pool = "far" }
		newQueue(t, c, "near", "", under("api"))
		newQueue(t, c, "far", "", under("api"), far)
		submitN(t, c, "near", 2000)
		submitN(t, c, "far", 2000)
		r := newRush(t, c)
		r.run(2*time.Second, 20*time.Millisecond)
		if n := r.starts["near"]; n < 90 || r.starts["far"] > 0 {
			t.Errorf("without a worker of the other pool: %v", r.starts)
		}
		other, err := c.Register(ctx, Worker{ID: "other", Pools: []string{"far"}, Indexes: []string{"far:echo"}, Lease: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		woken := make(chan struct{}, 1000)
		listening, stop := context.WithCancel(ctx)
		defer stop()
		if err := other.Listen(listening, func(Signal) { woken <- struct{}{} }); err != nil {
			t.Fatal(err)
		}
		starts := map[string]int{}
		claim := func(s *Session, index string) {
			g, _, _, err := s.Exchange(ctx, nil, &Claim{Slots: []Slots{{index, 1000}}, Lookahead: 50 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range g.Grants {
				starts[x.Queue]++
			}
		}
		for range 300 { // the near worker is always first to ask
			claim(r.s, "default:echo")
			claim(other, "far:echo")
			forward(t, c, 20*time.Millisecond)
		}
		t.Logf("%v", starts)
		if sum := starts["near"] + starts["far"]; sum < 285 || starts["near"] < 100 || starts["far"] < 130 {
			t.Errorf("%v of 300", starts)
		}
		checkInvariants(t, c)
	})
}

// A queue that is not first at the faster limit goes there with its turn; the slower keeps
// its token for it and serves the others meanwhile.
func TestTurnAtACrowdedFasterLimit(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		const crowd, seconds = 30, 30
		newLimit(t, c, "slow", "10/1s:5", 0)
		newLimit(t, c, "fast", "50/1s:5", 0)
		newQueue(t, c, "a", "", under("slow"))
		newQueue(t, c, "both", "", under("slow", "fast"))
		for _, q := range []string{"a", "both"} {
			submitN(t, c, q, 1000)
		}
		for i := range crowd {
			newQueue(t, c, fmt.Sprint("b", i), "", under("fast"))
			submitN(t, c, fmt.Sprint("b", i), 100)
		}
		r := newRush(t, c)
		r.run(seconds*time.Second, 20*time.Millisecond)
		checkInvariants(t, c)
		slow, fast := r.starts["a"]+r.starts["both"], r.grants-r.starts["a"]
		t.Logf("both %d, a %d, all %d; %d moves", r.starts["both"], r.starts["a"], r.grants, r.moves)
		if turn := seconds * 50 / (crowd + 1); r.starts["both"] < turn*9/10 {
			t.Errorf("under both: %d starts, its turn at the faster limit is %d", r.starts["both"], turn)
		}
		if slow < 95*seconds*10/100 || fast < 95*seconds*50/100 {
			t.Errorf("slow is used %d of %d, fast %d of %d", slow, seconds*10, fast, seconds*50)
		}
		if r.moves == 0 || r.moves > r.grants {
			t.Errorf("%d moves for %d grants", r.moves, r.grants)
		}
	})
}

// A cheap task behind a dear one starts when its own tokens are there, also where the worker
// had room for the dear one alone: the instant of its limit is not that of the dear one.
func TestCheapTaskBehindADearOne(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		short := []Slots{{"default:echo", 1}}
		for _, slots := range [][]Slots{short, append(short, Slots{"default:other", 0})} {
			name := fmt.Sprint("api", len(slots))
			newLimit(t, c, name, "100/1m:100", 0)
			newQueue(t, c, name, "", under(name))
			for _, cost := range []int64{100, 1} {
				mustSubmit(t, c, SubmitRequest{Queue: name, Cost: cost})
			}
			s := newWorker(t, c, name)
			one := func() int {
				g, _, _, err := s.Exchange(context.Background(), nil, &Claim{Slots: slots, Lookahead: time.Millisecond, Most: 1})
				if err != nil {
					t.Fatal(err)
				}
				return len(g.Grants)
			}
			if n := one(); n != 1 {
				t.Fatalf("%d grants of the dear one", n)
			}
			if n := one(); n != 0 {
				t.Errorf("%d grants at once, no token is there", n)
			}
			forward(t, c, 601*time.Millisecond)
			if n := one(); n != 1 {
				t.Errorf("%d grants when its token is there", n)
			}
		}
	})
}
