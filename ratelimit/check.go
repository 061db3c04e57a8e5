package ratelimit

import (
	"cmp"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// Grant is Cost tokens granted at an instant, in microseconds.
type Grant struct {
	At   int64
	Cost int64
}

// Grants are single tokens at these instants, in microseconds.
func Grants(at ...int64) []Grant {
	g := make([]Grant, len(at))
	for i, t := range at {
		g[i] = Grant{At: t, Cost: 1}
	}
	return g
}

// Epoch is a rate and the instant from which it was in force, in microseconds.
type Epoch struct {
	From int64
	Rate Rate
}

// ViolationError is the window that is furthest above what its rate allows.
type ViolationError struct {
	From, To int64 // the window, both ends included: its first and last grant
	Taken    int64 // tokens granted in it
	Allowed  int64 // tokens that may be
}

func (e *ViolationError) Error() string {
	return fmt.Sprintf("%d tokens granted in [%d µs, %d µs] (%v), where at most %d are allowed",
		e.Taken, e.From, e.To, time.Duration(e.To-e.From)*time.Microsecond, e.Allowed)
}

// Check proves that a stream of grants kept a rate: for every window [a, b], the tokens
// granted in it are at most B + ⌊N·(b−a)/P⌋. If not, its error is a [*ViolationError].
// The proof is exact, takes time linear in the number of grants, and holds for streams of
// any length. Grants that are not in order are looked at in order, in a copy.
func Check(r Rate, grants []Grant) error {
	return CheckEpochs([]Epoch{{Rate: r}}, 0, grants)
}

// CheckLate is Check for what was seen up to late after its grant, as starts are: the
// bound is B + ⌊N·(b−a+late)/P⌋.
func CheckLate(r Rate, late time.Duration, grants []Grant) error {
	return CheckEpochs([]Epoch{{Rate: r}}, late, grants)
}

// CheckEpochs is CheckLate for a rate that changed. The tokens in [a, b] are at most the
// capacity in force at a−late and the integral of the rate from there to b; at the very
// instant of a change, the old capacity counts, for the change itself adds no token.
// Epochs are in order; the first holds for all time before it too. An epoch without a
// rate is an error: check what lies on its two sides apart.
func CheckEpochs(epochs []Epoch, late time.Duration, grants []Grant) error {
	acc, err := newAccrual(epochs)
	if err != nil {
		return err
	}
	if late < 0 {
		return fmt.Errorf("lateness %v must not be negative", late)
	}
	byInstant := func(a, b Grant) int { return cmp.Compare(a.At, b.At) }
	if !slices.IsSortedFunc(grants, byInstant) {
		grants = slices.Clone(grants)
		slices.SortStableFunc(grants, byInstant)
	}
	lateMicros := int64((late + time.Microsecond - 1) / time.Microsecond)

	// With S the tokens granted so far and A the tokens accrued by the rate, the window
	// from grant i to grant j is too full when
	//	(S_j − A(t_j)) − (S_{i−1} − A(t_i − late) + capacity(t_i − late)) > 0.
	// So of all windows that end at j the worst begins at the i with the least second
	// term, which one pass keeps.
	var (
		sum              big.Int        // S, scaled
		least            big.Int        // the least second term
		excess, v        big.Int        // of the window at hand, and scratch
		worst            = new(big.Int) // greatest excess so far; 0 is allowed
		first, from, to  int
		opening, closing cursor
		found            bool
	)
	for j, g := range grants {
		if g.Cost < 0 {
			return fmt.Errorf("grant %d at %d µs has the negative cost %d", j, g.At, g.Cost)
		}
		capacity := acc.at(&opening, g.At-lateMicros, &v)
		v.Sub(&sum, &v)
		v.Add(&v, capacity)
		if j == 0 || v.Cmp(&least) < 0 {
			least.Set(&v)
			first = j
		}
		sum.Add(&sum, v.Mul(v.SetInt64(g.Cost), acc.scale))
		acc.at(&closing, g.At, &v)
		excess.Sub(&sum, &v)
		excess.Sub(&excess, &least)
		if excess.Cmp(worst) > 0 {
			worst.Set(&excess)
			from, to, found = first, j, true
		}
	}
	if !found {
		return nil
	}
	e := &ViolationError{From: grants[from].At, To: grants[to].At}
	for _, g := range grants[from : to+1] {
		e.Taken += g.Cost
	}
	// excess is what was taken above the allowance before rounding it down
	over := worst.Add(worst, v.Sub(acc.scale, big.NewInt(1)))
	e.Allowed = e.Taken - over.Quo(over, acc.scale).Int64()
	return e
}

// accrual is the integral of a rate over epochs, in tokens times scale, where scale is
// what makes it an integer in all of them.
type accrual struct {
	epochs   []Epoch
	scale    *big.Int
	slope    []*big.Int // per microsecond, of each epoch
	base     []*big.Int // at the From of each epoch, counted from the first one's
	capacity []*big.Int
}

// cursor remembers the epoch of the last instant looked up; instants only grow.
type cursor struct{ epoch int }

func newAccrual(epochs []Epoch) (*accrual, error) {
	if len(epochs) == 0 {
		return nil, errors.New("no epoch, so no rate to check against")
	}
	a := &accrual{epochs: epochs, scale: big.NewInt(1)}
	for i, e := range epochs {
		if err := e.Rate.Validate(); err != nil {
			return nil, err
		}
		if i > 0 && e.From < epochs[i-1].From {
			return nil, fmt.Errorf("epoch %d begins at %d µs, before the one it follows", i, e.From)
		}
		p := big.NewInt(e.Rate.micros())
		gcd := new(big.Int).GCD(nil, nil, a.scale, p)
		a.scale.Mul(a.scale, p.Quo(p, gcd))
	}
	sum := new(big.Int)
	for i, e := range epochs {
		if i > 0 {
			d := big.NewInt(e.From - epochs[i-1].From)
			sum = new(big.Int).Add(sum, d.Mul(d, a.slope[i-1]))
		}
		slope := new(big.Int).Quo(a.scale, big.NewInt(e.Rate.micros()))
		a.slope = append(a.slope, slope.Mul(slope, big.NewInt(e.Rate.N)))
		a.base = append(a.base, sum)
		a.capacity = append(a.capacity, new(big.Int).Mul(a.scale, big.NewInt(e.Rate.Burst)))
	}
	return a, nil
}

// at sets v to the tokens accrued up to t and returns the capacity in force just
// before t, both scaled.
func (a *accrual) at(c *cursor, t int64, v *big.Int) (capacity *big.Int) {
	for c.epoch+1 < len(a.epochs) && a.epochs[c.epoch+1].From < t {
		c.epoch++
	}
	v.SetInt64(t - a.epochs[c.epoch].From)
	v.Mul(v, a.slope[c.epoch])
	v.Add(v, a.base[c.epoch])
	return a.capacity[c.epoch]
}
