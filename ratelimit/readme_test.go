package ratelimit_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// The README's table of rates says what the bucket does.
func TestReadmeTable(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| rate | one each | at once | empty to full | in any minute, at most |\n|---|---|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := strings.Split(table, "\n")
	if len(rows) < 5 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, row := range rows {
		cells := strings.Split(strings.Trim(strings.ReplaceAll(row, ",", ""), "| "), " | ")
		r, err := ratelimit.Parse(strings.Trim(cells[0], "`"))
		if err != nil {
			t.Error(err)
			continue
		}
		each := r.Period / time.Duration(r.N)
		most := r.Burst + int64(time.Minute/each)
		if got := cells[2] + " " + cells[4]; got != fmt.Sprintf("%d %d", r.Burst, most) {
			t.Errorf("%s: %s at once and in a minute, want %d %d", r, got, r.Burst, most)
		}
		if got := span(t, cells[1]); got != each {
			t.Errorf("%s: one each %v, want %v", r, got, each)
		}
		if got := span(t, cells[3]); got != each*time.Duration(r.Burst) {
			t.Errorf("%s: empty to full in %v, want %v", r, got, each*time.Duration(r.Burst))
		}
	}
}

// span reads "0.72 s" or "1 ms".
func span(t *testing.T, s string) time.Duration {
	t.Helper()
	number, unit, _ := strings.Cut(s, " ")
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		t.Error(err)
	}
	return time.Duration(n * float64(map[string]time.Duration{"s": time.Second, "ms": time.Millisecond}[unit]))
}
