package ratelimit_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/throttlerd/throttlerd/ratelimit"
)

func ExampleParse() {
	r, err := ratelimit.Parse("10/60s:5")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r, r.N, r.Period, r.Burst)

	_, err = ratelimit.Parse("10/60S")
	fmt.Println(err)
	// Output:
	// 10/1m:5 10 1m0s 5
	// rate "10/60S": unit "S" must be one of ms, s, m, h, d
}

// exampleRedis stands in for your redis-server, with a clock that stands still.
func exampleRedis() (rdb redis.UniversalClient, stop func()) {
	m, err := miniredis.Run()
	if err != nil {
		log.Fatal(err)
	}
	m.SetTime(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	c := redis.NewClient(&redis.Options{Addr: m.Addr()})
	return c, func() { c.Close(); m.Close() }
}

func ExampleLimiter_Take() {
	rdb, stop := exampleRedis()
	defer stop()
	ctx := context.Background()

	limiter, err := ratelimit.NewLimiter(rdb, ratelimit.Options{Namespace: "acme"})
	if err != nil {
		log.Fatal(err)
	}
	if err := limiter.Set(ctx, "github", ratelimit.Rate{N: 5000, Period: time.Hour, Burst: 2}); err != nil {
		log.Fatal(err)
	}
	for range 3 {
		d, err := limiter.Take(ctx, "github", 1)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(d.Granted, d.Left, d.Wait)
	}
	// Output:
	// true 1 0s
	// true 0 0s
	// false 0 720ms
}

func ExampleLimiter_Peek() {
	rdb, stop := exampleRedis()
	defer stop()
	ctx := context.Background()

	limiter, err := ratelimit.NewLimiter(rdb, ratelimit.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := limiter.Set(ctx, "github", ratelimit.Rate{N: 10, Period: time.Minute, Burst: 5}); err != nil {
		log.Fatal(err)
	}
	if _, err := limiter.Take(ctx, "github", 2); err != nil {
		log.Fatal(err)
	}
	s, err := limiter.Peek(ctx, "github")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%v: %d of %d, one more in %v\n", s.Rates, s.Left, s.Rates.Capacity(), s.NextIn)

	_, err = limiter.Peek(ctx, "gihub")
	fmt.Println(err)
	// Output:
	// 10/1m:5: 3 of 5, one more in 6s
	// no limit "gihub" in namespace "throttle"; did you mean "github"?
}

func ExampleBucket() {
	rate := ratelimit.Rate{N: 10, Period: time.Second, Burst: 2}
	var b ratelimit.Bucket // full
	for _, at := range []int64{0, 0, 99_999, 100_000} {
		granted, left, wait := b.Take(rate, at, 1)
		fmt.Println(at, granted, left, wait)
	}
	// Output:
	// 0 true 1 0
	// 0 true 0 0
	// 99999 false 0 1
	// 100000 true 0 0
}

func ExampleCheck() {
	rate := ratelimit.Rate{N: 10, Period: time.Second, Burst: 2}
	fmt.Println(ratelimit.Check(rate, ratelimit.Grants(0, 0, 100_000, 200_000)))
	fmt.Println(ratelimit.Check(rate, ratelimit.Grants(0, 0, 100_000, 199_999)))
	// Output:
	// <nil>
	// 4 tokens granted in [0 µs, 199999 µs] (199.999ms), where at most 3 are allowed
}
