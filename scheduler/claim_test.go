package scheduler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// The instants of a saturated queue are exactly those of its limit, whoever asks: nothing
// is early, and what lies within the look-ahead of somebody who asks is granted on time.
func TestGrantsAreExact(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "500/1s:5")
		submitN(t, c, "q", 400)
		a, b := newWorker(t, c, "a"), newWorker(t, c, "b")
		var at []int64
		var asked time.Time // when a claim last went out that could have reserved it
		for deadline := time.Now().Add(10 * time.Second); len(at) < 400; {
			for _, s := range []*Session{a, b} {
				g := claimN(t, s, 100)
				for _, x := range g.Grants {
					at = append(at, x.GrantedAt.UnixMicro())
					if n := len(at) - 1; n >= 5 {
						due := at[n-1] + 2000
						if late := at[n] - due; late > 0 && due <= asked.Add(50*time.Millisecond).UnixMicro() {
							t.Fatalf("grant %d is %d µs after its instant, which lay within the look-ahead", n, late)
						}
					}
					asked = g.Sent
					if x.StartIn > 50*time.Millisecond || x.StartIn < -50*time.Millisecond { // it counts from the end of the script
						t.Fatalf("starts in %s", x.StartIn)
					}
				}
				asked = g.Sent
				if in := g.Indexes[0].In; in > 20*time.Millisecond {
					time.Sleep(10 * time.Millisecond) // the look-ahead is full: let some of it pass
				}
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d of 400 granted", len(at))
			}
		}
		r := rate(t, "500/1s:5")
		if err := ratelimit.Check(r, ratelimit.Grants(at...)); err != nil {
			t.Fatal(err)
		}
		checkInvariants(t, c)
	})
}

func TestReservationsTakeHalfOfTheSlots(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "300/1s:4")
		submitN(t, c, "q", 200)
		g := claimN(t, newWorker(t, c, "w"), 24)
		ahead := 0
		for _, x := range g.Grants {
			if x.GrantedAt.After(g.Grants[0].GrantedAt) { // what starts now comes first
				ahead++
			}
		}
		if len(g.Grants)-ahead < 4 || ahead != (24-(len(g.Grants)-ahead)+1)/2 {
			t.Errorf("%d now, %d ahead of 24 slots", len(g.Grants)-ahead, ahead)
		}
	})
}

func TestClaimAskedAgainGrantsTheSame(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "1/1h:3")
		newQueue(t, c, "p", "")
		submitN(t, c, "q", 5)
		submitN(t, c, "p", 2)
		s := newWorker(t, c, "w")
		first := claimN(t, s, 10)
		s.claims.last-- // as if the reply had been lost
		again := claimN(t, s, 10)
		if len(first.Grants) != 5 || len(again.Grants) != 5 {
			t.Fatalf("%d grants, then %d", len(first.Grants), len(again.Grants))
		}
		for i, x := range again.Grants {
			w := first.Grants[i]
			if x.Internal != w.Internal || x.Fence != w.Fence || !x.GrantedAt.Equal(w.GrantedAt) || !bytes.Equal(x.Payload, w.Payload) || x.Handler != "echo" {
				t.Errorf("grant %d: %+v, first %+v", i, x, w)
			}
		}
		if q := statusOf(t, c, "q"); q.TokensSpent != 3 || q.Running != 3 {
			t.Errorf("%d tokens spent, %d running", q.TokensSpent, q.Running)
		}
		checkInvariants(t, c)
	})
}

// Many leases of one worker are a hash table, with nothing in it but them.
func TestManyLeasesAreATable(t *testing.T) {
	c := onRedis(t)
	ctx := context.Background()
	newQueue(t, c, "q", "")
	submitN(t, c, "q", 64)
	s := newWorker(t, c, "w")
	first := claimN(t, s, 24)
	run := c.keys.run("w")
	if kind := c.rdb.ObjectEncoding(ctx, run).Val(); kind == "hashtable" {
		t.Skip("this server makes a table of each hash")
	}
	second := claimN(t, s, 40)
	if kind := c.rdb.ObjectEncoding(ctx, run).Val(); kind != "hashtable" {
		t.Errorf("64 leases are a %s", kind)
	}
	leases, err := c.rdb.HGetAll(ctx, run).Result()
	if err != nil || len(leases) != 64 {
		t.Errorf("%d leases, %v", len(leases), err)
	}
	for _, g := range append(first.Grants, second.Grants...) {
		if leases[g.Internal] == "" {
			t.Errorf("no lease of %s", g.Internal)
		}
	}
	checkInvariants(t, c)
}

// Two unlimited queues of one handler: the short one's task comes with the next claim.
func TestUnlimitedQueuesTakeTurns(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) { takeTurns(t, c, "") })
}

// As above where a claim has to look at limits: a rate that never holds anything up.
func TestHardlyLimitedQueuesTakeTurns(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) { takeTurns(t, c, "1000000/1s:1000000") })
}

func takeTurns(t *testing.T, c *Client, rate string) {
	newQueue(t, c, "long", rate)
	newQueue(t, c, "short", rate)
	submitN(t, c, "long", 2000)
	s := newWorker(t, c, "w")
	if g := claimN(t, s, 16); len(g.Grants) != 16 {
		t.Fatalf("%d grants", len(g.Grants))
	}
	submitN(t, c, "short", 100)
	counts := map[string]int{}
	for _, x := range claimN(t, s, 16).Grants {
		counts[x.Queue]++
	}
	if counts["short"] != 8 || counts["long"] != 8 {
		t.Errorf("16 slots went %v", counts)
	}
	// one slot at a time: strictly in turn
	last := ""
	for i := range 20 {
		g := claimN(t, s, 1)
		if len(g.Grants) != 1 || g.Grants[0].Queue == last {
			t.Fatalf("claim %d: %d grants, of %s again", i, len(g.Grants), last)
		}
		last = g.Grants[0].Queue
	}
}

func TestClaimIsBoundedInBytes(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "")
		big := make([]SubmitRequest, 20)
		for i := range big {
			big[i].Payload = bytes.Repeat([]byte("x"), 200<<10)
		}
		if _, err := c.SubmitMany(context.Background(), "q", big); err != nil {
			t.Fatal(err)
		}
		s := newWorker(t, c, "w")
		total := 0
		for total < 20 {
			g := claimN(t, s, 64)
			if n := len(g.Grants); n < 1 || n > 6 {
				t.Fatalf("%d tasks of 200 KiB in one claim", n)
			}
			total += len(g.Grants)
		}
		checkInvariants(t, c)
	})
}

func TestIdleWorkersAreWokenOneByOne(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "")
		woken := make(chan string, 10)
		sessions := make(map[string]*Session)
		for _, id := range []string{"a", "b", "c"} {
			s := newWorker(t, c, id)
			sessions[id] = s
			listening, stop := context.WithCancel(ctx)
			t.Cleanup(stop)
			if err := s.Listen(listening, func(Signal) { woken <- id }); err != nil {
				t.Fatal(err)
			}
			claimN(t, s, 8) // nothing there: now it is idle
		}
		next := func() string {
			select {
			case id := <-woken:
				return id
			case <-time.After(5 * time.Second):
				t.Fatal("nobody was woken")
				return ""
			}
		}
		submitN(t, c, "q", 2)
		if id := next(); id != "c" {
			t.Errorf("%s was woken, not the last to become idle", id)
		}
		submitN(t, c, "q", 10) // the queue has its place already: c will see it
		select {
		case id := <-woken:
			t.Errorf("%s was woken too", id)
		case <-time.After(50 * time.Millisecond): // a wake would be here by now
		}
		claimN(t, sessions["c"], 4) // more is left than it has slots for
		if id := next(); id != "b" {
			t.Errorf("%s was woken for what c left", id)
		}
	})
}

// A worker whose slots are full is not woken, so it is told to ask once one is free.
func TestFullWorkerIsNotIdle(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "")
		submitN(t, c, "q", 3)
		s := newWorker(t, c, "w")
		if g := claimN(t, s, 1); g.Indexes[0].Idle {
			t.Error("idle with work left and no slot")
		}
		if g := claimN(t, s, 2); g.Indexes[0].Idle {
			t.Error("idle with no slot left")
		}
		if g := claimN(t, s, 1); !g.Indexes[0].Idle {
			t.Error("not idle with nothing to do and a slot free")
		}
	})
}

func TestOneWorkerComesForAnInstant(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "1/1h")
		submitN(t, c, "q", 2)
		a, b := newWorker(t, c, "a"), newWorker(t, c, "b")
		g := claimN(t, a, 8)
		if len(g.Grants) != 1 || !g.Indexes[0].Mine || g.Indexes[0].In < 59*time.Minute {
			t.Fatalf("%d grants, next %+v", len(g.Grants), g.Indexes[0])
		}
		if g := claimN(t, b, 8); g.Indexes[0].Mine {
			t.Error("two workers are to come for one instant")
		}
		if g := claimN(t, a, 8); !g.Indexes[0].Mine {
			t.Error("asked again, it is no longer a's")
		}
		if err := a.Leave(context.Background()); err != nil {
			t.Fatal(err)
		}
		if g := claimN(t, b, 8); !g.Indexes[0].Mine {
			t.Error("nobody comes after a has left")
		}
	})
}

func TestClaimWithoutALease(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		s := newWorker(t, c, "w")
		if err := s.Leave(context.Background()); err != nil {
			t.Fatal(err)
		}
		_, _, _, err := s.Exchange(context.Background(), nil, &Claim{Slots: []Slots{{"default:echo", 1}}})
		if !errors.Is(err, ErrLeaseLost) {
			t.Errorf("claim: %v", err)
		}
		if _, err := s.Tick(context.Background(), nil); !errors.Is(err, ErrLeaseLost) {
			t.Errorf("tick: %v", err)
		}
	})
}

// A turn of several tasks: a claim serves the queues that can fill its slots, and all have
// their turn.
func TestTurnsOfSeveralTasks(t *testing.T) {
	for _, tt := range []struct{ name, rate string }{{"unlimited", ""}, {"with tokens enough", "1000000/1s:1000000"}} {
		t.Run(tt.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, c *Client) {
				const queues, slots, part = 10, 16, 8
				for i := range queues {
					newQueue(t, c, fmt.Sprint("q", i), tt.rate)
					submitN(t, c, fmt.Sprint("q", i), 3*part)
				}
				s := newWorker(t, c, "w")
				got := make(map[string]int)
				claim := func() {
					g, _, _, err := s.Exchange(context.Background(), nil, &Claim{Slots: []Slots{{"default:echo", slots}}, Lookahead: 50 * time.Millisecond, Part: part})
					if err != nil {
						t.Fatal(err)
					}
					if g.Indexes[0].Idle {
						t.Fatal("idle, while tasks wait")
					}
					for _, x := range g.Grants {
						got[x.Queue]++
					}
					if len(g.Grants) != slots {
						t.Fatalf("%d tasks for %d slots", len(g.Grants), slots)
					}
				}
				for k := range queues * part / slots {
					if claim(); len(got) != (k+1)*slots/part {
						t.Fatalf("%d queues had a turn in %d claims", len(got), k+1)
					}
				}
				for i := range queues {
					if n := got[fmt.Sprint("q", i)]; n != part {
						t.Errorf("q%d had %d tasks in one round", i, n)
					}
				}
				newQueue(t, c, "late", tt.rate)
				submitN(t, c, "late", 1)
				for k := 0; got["late"] == 0; k++ {
					if k > queues*part/slots {
						t.Fatal("a queue that came later has no turn within a round")
					}
					claim()
				}
				checkInvariants(t, c)
			})
		})
	}
}

// What is asked ahead comes from queues without limits alone, beyond the free slots, and by
// turns; the answer says whether there is more, and who has no slot left is not woken.
func TestClaimAhead(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		ask := func(s *Session, free, ahead int) (map[string]int, Next) {
			t.Helper()
			g, _, _, err := s.Exchange(ctx, nil, &Claim{Slots: []Slots{{"default:echo", free}}, Ahead: ahead, Lookahead: 50 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]int{}
			for _, x := range g.Grants {
				got[x.Queue]++
			}
			return got, g.Indexes[0]
		}
		want := func(got map[string]int, next Next, a, b int, more, idle bool) {
			t.Helper()
			if got["a"] != a || got["b"] != b || next.More != more || next.Idle != idle {
				t.Errorf("%v, %+v; want %d, %d, %v, %v", got, next, a, b, more, idle)
			}
		}
		newQueue(t, c, "a", "")
		newQueue(t, c, "b", "")
		submitN(t, c, "a", 20)
		submitN(t, c, "b", 10)
		s := newWorker(t, c, "w")
		got, next := ask(s, 4, 0)
		want(got, next, 2, 2, true, false)
		got, next = ask(s, 2, 6)
		want(got, next, 4, 4, true, false)
		got, next = ask(s, 0, 6)
		want(got, next, 3, 3, true, false)
		got, next = ask(s, 2, 20) // 12 are left: more than the slots
		want(got, next, 11, 1, false, false)
		idle := func(want int64) {
			t.Helper()
			if n := c.rdb.ZCard(ctx, "{test}:idle:default:echo").Val(); n != want {
				t.Errorf("%d workers count as idle, want %d", n, want)
			}
		}
		idle(0) // its slots are full
		submitN(t, c, "a", 1)
		got, next = ask(s, 2, 20)
		want(got, next, 1, 0, false, true)
		idle(1)

		submitN(t, c, "a", 5)
		newQueue(t, c, "l", "1000/1s:100")
		submitN(t, c, "l", 5)
		got, next = ask(s, 0, 20) // one of two has a limit
		want(got, next, 0, 0, false, false)
		got, next = ask(s, 20, 20)
		want(got, next, 5, 0, false, true)
		if got["l"] != 5 {
			t.Errorf("%v", got)
		}
		checkInvariants(t, c)
	})
}
