package ratelimit_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/throttlerd/throttlerd/ratelimit"
)

const second = int64(1_000_000)

func TestBucketsAllHold(t *testing.T) {
	b := NewBuckets(Rates{{10, time.Second, 3}, {4, time.Minute, 4}})
	for i, s := range []struct {
		at, c      int64 // from epoch0; c tokens are taken as soon as they are there
		granted    int64 // from epoch0
		left       int64
		tokens     float64
		binds, why string
	}{
		{at: 0, c: 3, granted: 0, left: 0, tokens: 0, why: "the least capacity"},
		{at: 0, c: 1, granted: second / 10, left: 0, tokens: 0, why: "the first rate"},
		{at: second, c: 1, granted: 15 * second, left: 0, tokens: 0, why: "the second rate"},
		{at: 3600 * second, c: 2, granted: 3600 * second, left: 1, tokens: 1, why: "full again"},
		{at: 3600*second + 50_000, c: 0, granted: 3600*second + 50_000, left: 1, tokens: 1.5, why: "a look"},
	} {
		at := max(epoch0+s.at, b.At(s.c))
		b.Debit(at, s.c)
		if at != epoch0+s.granted || b.Left(at) != s.left || math.Abs(b.Tokens(at)-s.tokens) > 1e-6 {
			t.Errorf("step %d, %s: %d at %d, %d left of %v, want at %d, %d of %v",
				i, s.why, s.c, at-epoch0, b.Left(at), b.Tokens(at), s.granted, s.left, s.tokens)
		}
	}
	if b.At(4) != Never {
		t.Error("4 tokens of a capacity of 3")
	}
	none := NewBuckets(nil)
	if none.Freeze(7); none.At(1e9) != 7 || none.Left(8) != 0 || none.Tokens(8) != 0 || none.Full(6) || !none.Full(7) {
		t.Errorf("without a rate only the freeze holds back: %+v", none)
	}
}

// Which bucket goes where, when the rates change.
func TestBucketsChangePairs(t *testing.T) {
	sec, min, hour, day := Rate{10, time.Second, 9}, Rate{20, time.Minute, 9}, Rate{30, time.Hour, 9}, Rate{40, day, 9}
	for _, tt := range []struct {
		name     string
		old, new Rates
		left     []int64 // of each, where 1 of the first, 2 of the second ... were taken just now
	}{
		{"none", nil, nil, []int64{}},
		{"equal ones keep theirs, wherever they stand", Rates{sec, min}, Rates{min, sec}, []int64{7, 8}},
		{"one goes, the other stays", Rates{sec, min}, Rates{min}, []int64{7}},
		{"the rest are paired in order", Rates{sec, min, hour}, Rates{day, min, {1, time.Second, 9}}, []int64{8, 7, 6}},
		{"what has no partner begins full", Rates{sec}, Rates{sec, day}, []int64{8, 9}},
		{"a partner and a new one", Rates{sec}, Rates{min, day}, []int64{8, 9}},
		{"never more than the new capacity", Rates{sec}, Rates{{10, time.Second, 2}}, []int64{2}},
	} {
		b := NewBuckets(tt.old)
		for i, r := range tt.old {
			b.Each[i].Debit(r, epoch0, int64(i+1))
		}
		at := b.Set(tt.new, epoch0)
		left := []int64{}
		for i, r := range tt.new {
			left = append(left, b.Each[i].Left(r, epoch0))
		}
		if d := cmp.Diff(tt.left, left); d != "" || at != epoch0 {
			t.Errorf("%s: at %d (-want +got):\n%s", tt.name, at-epoch0, d)
		}
	}
}

func TestBucketsOverride(t *testing.T) {
	slow, fast := Rates{{1, time.Minute, 2}}, Rates{{10, time.Second, 5}}
	b := NewBuckets(slow)
	b.Debit(epoch0, 2)
	b.Override(fast, epoch0+10*second, epoch0)
	b.Override(Rates{{1, time.Second, 5}}, epoch0+3500_000, epoch0)
	for _, tt := range []struct{ c, at int64 }{
		{1, second},
		{3, 3 * second},
		{4, Never},      // there after the override ends, but above what comes back
		{2, 2 * second}, // there under the override
	} {
		want := tt.at
		if want != Never {
			want += epoch0
		}
		if at := b.At(tt.c); at != want {
			t.Errorf("%d tokens at %d, want %d", tt.c, at-epoch0, tt.at)
		}
	}
	b.Debit(epoch0+3*second, 3)
	if at := b.At(1) - epoch0; at != 3500_000+60*second {
		t.Errorf("the token that the end of the override cuts off is there at %d", at)
	}
	b.Bring(epoch0 + 3600*second)
	if d := cmp.Diff(slow, b.Rates); d != "" || b.Until != 0 || b.At(1)-epoch0 != 3500_000+60*second {
		t.Errorf("after its end: %+v, the next token at %d", b, b.At(1)-epoch0)
	}
	b.Override(fast, epoch0+4000*second, epoch0+3600*second)
	b.Set(Rates{{2, time.Second, 5}}, epoch0+3600*second)
	if b.Bring(epoch0 + 5000*second); b.Until != 0 || b.Rates[0].N != 2 {
		t.Errorf("set for good during an override: %+v", b)
	}
}
