package main

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/dunglas/httpsfv"

	"github.com/throttlerd/throttlerd/pluginapi"
)

// quota is what a reply says is left of one of the upstream's limits.
type quota struct {
	remaining int64
	reset     time.Duration // until it counts anew; 0: not told
}

// report passes on what the reply says of limits.
func (w *webhook) report(t *pluginapi.Task, resp *http.Response) {
	now := time.Now()
	for _, q := range quotas(resp.Header, now) {
		r := pluginapi.Report{Limit: w.settings.Limit, Remaining: q.remaining}
		if q.reset > 0 {
			r.ResetAt = now.Add(q.reset)
		}
		t.Report(r)
	}
}

// quotas reads the RateLimit header of the IETF draft, in its present form
// ("default";r=50;t=30) and its earlier one (limit=100, remaining=50, reset=30), else the
// pairs of headers that are in use beside it.
func quotas(h http.Header, now time.Time) []quota {
	if list := structured(h.Values("RateLimit"), windows(h.Values("RateLimit-Policy"))); len(list) > 0 {
		return list
	}
	var list []quota
	for _, names := range [][2]string{
		{"RateLimit-Remaining", "RateLimit-Reset"},
		{"X-RateLimit-Remaining", "X-RateLimit-Reset"},
		{"X-Rate-Limit-Remaining", "X-Rate-Limit-Reset"},
		{"X-RateLimit-Remaining-Requests", "X-RateLimit-Reset-Requests"},
	} {
		remaining, err := strconv.ParseFloat(h.Get(names[0]), 64)
		if err != nil || !(remaining >= 0 && remaining <= 1e9) { // nor a NaN
			continue
		}
		list = append(list, quota{int64(remaining), resetIn(h.Get(names[1]), now)})
	}
	return list
}

// structured reads RateLimit. A quota that does not tell its reset has the window of its
// policy, if that is known.
func structured(values []string, windows map[string]time.Duration) []quota {
	if len(values) == 0 {
		return nil
	}
	var list []quota
	if items, err := httpsfv.UnmarshalList(values); err == nil {
		for _, member := range items {
			item, ok := member.(httpsfv.Item)
			if !ok {
				continue
			}
			remaining, known := item.Params.Get("r")
			if n, ok := remaining.(int64); known && ok && n >= 0 {
				name, _ := item.Value.(string)
				q := quota{remaining: n, reset: windows[name]}
				if t, known := item.Params.Get("t"); known {
					seconds, _ := t.(int64)
					q.reset = bounded(seconds)
				}
				list = append(list, q)
			}
		}
	}
	if len(list) > 0 {
		return list
	}
	dict, err := httpsfv.UnmarshalDictionary(values)
	if err != nil {
		return nil
	}
	if n, ok := number(dict, "remaining"); ok && n >= 0 {
		seconds, _ := number(dict, "reset")
		return []quota{{n, bounded(seconds)}}
	}
	return nil
}

// windows reads RateLimit-Policy: for how long each policy counts, by its name.
func windows(values []string) map[string]time.Duration {
	items, err := httpsfv.UnmarshalList(values)
	if err != nil {
		return nil
	}
	out := make(map[string]time.Duration)
	for _, member := range items {
		item, ok := member.(httpsfv.Item)
		if !ok {
			continue
		}
		name, named := item.Value.(string)
		w, _ := item.Params.Get("w")
		if seconds, ok := w.(int64); ok && named {
			out[name] = bounded(seconds)
		}
	}
	return out
}

func number(dict *httpsfv.Dictionary, name string) (int64, bool) {
	member, ok := dict.Get(name)
	if !ok {
		return 0, false
	}
	item, ok := member.(httpsfv.Item)
	if !ok {
		return 0, false
	}
	n, ok := item.Value.(int64)
	return n, ok
}

// resetIn reads when a quota counts anew: seconds from now, seconds or milliseconds since
// 1970, a duration such as 6m0s, or a date.
func resetIn(text string, now time.Time) time.Duration {
	const (
		epoch       = 1_000_000_000 // less are seconds from now
		epochMillis = 1_000_000_000_000
	)
	text = strings.TrimSpace(text)
	if n, err := strconv.ParseFloat(text, 64); err == nil && n >= 0 && n < 1e15 {
		switch {
		case n >= epochMillis:
			return max(0, min(time.UnixMilli(int64(n)).Sub(now), maxSlowdown))
		case n >= epoch:
			return max(0, min(time.Unix(int64(n), 0).Sub(now), maxSlowdown))
		}
		return bounded(int64(n + 0.999))
	}
	if d, err := time.ParseDuration(text); err == nil {
		return max(0, min(d, maxSlowdown))
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, min(at.Sub(now), maxSlowdown))
	}
	return 0
}

func bounded(seconds int64) time.Duration {
	return time.Duration(max(0, min(seconds, int64(maxSlowdown/time.Second)))) * time.Second
}
