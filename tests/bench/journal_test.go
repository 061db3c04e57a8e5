//go:build bench

package bench

import (
	"bufio"
	"encoding/json"
	"os"
	"testing"
	"time"
)

// start is one line of a journal.
type start struct {
	Event string `json:"ev"`
	Task  string `json:"task"`
	Grant int64  `json:"grant_us"`
	Start int64  `json:"start_us"`
}

// starts waits until a journal holds n starts.
func starts(t *testing.T, r *rig, journal string, n int) []start {
	t.Helper()
	var out []start
	r.until(30*time.Second, func() bool {
		out = out[:0]
		f, err := os.Open(journal)
		if err != nil {
			return false
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var s start
			if json.Unmarshal(lines.Bytes(), &s) == nil && s.Event == "start" {
				out = append(out, s)
			}
		}
		return len(out) >= n
	})
	if len(out) != n {
		t.Fatalf("%d starts of %d tasks", len(out), n)
	}
	return out
}
