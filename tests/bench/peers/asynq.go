package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

var payload = []byte(strings.Repeat("x", 100))

func asynqRedis(socket string) asynq.RedisClientOpt {
	return asynq.RedisClientOpt{Network: "unix", Addr: socket}
}

// asynqEnqueue puts n tasks into queues by turns, from width goroutines.
func asynqEnqueue(socket string, n, width, queues int) error {
	c := asynq.NewClient(asynqRedis(socket))
	defer c.Close()
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	for g := range width {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := g; i < n; i += width {
				if _, err := c.Enqueue(asynq.NewTask("noop", payload), asynq.Queue(fmt.Sprint("q", i%queues))); err != nil {
					failed.Store(&err)
					return
				}
			}
		}()
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// asynqServe runs a server until n tasks are done by the handler. It returns how long that
// took from the first one's start, so that the server's own start does not count.
func asynqServe(socket string, n, width, queues int, config func(*asynq.Config), handle asynq.HandlerFunc) (time.Duration, error) {
	names := make(map[string]int)
	for i := range queues {
		names[fmt.Sprint("q", i)] = 1
	}
	c := asynq.Config{Concurrency: width, Queues: names, LogLevel: asynq.FatalLevel}
	if config != nil {
		config(&c)
	}
	s := asynq.NewServer(asynqRedis(socket), c)
	var done atomic.Int64
	var begin sync.Once
	var first, last time.Time
	all := make(chan struct{})
	err := s.Start(asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
		begin.Do(func() { first = time.Now() })
		err := handle(ctx, t)
		if err == nil && done.Add(1) == int64(n) {
			last = time.Now()
			close(all)
		}
		return err
	}))
	if err != nil {
		return 0, err
	}
	defer s.Shutdown()
	select {
	case <-all:
		return last.Sub(first), nil
	case <-time.After(2 * time.Minute):
		return 0, fmt.Errorf("%d of %d tasks in 2 minutes", done.Load(), n)
	}
}

func noop(context.Context, *asynq.Task) error { return nil }

func asynqDrain(queues int) runner {
	return func(socket string, n, width int) (figures, error) {
		if err := asynqEnqueue(socket, n, 64, queues); err != nil {
			return figures{}, err
		}
		if err := resetCounts(socket); err != nil {
			return figures{}, err
		}
		took, err := asynqServe(socket, n, width, queues, nil, noop)
		return figures{PerSecond: float64(n) / took.Seconds()}, err
	}
}

// asynqIdle is a server with nothing to do, until it is killed.
func asynqIdle(socket string, _, width int) (figures, error) {
	_, err := asynqServe(socket, 0, width, 1, nil, noop)
	return figures{}, err
}

func asynqSubmit(socket string, n, width int) (figures, error) {
	since := time.Now()
	err := asynqEnqueue(socket, n, width, 1)
	return figures{PerSecond: perSecond(n, since)}, err
}

// asynqLatency submits 100 a second to an idle server at its defaults.
func asynqLatency(socket string, n, _ int) (figures, error) {
	var mu sync.Mutex
	var took []time.Duration
	c := asynq.NewClient(asynqRedis(socket))
	defer c.Close()
	go func() {
		time.Sleep(time.Second) // the server is idle by then
		for range n {
			at := time.Now().UnixNano()
			_, _ = c.Enqueue(asynq.NewTask("noop", fmt.Append(nil, at)), asynq.Queue("q0"))
			time.Sleep(10 * time.Millisecond)
		}
	}()
	_, err := asynqServe(socket, n, 64, 1, nil, func(_ context.Context, t *asynq.Task) error {
		var at int64
		_, _ = fmt.Sscan(string(t.Payload()), &at)
		mu.Lock()
		took = append(took, time.Duration(time.Now().UnixNano()-at))
		mu.Unlock()
		return nil
	})
	var f figures
	if err == nil {
		f.quantiles(took)
	}
	return f, err
}

// asynqRecipe is the rate limit that asynq's wiki documents: the handler asks a limiter,
// and gives the task back with an error that is no failure.
func asynqRecipe(socket string, n, width int) (figures, error) {
	if err := asynqEnqueue(socket, n, 64, 1); err != nil {
		return figures{}, err
	}
	rdb := redis.NewClient(&redis.Options{Network: "unix", Addr: socket})
	defer rdb.Close()
	limiter := redis_rate.NewLimiter(rdb)
	limit := redis_rate.PerSecond(100)
	var refused atomic.Int64
	var mu sync.Mutex
	var starts []int64
	took, err := asynqServe(socket, n, width, 1, func(c *asynq.Config) {
		c.IsFailure = func(err error) bool { return false }
		c.RetryDelayFunc = func(int, error, *asynq.Task) time.Duration { return time.Second }
	}, func(ctx context.Context, _ *asynq.Task) error {
		r, err := limiter.Allow(ctx, "limit", limit)
		if err != nil {
			return err
		}
		if r.Allowed == 0 {
			refused.Add(1)
			return fmt.Errorf("rate limited")
		}
		mu.Lock()
		defer mu.Unlock()
		starts = append(starts, time.Now().UnixMicro())
		return nil
	})
	return figures{PerSecond: float64(n) / took.Seconds(), Errors: int(refused.Load()), Starts: starts}, err
}
