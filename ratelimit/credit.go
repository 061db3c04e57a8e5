package ratelimit

// Credit gives c tokens back at now, for a start that cost less than it was granted. A
// bucket gets no more than it holds when full, and at most that at once.
func (b *Buckets) Credit(c, now int64) {
	for i, r := range b.Rates {
		b.Each[i].credit(r, now, min(c, r.Burst))
	}
}

// credit gives back c tokens at t, at most Burst.
func (b *Bucket) credit(r Rate, t, c int64) {
	if b.FullAt < t {
		return // full since then
	}
	us, rem := span(r, c)
	b.FullAt -= us
	if b.Rem -= rem; b.Rem < 0 {
		b.FullAt--
		b.Rem += r.N
	}
	if b.FullAt < t {
		b.FullAt, b.Rem = t, 0
	}
}

// Owe takes c tokens at now that are not there to be granted, for a start that cost more
// than it was granted. It takes no bucket below −debtMax, nor below an empty one by more
// than its capacity, and returns the most that one could not give.
func (b *Buckets) Owe(c, debtMax, now int64) (cut int64) {
	for i, r := range b.Rates {
		took := min(c, max(0, b.Each[i].Left(r, now)+min(debtMax, r.Burst)))
		cut = max(cut, c-took)
		for took > 0 { // twice at most: a span is exact up to Burst
			step := min(took, r.Burst)
			b.Each[i].Debit(r, now, step)
			took -= step
		}
	}
	return cut
}

// Lower leaves each bucket at most the whole tokens that an upstream says remain at now.
func (b *Buckets) Lower(remaining, now int64) {
	remaining = max(remaining, 0)
	for i, r := range b.Rates {
		if b.Each[i].Left(r, now) > remaining {
			us, rem := span(r, r.Burst-remaining)
			b.Each[i] = Bucket{FullAt: now + us, Rem: rem}
		}
	}
}
