package ratelimit_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/throttlerd/throttlerd/ratelimit"
	"pgregory.net/rapid"
)

func TestBucketsCorrections(t *testing.T) {
	rates := Rates{{1, time.Second, 10}, {1, time.Minute, 5}}
	empty := func() Buckets {
		b := NewBuckets(rates)
		for i, r := range rates {
			b.Each[i].Debit(r, epoch0, r.Burst)
		}
		return b
	}
	for _, tt := range []struct {
		name string
		do   func(b *Buckets) (cut int64)
		left []int64
		cut  int64
	}{
		{"credited", func(b *Buckets) int64 { b.Credit(3, epoch0); return 0 }, []int64{3, 3}, 0},
		{"credited, full", func(b *Buckets) int64 { b.Credit(8, epoch0); return 0 }, []int64{8, 5}, 0},
		{"owed, without debt", func(b *Buckets) int64 { return b.Owe(3, 0, epoch0) }, []int64{0, 0}, 3},
		{"owed", func(b *Buckets) int64 { return b.Owe(3, 5, epoch0) }, []int64{-3, -3}, 0},
		{"owed, cut", func(b *Buckets) int64 { return b.Owe(9, 5, epoch0) }, []int64{-5, -5}, 4},
		{"owed, a debt above a capacity", func(b *Buckets) int64 { return b.Owe(20, 12, epoch0) }, []int64{-10, -5}, 15},
		{"owed, some of it there", func(b *Buckets) int64 { b.Credit(2, epoch0); return b.Owe(9, 5, epoch0) }, []int64{-5, -5}, 2},
		{"owed once more", func(b *Buckets) int64 { b.Owe(5, 5, epoch0); return b.Owe(1, 5, epoch0) }, []int64{-5, -5}, 1},
		{"lowered, to what is more", func(b *Buckets) int64 { b.Credit(4, epoch0); b.Lower(4, epoch0); return 0 }, []int64{4, 4}, 0},
		{"lowered", func(b *Buckets) int64 { b.Credit(4, epoch0); b.Lower(1, epoch0); return 0 }, []int64{1, 1}, 0},
		{"lowered, below nothing", func(b *Buckets) int64 { b.Credit(4, epoch0); b.Lower(-1, epoch0); return 0 }, []int64{0, 0}, 0},
	} {
		b := empty()
		cut := tt.do(&b)
		left := []int64{b.Each[0].Left(rates[0], epoch0), b.Each[1].Left(rates[1], epoch0)}
		if d := cmp.Diff(tt.left, left); d != "" || cut != tt.cut {
			t.Errorf("%s: cut %d, want %d; left (-want +got):\n%s", tt.name, cut, tt.cut, d)
		}
	}
	b := empty()
	b.Freeze(epoch0 + 9*second)
	b.Freeze(epoch0 + 5*second)
	if b.Frozen-epoch0 != 9*second || b.Full(epoch0+400*second) != true || b.Full(epoch0+300*second-1) {
		t.Errorf("frozen to the later instant, full when the slowest bucket is: %+v", b)
	}
}

// A credit gives back what was taken, all of it while the bucket is not full, and never
// more: a bucket that was never taken from holds at least as much at every instant.
func TestBucketsCreditMintsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := NewBuckets(anyRates(1).Draw(t, "rates"))
		verbs := []string{"take", "take", "take", "lower", "owe"}
		limitStream(t, &b, verbs, 10, func(o limitOp) { apply(&b, o) })
		now := epoch0
		for i := range b.Each {
			now = max(now, b.Each[i].At(b.Rates[i], 0)) // no more than all is missing
		}
		untouched, capacity := b.Clone(), b.Rates.Capacity()
		c := rapid.Int64Range(0, capacity).Draw(t, "c")
		now = max(now, b.At(c))
		b.Debit(now, c)
		now += magnitude(t, "later", 1<<40)
		short := b.Clone()
		b.Credit(c, now)
		for i, r := range b.Rates {
			had, has, most := short.Each[i].Left(r, now), b.Each[i].Left(r, now), untouched.Each[i].Left(r, now)
			if has != min(had+c, r.Burst) || has > most {
				t.Fatalf("%v: %d left, %d credited: %d, never taken from %d", r, had, c, has, most)
			}
			for k := int64(1); k <= r.Burst; k *= 2 {
				if at := b.Each[i].At(r, k); at > now && at < untouched.Each[i].At(r, k) {
					t.Fatalf("%v: %d tokens sooner than without take and credit", r, k)
				}
			}
		}
	})
}
