package scheduler

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
)

// Whatever replies and hints are lost, and in what order they come: each lease comes to the
// worker once. Where the store loses its last writes, none comes that the worker has.
func TestClaimsGiveEachLeaseOnce(t *testing.T) {
	for seed := range uint64(5000) {
		p := claimPlay{rnd: rand.New(rand.NewPCG(seed, 0)), leases: map[int64]int64{}, has: map[int64]bool{}, times: map[int64]int{}}
		if err := p.run(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// claimPlay is a store that takes numbers, one lease with each, for claims and for submits, and
// a worker with one claim under way. Replies and hints come in their own order.
type claimPlay struct {
	rnd    *rand.Rand
	c      claims
	taken  int64
	fence  int64
	leases map[int64]int64 // number by fence
	old    map[int64]int64 // and a while ago
	oldTop int64

	replies []claimReply // at most one
	hints   [][2]int64   // number and fence, on their way
	has     map[int64]bool
	times   map[int64]int // that a fence came
	err     error
}

type claimReply struct {
	again  bool
	last   int64
	fences []int64
}

func (p *claimPlay) lease() int64 {
	p.taken++
	p.fence++
	p.leases[p.fence] = p.taken
	return p.fence
}

func (p *claimPlay) ask() {
	n := p.c.ask()
	if n > p.taken {
		p.taken = n - 1
		p.replies = append(p.replies, claimReply{fences: []int64{p.lease()}})
		return
	}
	r := claimReply{again: true, last: p.taken}
	for f := int64(1); f <= p.fence; f++ {
		if number, ok := p.leases[f]; ok && number >= n {
			r.fences = append(r.fences, f)
		}
	}
	p.replies = append(p.replies, r)
}

func (p *claimPlay) answer() {
	r := p.replies[0]
	p.replies = nil
	last := int64(0)
	for _, f := range r.fences {
		last = f
		if !r.again || !p.has[f] {
			p.got(f)
		}
	}
	if r.again {
		p.c.again(r.last, last)
	} else {
		p.c.taken(last)
	}
}

func (p *claimPlay) got(fence int64) {
	if p.has[fence] {
		p.err = fmt.Errorf("lease %d came though the worker has it", fence)
	}
	p.has[fence] = true
	p.times[fence]++
}

// settle ends a task that the worker has; never while a claim is under way, as in a session.
func (p *claimPlay) settle() {
	for f := range p.has {
		delete(p.has, f)
		delete(p.leases, f)
		return
	}
}

func (p *claimPlay) run() error {
	loses := p.rnd.IntN(2) == 0
	for range 80 {
		switch p.rnd.IntN(9) {
		case 0, 1:
			if len(p.replies) == 0 {
				p.ask()
			} else if p.rnd.IntN(3) == 0 {
				p.replies = nil // it is lost, and asked again
				p.ask()
			} else {
				p.answer()
			}
		case 2, 3:
			if fence := p.lease(); p.rnd.IntN(4) > 0 {
				p.hints = append(p.hints, [2]int64{p.taken, fence})
			}
		case 4, 5:
			p.hear()
		case 6:
			if len(p.replies) == 0 {
				p.settle()
			}
		case 7:
			p.old, p.oldTop = maps.Clone(p.leases), p.taken
		case 8:
			if loses && p.old != nil && len(p.replies) == 0 {
				p.leases, p.taken, p.old = p.old, p.oldTop, nil
			}
		}
	}
	for len(p.hints) > 0 {
		p.hear()
	}
	if len(p.replies) > 0 {
		p.answer()
	}
	if p.c.behind(p.taken) && !loses {
		p.ask()
		p.answer()
	}
	if p.err != nil {
		return p.err
	}
	for f := range p.leases {
		if p.times[f] == 0 && !loses { // a worker looks for such strays
			return fmt.Errorf("lease %d of number %d never came", f, p.leases[f])
		}
	}
	for f, n := range p.times {
		if n > 1 && !loses { // a settle that was lost is worth nothing
			return fmt.Errorf("lease %d came %d times", f, n)
		}
	}
	return nil
}

func (p *claimPlay) hear() {
	if len(p.hints) == 0 {
		return
	}
	h := p.hints[0]
	p.hints = p.hints[1:]
	if p.c.handed(h[0], h[1]) {
		p.got(h[1])
	}
}
