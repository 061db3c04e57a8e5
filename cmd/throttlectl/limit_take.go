package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
)

func (a *app) limitTakeCommand() *cobra.Command {
	var wait bool
	c := &cobra.Command{
		Use:   "take NAME [COUNT]",
		Short: "Take tokens of a limit, for a call that is made outside of the queues",
		Long: `Takes COUNT tokens (1), all or none, and tells how many are left, or when to ask again:
then the exit code is 6. While queues wait at the limit it takes one turn, like a queue.
With --wait it asks again at the instants that it is told, as long as --timeout lasts.`,
		Example: `  throttlectl limit take github && curl https://api.github.com/rate_limit
  throttlectl limit take openai 1200 --wait --timeout 1m`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkLimitName(args[0]); err != nil {
				return err
			}
			n := int64(1)
			if len(args) == 2 {
				var err error
				if n, err = strconv.ParseInt(args[1], 10, 64); err != nil || n < 1 || n > ratelimit.MaxCount {
					return usagef("COUNT %q is not a number from 1 to %d", args[1], ratelimit.MaxCount)
				}
			}
			return a.interruptible(func(stop context.Context) error {
				return a.steadily(stop, func(l *long) error { return l.take(args[0], n, wait) })
			})
		},
	}
	c.Flags().BoolVar(&wait, "wait", false, "ask again when it is worth it, until --timeout is over")
	return c
}

// take asks once, or as often as it is told to until the command's time is over.
func (l *long) take(name string, n int64, wait bool) error {
	limiter, err := ratelimit.NewLimiter(l.rdb, ratelimit.Options{Namespace: l.Namespace()})
	if err != nil {
		return err
	}
	deadline, _ := l.ctx.Deadline()
	for {
		d, err := limiter.Take(l.ctx, name, n)
		if err != nil {
			return takeError(n, err)
		}
		pause := max(d.Wait, time.Millisecond)
		if d.Granted || !wait || time.Until(deadline) <= pause {
			return l.taken(name, n, d, wait)
		}
		select {
		case <-l.stop.Done():
			return fmt.Errorf("%w: no token was taken", errInterrupted)
		case <-time.After(pause):
		}
	}
}

// takeError tells a Redis that did not answer from one that refused.
func takeError(n int64, err error) error {
	var unknown *ratelimit.UnknownLimitError
	var much *ratelimit.CapacityError
	var refused redis.Error
	if errors.As(err, &unknown) || errors.As(err, &much) || errors.As(err, &refused) {
		return err
	}
	return fmt.Errorf("%w; it is unknown whether %s taken", &scheduler.UnreachableError{Err: err}, plural(n, "token")+map[bool]string{true: " was", false: " were"}[n == 1])
}

// takenView is the answer to a take, in JSON.
type takenView struct {
	Limit   string     `json:"limit"`
	Count   int64      `json:"count"`
	Granted bool       `json:"granted"`
	Left    int64      `json:"left"`
	Wait    float64    `json:"wait_seconds"` // until it is worth to ask again; 0 when granted
	At      *time.Time `json:"at"`           // the instant of the answer, by the clock of Redis
}

// notGrantedError makes scripts see that no token was taken.
type notGrantedError struct{ text string }

func (e *notGrantedError) Error() string { return e.text }

// taken prints the answer. A denial is data and an error both.
func (l *long) taken(name string, n int64, d ratelimit.Decision, waited bool) error {
	again := "ask again " + hence(d.At.Add(d.Wait), d.At)
	switch {
	case l.a.json:
		if err := l.a.printJSON(takenView{name, n, d.Granted, d.Left, d.Wait.Seconds(), instant(d.At)}); err != nil {
			return err
		}
	case d.Granted:
		l.a.printf("%s: %s granted, %s left\n", name, plural(n, "token"), count(d.Left))
	default:
		l.a.printf("%s: not granted, %s left, %s\n", name, count(d.Left), again)
	}
	if d.Granted {
		return nil
	}
	hint := "--wait does that"
	if waited {
		hint = fmt.Sprintf("that is after the %s of --timeout", span(l.a.timeout))
	}
	return &notGrantedError{fmt.Sprintf("limit %q did not grant %s: %s; %s", name, plural(n, "token"), again, hint)}
}
