package main

import (
	"testing"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/runtime/config"
)

// The banner names all that a limit or a queue is under.
func TestBounds(t *testing.T) {
	t.Parallel()
	rates, err := ratelimit.ParseRates("10/1s, 300/15m:20")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		spec   config.LimitSpec
		limits []string
		want   string
	}{
		{config.LimitSpec{}, nil, "rate unlimited"},
		{config.LimitSpec{Rates: rates[:1], DebtMax: 1}, nil, "rate 10/1s"},
		{config.LimitSpec{Concurrency: 8}, nil, "rate unlimited  concurrency 8"},
		{config.LimitSpec{Rates: rates, Concurrency: 8}, []string{"github", "mail"}, "rate 10/1s, 300/15m:20  concurrency 8  limits github, mail"},
	} {
		if got := bounds(c.spec, c.limits); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
