package scheduler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestSubmit(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "emails", "10/1s:5")

		r := submitN(t, c, "emails", 10_000)
		if !slices.IsSortedFunc(r, func(a, b Receipt) int { return strings.Compare(a.ID, b.ID) }) {
			t.Error("generated ids do not sort in the order of submit")
		}
		if r[0].Position != 0 || r[4].Position != 0 || r[5].Position != 1 || r[14].Position != 10 {
			t.Errorf("positions %d %d %d %d", r[0].Position, r[4].Position, r[5].Position, r[14].Position)
		}
		if d := r[255].EarliestStart.Sub(r[0].EarliestStart); d < 24900*time.Millisecond || d > 25200*time.Millisecond {
			t.Errorf("the 256th may start %s after the first, want about 25.1s", d)
		}
		if q := statusOf(t, c, "emails"); q.Waiting != 10_000 || q.BlockedBy != "" {
			t.Errorf("%d waiting, blocked by %q", q.Waiting, q.BlockedBy)
		}

		one, err := c.Submit(ctx, SubmitRequest{Queue: "emails", ID: "build-1", Payload: []byte("{}"), Type: "t", Key: "k", Headers: map[string]string{"a": "b"}})
		if err != nil || one.ID != "build-1" || one.State != "waiting" {
			t.Fatalf("%+v %v", one, err)
		}
		task, err := c.Task(ctx, "build-1")
		if err != nil || task.ID != "build-1" || task.Type != "t" || task.Key != "k" || task.Headers["a"] != "b" || string(task.Payload) != "{}" || task.State != "waiting" {
			t.Errorf("%+v %v", task, err)
		}
		_, err = c.SubmitMany(ctx, "emails", []SubmitRequest{{ID: "x"}, {ID: "build-1"}})
		if !errors.Is(err, ErrTaskExists) || !strings.Contains(err.Error(), `"build-1"`) {
			t.Errorf("taken id: %v", err)
		}
		_, err = c.SubmitMany(ctx, "emails", []SubmitRequest{{ID: "y"}, {ID: "y"}})
		if !errors.Is(err, ErrTaskExists) {
			t.Errorf("the same id twice: %v", err)
		}
		if _, err := c.Task(ctx, "x"); err == nil {
			t.Error("a refused call has put one of its tasks in")
		}
		var unknown *NotFoundError
		_, err = c.Submit(ctx, SubmitRequest{Queue: "emials"})
		if !errors.As(err, &unknown) || unknown.Nearest != "emails" {
			t.Errorf("unknown queue: %v", err)
		}
		checkInvariants(t, c)
	})
}

func TestSubmitRefuses(t *testing.T) {
	c := &Client{max: 100}
	for what, r := range map[string]SubmitRequest{
		"has 101 bytes; at most 100":      {Payload: bytes.Repeat([]byte("x"), 101)},
		"is not 1 to 64 of":               {ID: "a b"},
		"has the form of a generated one": {ID: "66f1a2b3c4d5e-1f"},
		"is given twice":                  {In: time.Second, At: time.Now()},
		"must be within 366 days":         {In: -1},
		"too long":                        {Key: strings.Repeat("k", 300)},
		"holds a line break":              {Headers: map[string]string{"a": "b\r\nc: d"}},
	} {
		r.Queue = "q"
		_, err := c.SubmitMany(context.Background(), "q", []SubmitRequest{r})
		var invalid *InvalidError
		if !errors.As(err, &invalid) || !strings.Contains(err.Error(), what) {
			t.Errorf("want %q, got %v", what, err)
		}
	}
}

// A task whose instant has come is in front of one submitted after that instant, also
// when nobody claimed in between and when more are overdue than one call promotes.
func TestScheduledTasksAreNotOvertaken(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		newQueue(t, c, "q", "")
		if err := c.Pause(ctx, "q"); err != nil {
			t.Fatal(err)
		}
		var want []string
		for i := range 1200 {
			id := fmt.Sprintf("later-%04d", i)
			if _, err := c.Submit(ctx, SubmitRequest{Queue: "q", ID: id, In: time.Duration(i+1) * time.Microsecond * 10}); err != nil {
				t.Fatal(err)
			}
		}
		deadline := time.Now().Add(5 * time.Second)
		for { // until all their instants have passed by the server's clock
			q := statusOf(t, c, "q")
			last, err := c.Task(ctx, "later-1199")
			if err != nil {
				t.Fatal(err)
			}
			if q.At.After(last.At) || last.State == "waiting" {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the clock stands still")
			}
		}
		for i := range 3 {
			id := fmt.Sprintf("now-%d", i)
			if _, err := c.Submit(ctx, SubmitRequest{Queue: "q", ID: id}); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Resume(ctx, "q"); err != nil {
			t.Fatal(err)
		}
		checkInvariants(t, c)
		s := newWorker(t, c, "w")
		var got []string
		for len(got) < 1203 {
			g := claimN(t, s, 128)
			for _, x := range g.Grants {
				got = append(got, x.ID)
			}
			if len(g.Grants) == 0 {
				t.Fatalf("only %d tasks came", len(got))
			}
		}
		sorted := slices.Clone(got)
		for i := range got {
			want = append(want, got[i])
			if strings.HasPrefix(got[i], "now") && i < 1200 {
				t.Fatalf("%s overtook %d tasks", got[i], 1200-i)
			}
		}
		slices.Sort(sorted)
		if len(slices.Compact(sorted)) != 1203 {
			t.Error("a task came twice")
		}
		if !slices.IsSorted(want[1200:]) {
			t.Errorf("order of the last: %v", want[1200:])
		}
	})
}

func TestClientThatRepeatsCallsIsRefused(t *testing.T) {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer rdb.Close()
	var invalid *InvalidError
	if _, err := New(rdb, Options{}); !errors.As(err, &invalid) {
		t.Errorf("%v", err)
	}
}

func TestMaxLength(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "", func(s *QueueSpec) { s.MaxLength = 5 })
		submitN(t, c, "q", 4)
		_, err := c.SubmitMany(context.Background(), "q", make([]SubmitRequest, 2))
		var full *QueueFullError
		if !errors.As(err, &full) || full.Holds != 4 || !errors.Is(err, ErrConflict) {
			t.Errorf("%v", err)
		}
		submitN(t, c, "q", 1)
		claimN(t, newWorker(t, c, "w"), 3)
		submitN(t, c, "q", 3)
		checkInvariants(t, c)
	})
}

// Receipts of a queue with keys tell the best case, and count each token of the queue once.
func TestReceiptsOfKeysAreTheBestCase(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "1/1h:2", byKey(KeySpec{Weight: 1}, nil))
		var tasks []SubmitRequest
		for _, key := range []string{"a", "b", "c", "a"} {
			tasks = append(tasks, SubmitRequest{Key: key})
		}
		for _, ready := range []int{2, 0} {
			r, err := c.SubmitMany(context.Background(), "q", tasks)
			if err != nil || r.Ready() != ready || r.Waiting() != len(tasks)-ready {
				t.Errorf("%d of %d are ready, %v; there are 2 tokens", r.Ready(), len(r), err)
			}
			if ready > 0 && (r[0].BestCase || !r[2].BestCase || r[2].Position != 0) {
				t.Errorf("%+v", r)
			}
		}
	})
}

// A frozen queue's receipt has the instant at which it goes on, and nothing is ready.
func TestReceiptOfAFrozenQueue(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		newQueue(t, c, "q", "10/1s:10")
		s := newWorker(t, c, "w")
		submitN(t, c, "q", 1)
		g := oneGrant(t, c, s, "q")
		settle(t, s, report(g, Throttled, (12*time.Second).Microseconds(), "slow down"))
		r, err := c.SubmitMany(context.Background(), "q", make([]SubmitRequest, 1))
		if err != nil || r.Ready() != 0 || r[0].Binding == nil || r[0].Binding.Why != "frozen" || time.Until(r[0].EarliestStart) < 10*time.Second {
			t.Errorf("%+v %v", r, err)
		}
	})
}

// One call takes 512 tasks that are nothing but a payload, else 256, or about a MiB.
func TestTasksInOneCall(t *testing.T) {
	big, own, keyed := SubmitRequest{Payload: make([]byte, submitBytes/2)}, SubmitRequest{ID: "a"}, SubmitRequest{Key: "k"}
	for name, row := range map[string]struct {
		n    int
		at   int // where the other one stands
		odd  SubmitRequest
		want int
	}{
		"one":                    {n: 1, want: 1},
		"payloads":               {n: 600, want: 512},
		"an own id":              {n: 600, at: 10, odd: own, want: 256},
		"a key behind 256":       {n: 600, at: 300, odd: keyed, want: 256},
		"a key in the next call": {n: 600, at: 512, odd: keyed, want: 512},
		"few":                    {n: 200, at: 10, odd: keyed, want: 200},
	} {
		tasks := make([]SubmitRequest, row.n)
		if row.at > 0 {
			tasks[row.at] = row.odd
		}
		if got := len(firstChunk(tasks)); got != row.want {
			t.Errorf("%s: %d tasks, want %d", name, got, row.want)
		}
	}
	if got := len(firstChunk([]SubmitRequest{big, big, big})); got != 2 {
		t.Errorf("%d tasks of half a MiB, want 2", got)
	}
}
