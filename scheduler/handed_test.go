package scheduler

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// idleWorker is a worker that waits for work and listens; what its submits hand over comes by
// the channel.
func idleWorker(t *testing.T, c *Client, id string) (*Session, chan *Handed) {
	t.Helper()
	s := newWorker(t, c, id)
	handed := make(chan *Handed, 64)
	listening, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	if err := s.Listen(listening, func(x Signal) {
		if x.Handed != nil {
			handed <- x.Handed
		}
	}); err != nil {
		t.Fatal(err)
	}
	claimN(t, s, 8)
	return s, handed
}

// deafWorker is one that hears nothing of what it is told; the test does.
func deafWorker(t *testing.T, c *Client, id string) (*Session, <-chan *redis.Message) {
	t.Helper()
	ctx := context.Background()
	s := newWorker(t, c, id)
	hears := c.rdb.Subscribe(ctx, c.keys.wake(id))
	t.Cleanup(func() { hears.Close() })
	if _, err := hears.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	return s, hears.Channel()
}

// A task that is submitted alone, while a worker waits, is leased to it by the submit.
func TestLoneTaskIsHandedOver(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "")
		s, handed := idleWorker(t, c, "w")
		r, err := c.Submit(ctx, SubmitRequest{Queue: "q", ID: "mine", Payload: []byte("line 1\nline 2")})
		if err != nil || r.State != "waiting" || r.Position != 0 || r.EarliestStart.IsZero() {
			t.Fatalf("%+v, %v", r, err)
		}
		checkInvariants(t, c)
		var g *Granted
		select {
		case h := <-handed:
			if g = s.Take(h); g == nil || s.Take(h) != nil {
				t.Fatal("it is not taken, or twice")
			}
		case <-time.After(5 * time.Second):
			t.Fatal("the worker was not told")
		}
		x := g.Grants[0]
		if len(g.Grants) != 1 || x.ID != "mine" || x.Queue != "q" || x.Handler != "echo" || !bytes.Equal(x.Payload, []byte("line 1\nline 2")) ||
			x.Attempt != 1 || x.MaxAttempts != 5 || x.Timeout != 30*time.Second || x.StartIn != 0 || x.SubmittedAt.IsZero() || x.GrantedAt.IsZero() ||
			x.Fence == 0 || time.Until(g.Until) < 5*time.Second || time.Until(g.Until) > 10*time.Second {
			t.Errorf("%+v until %s", x, g.Until)
		}
		if q := statusOf(t, c, "q"); q.Running != 1 || q.Waiting != 0 || q.TokensSpent != 1 {
			t.Errorf("%+v", q)
		}
		if b := tick(t, s); b.Behind || b.Leases != 1 {
			t.Errorf("the worker knows of its task, and its tick tells %+v", b)
		}
		if again := claimN(t, s, 8); len(again.Grants) != 0 || !again.Indexes[0].Idle {
			t.Errorf("the next claim: %+v", again)
		}
		if n := settle(t, s, report(x, Done, 0, "")); n != 0 {
			t.Errorf("%d stale", n)
		}
		if q := statusOf(t, c, "q"); q.Running != 0 || q.Completed != 1 {
			t.Errorf("%+v", q)
		}
		checkInvariants(t, c)
	})
}

// A worker that was not reached finds that out by its tick, and the next claim gives the task;
// the message comes too late then.
func TestHandedTaskComesWithTheNextClaim(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "")
		s, told := deafWorker(t, c, "w")
		for i := range 3 {
			if g := claimN(t, s, 8); len(g.Grants) != 0 || !g.Indexes[0].Idle {
				t.Fatalf("%+v", g)
			}
			submitN(t, c, "q", 1)
			late := (<-told).Payload
			submitN(t, c, "q", 2) // these wait
			if b := tick(t, s); !b.Behind {
				t.Error("its tick does not say that it is behind")
			}
			g := claimN(t, s, 8)
			if len(g.Grants) != 1 || g.Grants[0].Queue != "q" || string(g.Grants[0].Payload) != `{"n":0}` || g.Indexes[0].Idle {
				t.Fatalf("round %d: %+v", i, g)
			}
			if s.Take(&Handed{text: strings.TrimPrefix(late, "task "), received: time.Now()}) != nil {
				t.Error("it comes once more by its message")
			}
			rest := claimN(t, s, 8)
			if len(rest.Grants) != 2 {
				t.Fatalf("round %d: %d of 2 that waited", i, len(rest.Grants))
			}
			for _, x := range append(g.Grants, rest.Grants...) {
				settle(t, s, report(x, Done, 0, ""))
			}
			checkInvariants(t, c)
		}
	})
}

// A worker that goes, or has no slot left, asks for what was handed over before without any.
func TestClaimWithoutSlotsGivesWhatWasHanded(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "")
		s, _ := deafWorker(t, c, "w")
		claimN(t, s, 8)
		submitN(t, c, "q", 1)
		submitN(t, c, "q", 1) // this one waits
		if behind, err := s.Quiet(ctx); err != nil || !behind {
			t.Fatalf("behind: %v, %v", behind, err)
		}
		for _, want := range []int{1, 0} {
			g, _, _, err := s.Exchange(ctx, nil, &Claim{})
			if err != nil || len(g.Grants) != want || g.Again != (want == 1) {
				t.Fatalf("want %d grants: %+v, %v", want, g, err)
			}
		}
		if behind, err := s.Quiet(ctx); err != nil || behind {
			t.Errorf("behind: %v, %v", behind, err)
		}
		checkInvariants(t, c)
	})
}

// Of two handlers that wait, each may have been handed a task before the worker asks again.
func TestSeveralHandedTasksComeWithTheNextClaim(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "")
		newQueue(t, c, "p", "", func(q *QueueSpec) { q.Handler = "other" })
		s, told := deafWorker(t, c, "w")
		both := &Claim{Slots: []Slots{{"default:echo", 8}, {"default:other", 8}}}
		ask := func() map[string]int {
			t.Helper()
			g, _, _, err := s.Exchange(ctx, nil, both)
			if err != nil {
				t.Fatal(err)
			}
			return byQueue(g.Grants)
		}
		ask()
		submitN(t, c, "q", 1)
		submitN(t, c, "p", 1)
		heard := []string{(<-told).Payload, (<-told).Payload}
		if s.Take(&Handed{text: strings.TrimPrefix(heard[1], "task "), received: time.Now()}) == nil { // the first is lost
			t.Error("the second is not taken without the first")
		}
		if got := ask(); got["q"] != 1 || got["p"] != 1 {
			t.Errorf("%v came with the next claim, one of which was not heard of", got)
		}
		ask()
		submitN(t, c, "q", 1)
		submitN(t, c, "p", 1)
		if got := ask(); got["q"] != 1 || got["p"] != 1 {
			t.Errorf("%v came with the next claim, of two that were not heard of", got)
		}
		checkInvariants(t, c)
	})
}

// Only what may start at once, and needs no turn, is handed over; and only to a worker that can
// hear of it.
func TestOnlyALoneTaskIsHandedOver(t *testing.T) {
	one := []SubmitRequest{{Payload: []byte("1")}}
	for name, x := range map[string]struct {
		change  func(*QueueSpec)
		tasks   []SubmitRequest
		prepare func(t *testing.T, c *Client, s *Session)
		mute    bool
	}{
		"under a rate":       {change: func(q *QueueSpec) { q.Rates = rates(t, "10/1s") }},
		"under a cap":        {change: func(q *QueueSpec) { q.Concurrency = 3 }},
		"under a limit":      {change: under("api")},
		"with keys":          {change: byKey(KeySpec{Weight: 1}, nil), tasks: []SubmitRequest{{Key: "k", Payload: []byte("1")}}},
		"paused":             {change: func(q *QueueSpec) { q.Paused = true }},
		"of another handler": {change: func(q *QueueSpec) { q.Handler = "other" }},
		"two":                {tasks: append(one, one...)},
		"scheduled":          {tasks: []SubmitRequest{{In: time.Hour, Payload: []byte("1")}}},
		"large":              {tasks: []SubmitRequest{{Payload: bytes.Repeat([]byte("1"), maxHanded)}}},
		"behind others that one more worker was woken for": {prepare: func(t *testing.T, c *Client, _ *Session) {
			idleWorker(t, c, "another")
			submitN(t, c, "q", 2)
		}},
		"to one that goes": {prepare: func(t *testing.T, _ *Client, s *Session) {
			if behind, err := s.Quiet(context.Background()); err != nil || behind {
				t.Fatal(behind, err)
			}
		}},
		"to one that comes for another at an instant": {prepare: func(t *testing.T, c *Client, s *Session) {
			newQueue(t, c, "rated", "1/1h")
			submitN(t, c, "rated", 2)
			if g := claimN(t, s, 8); len(g.Grants) != 1 || !claimN(t, s, 8).Indexes[0].Mine {
				t.Fatalf("%+v", g)
			}
		}},
		"to one that stands still": {prepare: func(t *testing.T, c *Client, _ *Session) {
			if err := c.rdb.HIncrBy(context.Background(), c.keys.worker("w"), "beat", -3e6).Err(); err != nil {
				t.Fatal(err)
			}
		}},
		"to one that does not listen": {mute: true},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, c *Client) {
				ctx := context.Background()
				newLimit(t, c, "api", "10/1s", 0)
				change := x.change
				if change == nil {
					change = func(*QueueSpec) {}
				}
				newQueue(t, c, "q", "", change)
				var s *Session
				if x.mute {
					s = newWorker(t, c, "w")
					claimN(t, s, 8)
				} else {
					s, _ = idleWorker(t, c, "w")
				}
				if x.prepare != nil {
					x.prepare(t, c, s)
				}
				tasks := x.tasks
				if tasks == nil {
					tasks = one
				}
				before := statusOf(t, c, "q")
				if _, err := c.SubmitMany(ctx, "q", tasks); err != nil {
					t.Fatal(err)
				}
				if q := statusOf(t, c, "q"); q.Running != before.Running || q.Waiting+q.Scheduled != before.Waiting+int64(len(tasks)) {
					t.Errorf("%d run and %d wait, before %d and %d", q.Running, q.Waiting+q.Scheduled, before.Running, before.Waiting)
				}
				checkInvariants(t, c)
			})
		})
	}
}

// Whatever connections are cut, each task comes to one worker once.
func TestHandedTasksComeOnce(t *testing.T) {
	c := onRedis(t)
	ctx, stop := context.WithTimeout(context.Background(), 60*time.Second)
	defer stop()
	newQueue(t, c, "q", "")
	const workers, submitters, each = 3, 3, 400
	var mu sync.Mutex
	got := make(map[string]int)
	handed := 0
	note := func(g *Granted, settled []Outcome) (out []Outcome) {
		mu.Lock()
		defer mu.Unlock()
		for _, x := range g.Grants {
			if g.Again && slices.ContainsFunc(settled, func(o Outcome) bool { return o.Fence == x.Fence }) {
				continue
			}
			got[x.ID]++
			out = append(out, Outcome{Task: x.Internal, Fence: x.Fence, Kind: Done})
		}
		return out
	}
	var serving, submitting sync.WaitGroup
	over := make(chan struct{})
	for i := range workers {
		s := newWorker(t, c, fmt.Sprint("w", i))
		signals := make(chan Signal, 1000)
		if err := s.Listen(ctx, func(x Signal) { signals <- x }); err != nil {
			t.Fatal(err)
		}
		serving.Go(func() {
			var done []Outcome
			beat := time.NewTicker(20 * time.Millisecond)
			defer beat.Stop()
			for {
				g, settled, settleErr, claimErr := s.Exchange(ctx, done, &Claim{Slots: []Slots{{"default:echo", 8}}})
				if settleErr != nil || claimErr != nil || settled.Stale != 0 {
					t.Errorf("%v, %v, %d stale", settleErr, claimErr, settled.Stale)
					return
				}
				if done = note(g, done); len(done) > 0 {
					continue
				}
				select {
				case <-over:
					return
				case x := <-signals:
					if x.Handed != nil {
						if g := s.Take(x.Handed); g != nil {
							done = note(g, nil)
							mu.Lock()
							handed++
							mu.Unlock()
						}
					}
				case <-beat.C: // as a tick
				}
			}
		})
	}
	for range submitters {
		submitting.Go(func() {
			for range each {
				if _, err := c.Submit(ctx, SubmitRequest{Queue: "q", Payload: []byte("1")}); err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Millisecond) // so that workers wait at times
			}
		})
	}
	cut := make(chan struct{})
	go func() {
		defer close(cut)
		for ctx.Err() == nil {
			select {
			case <-over:
				return
			case <-time.After(15 * time.Millisecond):
				c.rdb.Do(ctx, "client", "kill", "type", "pubsub")
			}
		}
	}()
	submitting.Wait()
	for {
		if q := statusOf(t, c, "q"); q.Completed == submitters*each || ctx.Err() != nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	close(over)
	serving.Wait()
	<-cut
	if len(got) != submitters*each {
		t.Errorf("%d of %d tasks came", len(got), submitters*each)
	}
	for id, n := range got {
		if n != 1 {
			t.Errorf("task %s came %d times", id, n)
		}
	}
	t.Logf("%d of %d were handed over and heard of", handed, submitters*each)
	if handed == 0 {
		t.Error("none was handed over")
	}
	checkInvariants(t, c)
}
