package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
	"github.com/throttled/throttled/v2"
	"github.com/throttled/throttled/v2/store/goredisstore.v9"
)

// decide makes n decisions from width goroutines.
func decide(n, width int, once func(ctx context.Context) error) figures {
	var wg sync.WaitGroup
	var failed atomic.Int64
	since := time.Now()
	for range width {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range n / width {
				if once(context.Background()) != nil {
					failed.Add(1)
				}
			}
		}()
	}
	wg.Wait()
	return figures{PerSecond: perSecond(n-int(failed.Load()), since), Errors: int(failed.Load())}
}

func client(socket string) *redis.Client {
	return redis.NewClient(&redis.Options{Network: "unix", Addr: socket})
}

func redisRate(socket string, n, width int) (figures, error) {
	rdb := client(socket)
	defer rdb.Close()
	l := redis_rate.NewLimiter(rdb)
	limit := redis_rate.Limit{Rate: 1_000_000, Period: time.Second, Burst: 1_000_000}
	return decide(n, width, func(ctx context.Context) error {
		_, err := l.Allow(ctx, "key", limit)
		return err
	}), nil
}

func throttledDecisions(socket string, n, width int) (figures, error) {
	rdb := client(socket)
	defer rdb.Close()
	store, err := goredisstore.NewCtx(rdb, "t:")
	if err != nil {
		return figures{}, err
	}
	l, err := throttled.NewGCRARateLimiterCtx(store, throttled.RateQuota{MaxRate: throttled.PerSec(1_000_000), MaxBurst: 1_000_000})
	if err != nil {
		return figures{}, err
	}
	return decide(n, width, func(ctx context.Context) error {
		_, _, err := l.RateLimitCtx(ctx, "key", 1)
		return err
	}), nil
}

// bareEvalsha is what Redis gives to scripts that do nothing.
func bareEvalsha(socket string, n, width int) (figures, error) {
	rdb := client(socket)
	defer rdb.Close()
	s := redis.NewScript("return 1")
	return decide(n, width, func(ctx context.Context) error { return s.Run(ctx, rdb, nil).Err() }), nil
}

// pingPong is one byte there and back over a bare unix socket.
func pingPong(string, int, int) (figures, error) {
	dir, err := os.MkdirTemp("", "peer")
	if err != nil {
		return figures{}, err
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		return figures{}, err
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		b := make([]byte, 1)
		for {
			if _, err := c.Read(b); err != nil {
				return
			}
			if _, err := c.Write(b); err != nil {
				return
			}
		}
	}()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		return figures{}, err
	}
	defer c.Close()
	const n = 50_000
	b, since := make([]byte, 1), time.Now()
	for range n {
		if _, err := c.Write(b); err != nil {
			return figures{}, err
		}
		if _, err := c.Read(b); err != nil {
			return figures{}, err
		}
	}
	return figures{PerSecond: perSecond(n, since)}, nil
}
