package ratelimit

// Buckets are those of one limit: a bucket for each of its rates, and its freeze.
type Buckets struct {
	Rates  Rates    // in force
	Each   []Bucket // of each rate
	Base   Rates    // those that come back at Until
	Until  int64    // 0: the rates in force stay
	Frozen int64    // nothing before this instant
}

func (b *Buckets) At(c int64) int64 {
	at := b.Frozen
	for i, r := range b.Rates {
		at = max(at, b.Each[i].At(r, c))
	}
	return at
}
func (b *Buckets) Bring(now int64) {}
func (b *Buckets) Left(t int64) int64 {
	return b.Each[0].Left(b.Rates[0], t)
}
func (b *Buckets) Tokens(t int64) float64 { return b.Each[0].Tokens(b.Rates[0], t) }
