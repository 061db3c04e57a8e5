package redistest

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Commands is how many commands a server has done so far, those inside of scripts too; the
// INFO that asks for it is not counted.
func Commands(tb testing.TB, rdb redis.UniversalClient) (n int64) {
	tb.Helper()
	info, err := rdb.Info(context.Background(), "commandstats").Result()
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(info) {
		_, rest, ok := strings.Cut(line, "calls=")
		if !ok || strings.HasPrefix(line, "cmdstat_info:") {
			continue
		}
		calls, _, _ := strings.Cut(rest, ",")
		k, err := strconv.ParseInt(calls, 10, 64)
		if err != nil {
			tb.Fatal(err)
		}
		n += k
	}
	return n
}
