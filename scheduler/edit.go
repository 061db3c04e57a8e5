package scheduler

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// byProgram is who changes what nobody is named for.
const byProgram = "a program"

// Edits returns the last changes by hand, newest first, at most n of the 1,000 kept.
func (c *Client) Edits(ctx context.Context, n int) ([]Edit, error) {
	lines, err := c.rdb.LRange(ctx, c.keys.edits(), 0, int64(n)-1).Result()
	if err != nil {
		return nil, fmt.Errorf("list edits: %w", redisError(err))
	}
	out := make([]Edit, 0, len(lines))
	for _, line := range lines {
		if e := decodeEdit(line); e != nil {
			out = append(out, *e)
		}
	}
	return out, nil
}

// decodeEdit reads "instant TAB who TAB what"; nil for nothing.
func decodeEdit(line string) *Edit {
	f := strings.SplitN(line, "\t", 3)
	if len(f) != 3 {
		return nil
	}
	return &Edit{At: time.UnixMicro(number(f[0])).UTC(), By: f[1], What: f[2]}
}

// words says what fields of a queue or a limit a change sets, as settings are named in a
// file.
func (ch QueueChange) words(of string, fields []any) string {
	names := map[string]string{
		"cap": "concurrency", "debt": "debt_max", "attempts": "max_attempts", "timeout": "timeout", "key": "key",
	}
	var out []string
	for i := 0; i < len(fields); i += 2 {
		field, value := fields[i].(string), fmt.Sprint(fields[i+1])
		key, exception := strings.CutPrefix(field, "x_")
		switch {
		case exception && value == "":
			out = append(out, fmt.Sprintf("exception %q taken away", key))
		case exception:
			out = append(out, fmt.Sprintf("exception %q", key))
		case field == "rate":
			out = append(out, "rate "+ratelimit.ReadRates(value).String())
		case field == "key":
			out = append(out, "key")
		case strings.HasPrefix(field, "retry_") || field == "timeout" || field == "expire_after":
			out = append(out, fmt.Sprintf("%s %s", field, time.Duration(number(value))*time.Microsecond))
		default:
			if n, ok := names[field]; ok {
				field = n
			}
			out = append(out, strings.TrimSpace(field+" "+value))
		}
	}
	text := of + strings.Join(out, ", ")
	if ch.For > 0 {
		text += " for " + ch.For.String()
	}
	return text
}
