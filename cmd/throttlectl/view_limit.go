package main

import (
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
)

// limitView is a named limit in JSON.
type limitView struct {
	Name               string             `json:"name"`
	State              string             `json:"state"`
	Rate               string             `json:"rate"`        // canonical, or "unlimited"
	Concurrency        int                `json:"concurrency"` // 0: no cap
	DebtMax            int64              `json:"debt_max"`
	Running            int64              `json:"running"`
	Tokens             *float64           `json:"tokens"` // these three: null without a rate
	Capacity           *int64             `json:"capacity"`
	NextTokenInSeconds *float64           `json:"next_token_in_seconds"`
	Queues             []string           `json:"queues"`  // that name it
	Waiting            int64              `json:"waiting"` // queues that wait at it
	Override           *overrideView      `json:"override"`
	FrozenUntil        *time.Time         `json:"frozen_until"`
	TokensSpentTotal   int64              `json:"tokens_spent_total"`
	TokensWastedTotal  int64              `json:"tokens_wasted_total"`
	CreditedTotal      int64              `json:"tokens_credited_total"`
	OwedTotal          int64              `json:"tokens_owed_total"`
	CutTotal           int64              `json:"tokens_cut_total"` // owed beyond debt_max, not taken
	LastEdit           *editView          `json:"last_edit"`
	Owner              *string            `json:"owner"`
	Undeclared         bool               `json:"undeclared"`
	Declared           *limitSettingsView `json:"declared"` // null where the file's settings are in force
}

// limitSettingsView is what a file declares of a limit that was overridden.
type limitSettingsView struct {
	Rate        string `json:"rate"`
	Concurrency int    `json:"concurrency"`
	DebtMax     int64  `json:"debt_max"`
}

// overrideView is a change of rates that ends by itself.
type overrideView struct {
	Until time.Time `json:"until"`
	Rate  string    `json:"rate"` // until then
	Then  string    `json:"then"` // the rate that comes back
}

// editView is the last change by hand.
type editView struct {
	At   time.Time `json:"at"`
	By   string    `json:"by"`
	What string    `json:"what"`
}

func viewLimit(l scheduler.Limit) limitView {
	v := limitView{
		Name: l.Name, State: limitState(l), Rate: l.Rates.String(), Concurrency: l.Concurrency, DebtMax: l.DebtMax,
		Running: l.Running, Queues: list(l.Queues), Waiting: l.Waiting, Override: viewOverride(l.LimitSpec, l.Override),
		FrozenUntil: instant(l.FrozenUntil), TokensSpentTotal: l.Spent, TokensWastedTotal: l.Wasted,
		CreditedTotal: l.Credited, OwedTotal: l.Owed, CutTotal: l.Cut, LastEdit: viewEdit(l.LastEdit),
		Owner: optional(l.Owner), Undeclared: l.Undeclared,
	}
	v.Tokens, v.Capacity, v.NextTokenInSeconds = viewTokens(l.LimitSpec, l.Bucket)
	if d := l.Declared; d != nil {
		v.Declared = &limitSettingsView{d.Rates.String(), d.Concurrency, d.DebtMax}
	}
	return v
}

// viewTokens is how a bucket stands; all null without a rate.
func viewTokens(s scheduler.LimitSpec, b scheduler.Bucket) (tokens *float64, capacity *int64, next *float64) {
	if len(s.Rates) == 0 {
		return nil, nil, nil
	}
	wait := max(0, b.NextToken.Sub(b.At).Seconds())
	return &b.Tokens, &b.Capacity, &wait
}

func viewOverride(s scheduler.LimitSpec, o *scheduler.Override) *overrideView {
	if o == nil {
		return nil
	}
	return &overrideView{o.Until.UTC(), s.Rates.String(), o.Base.String()}
}

func viewEdit(e *scheduler.Edit) *editView {
	if e == nil {
		return nil
	}
	return &editView{e.At.UTC(), e.By, e.What}
}

// keyView is what bounds each key of a queue, in JSON.
type keyView struct {
	Rate        string `json:"rate"`
	Concurrency int    `json:"concurrency"` // 0: no cap
	Weight      int    `json:"weight"`
}

// ruleView is a key that has other bounds; null is as for all keys.
type ruleView struct {
	Rate        *string `json:"rate"`
	Concurrency *int    `json:"concurrency"`
	Weight      *int    `json:"weight"`
}

func viewKey(k *scheduler.KeySpec) *keyView {
	if k == nil {
		return nil
	}
	return &keyView{k.Rates.String(), k.Concurrency, k.Weight}
}

func viewExceptions(list map[string]scheduler.KeyRule) map[string]ruleView {
	out := make(map[string]ruleView, len(list))
	for key, r := range list {
		v := ruleView{Concurrency: r.Concurrency, Weight: r.Weight}
		if r.Rates != nil {
			rate := r.Rates.String()
			v.Rate = &rate
		}
		out[key] = v
	}
	return out
}
