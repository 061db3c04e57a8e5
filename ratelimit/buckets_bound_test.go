package ratelimit_test

import (
	"slices"
	"testing"

	. "github.com/throttlerd/throttlerd/ratelimit"
	"pgregory.net/rapid"
)

// history is what one bucket granted, through the changes of its rate.
type history struct {
	epochs []Epoch
	grants []Grant
}

// carry lists the histories that go on after a change of rates, by the words of Change.
func carry(hs []*history, b *Buckets, rates Rates, t int64) []*history {
	next := make([]*history, len(rates))
	var rest []int
	for i, r := range b.Rates {
		if j := slices.Index(rates, r); j >= 0 {
			next[j] = hs[i]
		} else {
			rest = append(rest, i)
		}
	}
	for j, r := range rates {
		switch {
		case next[j] != nil:
		case len(rest) > 0:
			i := rest[0]
			rest = rest[1:]
			next[j] = hs[i]
			// what was taken ahead passes first
			next[j].epochs = append(next[j].epochs, Epoch{max(t, b.Each[i].At(b.Rates[i], 0)), r})
		default:
			next[j] = &history{epochs: []Epoch{{0, r}}}
		}
	}
	return next
}

// The promise: no bucket grants above its rate in any window, through changes, overrides
// and reservations, and nothing is granted in a freeze.
func TestBucketsKeepEveryBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := NewBuckets(nil)
		live := carry(nil, &b, anyRates(1).Draw(t, "first"), epoch0)
		all := slices.Clone(live)
		changed := func(rates Rates, at int64) {
			live = carry(live, &b, rates, at)
			all = append(all, live...)
		}
		for _, h := range live {
			b.Rates = append(b.Rates, h.epochs[0].Rate)
		}
		b = NewBuckets(b.Rates)
		verbs := []string{"take", "take", "take", "take", "reserve", "lower", "freeze", "change", "override"}
		reserved := int64(0)
		limitStream(t, &b, verbs, 60, func(o limitOp) {
			changes := o.verb == "change" || o.verb == "override"
			if changes && o.t < reserved {
				return // what was reserved before a change still starts: not the matter here
			}
			if b.Until > 0 && o.t >= b.Until {
				changed(b.Base, b.Until)
			}
			b.Bring(o.t)
			if changes {
				changed(o.rates, o.t)
			}
			at := o.t
			took, _ := apply(&b, o)
			if o.verb == "reserve" {
				at = max(o.t, b.At(o.c))
				if took = at < o.t+50_000 && (b.Until == 0 || at < b.Until); took {
					b.Debit(at, o.c)
					reserved = max(reserved, at)
				}
			}
			if !took {
				return
			}
			if at < b.Frozen {
				t.Fatalf("granted at %d, frozen until %d", at, b.Frozen)
			}
			for _, h := range live {
				h.grants = append(h.grants, Grant{at, o.c})
			}
		})
		for _, h := range all {
			if err := CheckEpochs(h.epochs, 0, h.grants); err != nil {
				t.Fatalf("%v: %v", h.epochs, err)
			}
		}
	})
}
