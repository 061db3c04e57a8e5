package scheduler

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// Limits returns all named limits by name, read in pages, each at one instant.
func (c *Client) Limits(ctx context.Context) ([]Limit, error) {
	out, _, err := c.LimitsUpTo(ctx, math.MaxInt)
	return out, err
}

// LimitsUpTo is Limits for the first so many; more tells whether there are others.
func (c *Client) LimitsUpTo(ctx context.Context, most int) (list []Limit, more bool, err error) {
	more, err = c.pages(ctx, c.keys.limits(), "limits", most, func(names []string) error {
		page, err := c.peekLimits(ctx, names...)
		list = append(list, page...)
		return err
	})
	return list, more, err
}

// LimitsByName returns, of these limits, those that there are.
func (c *Client) LimitsByName(ctx context.Context, names ...string) (list []Limit, err error) {
	for page := range slices.Chunk(names, queuePage) {
		limits, err := c.peekLimits(ctx, page...)
		if err != nil {
			return nil, err
		}
		list = append(list, limits...)
	}
	return list, nil
}

// Limit returns one named limit; an unknown name is a *NotFoundError of kind "limit".
func (c *Client) Limit(ctx context.Context, name string) (Limit, error) {
	if err := CheckLimit(name); err != nil {
		return Limit{}, err
	}
	list, err := c.peekLimits(ctx, name)
	if err == nil && len(list) == 0 {
		err = c.unknownLimit(ctx, name)
	}
	if err != nil {
		return Limit{}, err
	}
	return list[0], nil
}

func (c *Client) peekLimits(ctx context.Context, names ...string) ([]Limit, error) {
	args := make([]any, len(names))
	for i, n := range names {
		args[i] = n
	}
	reply, err := c.run(ctx, peekLimitScript, args...)
	if err != nil {
		return nil, fmt.Errorf("show limit: %w", err)
	}
	now := reply[0].(int64)
	out := make([]Limit, 0, len(names))
	for i, name := range names {
		if f := reply[1+i].([]any); len(f) == 3 {
			out = append(out, readLimit(name, f, now))
		}
	}
	return out, nil
}

func readLimit(name string, f []any, now int64) Limit {
	h := hash(f[0])
	l := Limit{
		Name: name, LimitSpec: decodeLimit(h, ""), Owner: h["owner"], Undeclared: h["undeclared"] == "1",
		Waiting: f[2].(int64), Spent: number(h["spent"]), Wasted: number(h["wasted"]),
		Credited: number(h["credited"]), Owed: number(h["owed"]), Cut: number(h["cut"]),
	}
	if _, ok := h["d_rate"]; ok {
		if d := decodeLimit(h, "d_"); !slices.Equal(d.fields(), l.LimitSpec.fields()) {
			l.Declared = &d
		}
	}
	for _, q := range f[1].([]any) {
		l.Queues = append(l.Queues, q.(string))
	}
	slices.Sort(l.Queues)
	s := standing{b: ratelimit.ReadBuckets(h["rate"], h["bucket"], h["over"], h["frozen"]), running: number(h["running"])}
	s.b.Bring(now)
	l.Bucket = Bucket{At: time.UnixMicro(now).UTC(), LastEdit: decodeEdit(h["edit"])}
	s.fill(&l.Bucket, now)
	l.Rates = s.b.Rates
	l.Damaged = h["rate"] != "" && len(ratelimit.ReadRates(h["rate"])) == 0
	return l
}

// SetLimit creates a named limit, or changes it, at once and for waiting tasks too: true
// when it was created. Tokens accrue at the old rates up to now and at the new ones from
// here. On a limit that a file declares it is an override, which a later apply leaves.
func (c *Client) SetLimit(ctx context.Context, name string, ch LimitChange) (created bool, err error) {
	if err := CheckLimit(name); err != nil {
		return false, err
	}
	before, err := c.peekLimits(ctx, name)
	if err != nil {
		return false, err
	}
	var spec LimitSpec
	var bucket Bucket
	if len(before) > 0 {
		spec, bucket = before[0].LimitSpec, before[0].Bucket
	}
	set(&spec.Concurrency, ch.Concurrency)
	set(&spec.DebtMax, ch.DebtMax)
	lasting, err := spec.changed(bucket, ch.Rates, ch.For)
	if err == nil {
		err = lasting.validate()
	}
	if err != nil {
		return false, err
	}
	set(&spec.Rates, ch.Rates)
	if err := checkFor(ch.For, ch.Rates); err != nil {
		return false, err
	}
	if len(before) == 0 && ch.For > 0 {
		return false, &InvalidError{What: "for", Reason: fmt.Sprintf("is for a change that reverts, but there is no limit %q yet", name)}
	}
	var fields []any
	for i, given := range []bool{ch.Rates != nil, ch.Concurrency != nil, ch.DebtMax != nil} {
		if given {
			fields = append(fields, spec.fields()[2*i:2*i+2]...)
		}
	}
	what := QueueChange{For: ch.For}.words(fmt.Sprintf("limit %q: ", name), fields)
	args := append([]any{"set", name, "", cmp.Or(ch.By, byProgram), what, ch.For.Microseconds()}, fields...)
	reply, err := c.run(ctx, setLimitScript, args...)
	if err != nil {
		return false, fmt.Errorf("set limit %q: %w", name, err)
	}
	return reply[0].(int64) == 1, nil
}

// checkFor refuses a change for a while that changes no rate, or for no sensible while.
func checkFor(d time.Duration, rates *ratelimit.Rates) error {
	if d != 0 && rates == nil {
		return &InvalidError{What: "for", Reason: "is how long a rate holds; give the rate too"}
	}
	if d != 0 && (d < time.Second || d > ratelimit.MaxPeriod) {
		return &InvalidError{What: "for", Reason: "must be 1s to 366d"}
	}
	return nil
}

// ResetLimit makes the buckets of a limit full and ends its freeze, whatever was taken:
// what it grants next may come on top of all that it granted before.
func (c *Client) ResetLimit(ctx context.Context, name, by string) error {
	if err := CheckLimit(name); err != nil {
		return err
	}
	reply, err := c.run(ctx, resetLimitScript, name, cmp.Or(by, byProgram), fmt.Sprintf("limit %q: reset", name))
	if err != nil {
		return fmt.Errorf("reset limit %q: %w", name, err)
	}
	if reply[0].(int64) < 0 {
		return c.unknownLimit(ctx, name)
	}
	return nil
}

// RemoveLimit removes a limit. One that queues name, or that running tasks hold places of,
// is a *ReferencedError; one that a file declares an *OwnedError.
func (c *Client) RemoveLimit(ctx context.Context, name, by string) error {
	if err := CheckLimit(name); err != nil {
		return err
	}
	reply, err := c.run(ctx, removeLimitScript, name, cmp.Or(by, byProgram), fmt.Sprintf("limit %q: removed", name))
	if err != nil {
		return fmt.Errorf("remove limit %q: %w", name, err)
	}
	switch reply[0].(int64) {
	case -1:
		return c.unknownLimit(ctx, name)
	case -2:
		e := &ReferencedError{Limit: name, Running: reply[1].(int64)}
		for _, q := range reply[2:] {
			e.Queues = append(e.Queues, q.(string))
		}
		slices.Sort(e.Queues)
		return e
	case -3:
		return &OwnedError{Limit: name, Owner: reply[1].(string)}
	}
	return nil
}

// unknownLimit names the nearest limit there is.
func (c *Client) unknownLimit(ctx context.Context, name string) error {
	names, err := c.rdb.ZRangeByLex(ctx, c.keys.limits(), &redis.ZRangeBy{Min: "-", Max: "+", Count: 10000}).Result()
	if err != nil {
		names = nil // the answer is the same, only less helpful
	}
	return &NotFoundError{Kind: "limit", Name: name, Namespace: c.namespace, Nearest: ratelimit.Nearest(name, names)}
}
