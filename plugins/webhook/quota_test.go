package main

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
)

func TestQuotas(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, c := range []struct {
		headers map[string]string
		want    []quota
	}{
		{nil, nil},
		{map[string]string{"RateLimit": `"default";r=50;t=30`}, []quota{{50, 30 * time.Second}}},
		{map[string]string{"RateLimit": `"burst";r=0;t=2, "daily";r=5000;t=40000`, "X-RateLimit-Remaining": "7"},
			[]quota{{0, 2 * time.Second}, {5000, 40000 * time.Second}}},
		{map[string]string{"RateLimit": `"default";r=7`}, []quota{{7, 0}}},
		{map[string]string{"RateLimit": `"a";r=0, "b";r=1;t=2`, "RateLimit-Policy": `"a";q=100;w=60,"b";q=9;w=9`},
			[]quota{{0, time.Minute}, {1, 2 * time.Second}}},
		{map[string]string{"X-RateLimit-Remaining": "NaN", "X-RateLimit-Reset": "60"}, nil},
		{map[string]string{"RateLimit": "limit=100, remaining=50, reset=30"}, []quota{{50, 30 * time.Second}}},
		{map[string]string{"RateLimit": "rubbish;;", "RateLimit-Remaining": "3", "RateLimit-Reset": "9"}, []quota{{3, 9 * time.Second}}},
		{map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1800000060"}, []quota{{0, time.Minute}}},
		{map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1800000060500"}, []quota{{0, 60500 * time.Millisecond}}},
		{map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1799999999"}, []quota{{0, 0}}},
		{map[string]string{"X-RateLimit-Remaining-Requests": "59", "X-RateLimit-Reset-Requests": "6m0s"}, []quota{{59, 6 * time.Minute}}},
		{map[string]string{"X-Rate-Limit-Remaining": "2", "X-Rate-Limit-Reset": "1e99"}, []quota{{2, 0}}},
		{map[string]string{"X-RateLimit-Remaining": "-1"}, nil},
		{map[string]string{"X-RateLimit-Remaining": "lots"}, nil},
		{map[string]string{"RateLimit": `"x";r=-5;t=1`}, nil},
		{map[string]string{"RateLimit": `"x";r=1;t=999999999999999`}, []quota{{1, maxSlowdown}}},
	} {
		h := http.Header{}
		for name, value := range c.headers {
			h.Set(name, value)
		}
		if got := quotas(h, now); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.headers, got, c.want)
		}
	}
}

// What is left is reported with any status, for the limit of the config.
func TestReports(t *testing.T) {
	for _, status := range []int{200, 500} {
		r := post(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("RateLimit", `"default";r=5;t=60`)
			w.WriteHeader(status)
		}, "{}", "limit", "github")
		if len(r.Reports) != 1 || r.Reports[0].Limit != "github" || r.Reports[0].Remaining != 5 || time.Until(r.Reports[0].ResetAt) < 50*time.Second {
			t.Errorf("%d: %+v", status, r.Reports)
		}
		if want := map[int]pluginapi.Outcome{200: pluginapi.Done, 500: pluginapi.Failed}[status]; r.Outcome != want {
			t.Errorf("%d: %s", status, r.Outcome)
		}
	}
}
