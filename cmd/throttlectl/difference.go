package main

import "github.com/throttlerd/throttlerd/scheduler"

// changed is one setting with two values, as people read and type them.
type changed struct{ name, from, to string }

// difference are the settings of a queue in which two specs differ.
func difference(from, to scheduler.QueueSpec) []changed {
	var out []changed
	a, b := spelled(from), spelled(to)
	for i := range a {
		if a[i] != b[i] {
			out = append(out, changed{a[i][0], a[i][1], b[i][1]})
		}
	}
	return out
}

func spelled(s scheduler.QueueSpec) [][2]string {
	return [][2]string{
		{"handler", s.Handler},
		{"pool", s.Pool},
		{"rate", s.Rates.String()},
		{"timeout", exact(s.Timeout)},
		{"max-attempts", count(int64(s.Retry.MaxAttempts))},
		{"retry-min", exact(s.Retry.Min)},
		{"retry-max", exact(s.Retry.Max)},
		{"jitter", level(s.Retry.Jitter)},
		{"history", count(int64(s.History))},
		{"max-length", bound(s.MaxLength)},
		{"expire-after", (*expiryFlag)(&s.ExpireAfter).String()},
		{"paused", yesNo(s.Paused)},
	}
}

// bound is how many tasks a queue takes in; 0 is any number.
func bound(n int) string {
	if n == 0 {
		return "none"
	}
	return count(int64(n))
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
