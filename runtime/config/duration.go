package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	dayDuration = regexp.MustCompile(`^[0-9]{1,5}d$`)
	bareNumber  = regexp.MustCompile(`^[0-9]+$`)
	sizeRule    = regexp.MustCompile(`^([0-9]{1,12})(B|KiB|MiB)$`)
)

// ParseDuration reads "50ms", "30s", "1h30m" or "7d". The error says what is right.
func ParseDuration(s string) (time.Duration, error) {
	if dayDuration.MatchString(s) {
		days, err := strconv.Atoi(strings.TrimSuffix(s, "d"))
		return time.Duration(days) * 24 * time.Hour, err
	}
	if bareNumber.MatchString(s) {
		return 0, fmt.Errorf("%q has no unit; did you mean %q?", shorten(s), shorten(s)+"s")
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf(`%q is not a duration; write a number and a unit (ms, s, m, h, d), such as "30s" or "1h30m"`, shorten(s))
	}
	return d, nil
}

// formatDuration is d as ParseDuration reads it, without the zeros of "1h0m0s".
func formatDuration(d time.Duration) string {
	if d > 0 && d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// parseSize reads "512B", "256KiB" or "1MiB" as bytes.
func parseSize(s string) (int, error) {
	m := sizeRule.FindStringSubmatch(s)
	if m == nil {
		hint := `write a whole number and a unit (B, KiB, MiB), such as "256KiB"`
		if bareNumber.MatchString(s) {
			hint = fmt.Sprintf("it has no unit; did you mean %q?", shorten(s)+"B")
		}
		return 0, fmt.Errorf("%q is not a size; %s", shorten(s), hint)
	}
	n, err := strconv.Atoi(m[1])
	return n * map[string]int{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20}[m[2]], err
}

// formatSizeText is n bytes as parseSize reads them.
func formatSizeText(n int) string {
	switch {
	case n%(1<<20) == 0 && n > 0:
		return fmt.Sprintf("%dMiB", n>>20)
	case n%(1<<10) == 0 && n > 0:
		return fmt.Sprintf("%dKiB", n>>10)
	}
	return fmt.Sprintf("%dB", n)
}
