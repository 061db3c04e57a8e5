package config

import (
	"fmt"
	"slices"
	"unicode"

	"github.com/hashicorp/hcl/v2"

	"github.com/throttlerd/throttlerd/ratelimit"
)

const (
	maxWeight = 1000
	maxKey    = 256 // bytes
)

// keys reads the key block of a queue, and the exceptions in it and beside it.
func (d *decoder) keys(b *queueBlock, q *Queue) {
	exceptions := b.Exceptions
	key := single(d, "key", b.Keys, func(b *keyBlock) hcl.Range { return b.At })
	if key == nil {
		if len(exceptions) > 0 {
			x := exceptions[0]
			d.errorAt(x.At, "Exception without a key block",
				"Queue %q has an exception for key %q, but no key block. Add key {} to the queue: with it keys take turns.", shorten(b.Name), shorten(x.Key))
		}
		d.exceptions(exceptions, nil, q)
		return
	}
	before := len(d.diags)
	k := NewKey()
	d.rates(key.Rate, false, &k.Rates)
	d.integer(key.Concurrency, &k.Concurrency, 1, maxCap)
	d.integer(key.Weight, &k.Weight, 1, maxWeight)
	q.Key = &k
	all := q.Key
	if len(d.diags) > before {
		all = nil // not known
	}
	exceptions = append(slices.Clip(exceptions), key.Exceptions...)
	slices.SortFunc(exceptions, func(a, b *exceptionBlock) int { return a.At.Start.Byte - b.At.Start.Byte })
	d.exceptions(exceptions, all, q)
}

// exceptions reads the rules of single keys. all is how every other key is bounded, nil
// where that is not known.
func (d *decoder) exceptions(blocks []*exceptionBlock, all *Key, q *Queue) {
	seen := map[string]hcl.Range{}
	for _, b := range blocks {
		before := len(d.diags)
		if wrong := checkKey(b.Key); wrong != "" {
			d.errorAt(b.KeyAt, "Invalid key", "%s. A key is any text of 1 to %d bytes without control characters.", wrong, maxKey)
		} else if first, ok := seen[b.Key]; ok {
			d.errorAt(b.KeyAt, "Duplicate exception", "There is an exception for key %q already, at %s. Put both into one.", shorten(b.Key), place(first))
		} else {
			seen[b.Key] = b.KeyAt
		}
		x := d.exception(b)
		if len(d.diags) > before {
			continue
		}
		if all != nil && x.same(*all) && !d.unknownIn(b.Body) {
			d.errorAt(b.At, "Exception without effect",
				"The exception for key %q changes nothing: all of it is as for every key. Give it a rate, a concurrency or a weight of its own, or take it out.", shorten(b.Key))
			continue
		}
		if q.Exceptions == nil {
			q.Exceptions = map[string]Exception{}
		}
		q.Exceptions[b.Key] = x
	}
}

func (d *decoder) exception(b *exceptionBlock) Exception {
	var x Exception
	var rates ratelimit.Rates
	if d.rates(b.Rate, true, &rates) {
		x.Rates = &rates
	}
	n, weight := 0, 0
	if d.integer(b.Concurrency, &n, 0, maxCap) {
		x.Concurrency = &n
	}
	if d.integer(b.Weight, &weight, 1, maxWeight) {
		x.Weight = &weight
	}
	return x
}

// same tells whether a key with this exception is bounded as all others are.
func (x Exception) same(all Key) bool {
	return (x.Rates == nil || slices.Equal(*x.Rates, all.Rates)) &&
		(x.Concurrency == nil || *x.Concurrency == all.Concurrency) &&
		(x.Weight == nil || *x.Weight == all.Weight)
}

// checkKey says what is wrong with a key, or nothing.
func checkKey(key string) string {
	switch {
	case key == "":
		return "This key is empty"
	case len(key) > maxKey:
		return fmt.Sprintf("Key %q has %d bytes", shorten(key), len(key))
	}
	for _, r := range key {
		if unicode.IsControl(r) {
			return fmt.Sprintf("Key %q holds %U", shorten(key), r)
		}
	}
	return ""
}
