package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxScreen is how many queues the highest screen shows.
const maxScreen = 300

// render lays a snapshot out for a screen: at most height lines of at most width
// characters. It looks at nothing else.
func render(s snapshot, width, height int) []string {
	wide := width >= 120
	right := strings.ToUpper(s.health.Status)
	lines := []string{
		spread(fmt.Sprintf("throttlectl monitor  %s  %s  every %s", s.namespace, s.at.Format(time.TimeOnly), exact(s.interval)), right, width),
		clip(totalsLine(s.totals(), wide), width),
	}
	if s.trouble != "" {
		lines = append(lines, clip("NOT OF NOW: "+safe(s.trouble)+"; trying again", width))
	}
	rows := queueRows(s, width, wide)
	most := min(max(3, height/6), height-len(lines)-10)
	workers := append([]string{""}, workerRows(s, width, most)...)
	lines = append(append(lines, workers...), "")
	room := height - len(lines)
	hints := hintLines(s.hints(), width, max(2, height/5, room-len(rows.lines)-1))
	if len(hints) > 0 {
		hints = append([]string{""}, hints...)
	}
	shown := rows.first(room-len(hints), width)
	lines = append(lines, shown...)
	if left := room - len(hints) - len(shown); left > 3 {
		if telling := progressRows(s, width, left-3); telling != nil {
			lines = append(append(lines, ""), telling...)
		}
	}
	lines = append(lines, hints...)
	return lines[:min(len(lines), height)]
}

func totalsLine(t totals, wide bool) string {
	parts := []string{plural(int64(t.Workers), "worker"), plural(int64(t.Queues), "queue"), "waiting " + number(t.Waiting, wide)}
	if wide { // elsewhere what is less looked for goes
		parts = append(parts, "scheduled "+number(t.Scheduled, wide))
	}
	parts = append(parts, "running "+number(t.Running, wide))
	if t.StartsPerSecond != nil {
		parts = append(parts, perSecond(*t.StartsPerSecond)+map[bool]string{true: " starts/s", false: "/s"}[wide])
	}
	parts = append(parts, "dead "+number(t.Dead, wide), "done "+number(t.Completed, wide), "failed "+number(t.Failed, wide))
	return strings.Join(parts, "  ")
}

// workerRows are a header and up to most rows, those with trouble first.
func workerRows(s snapshot, width, most int) []string {
	if len(s.workers) == 0 {
		return []string{clip("No workers; start one: throttlerd run", width)}
	}
	order := make([]int, 0, len(s.workers))
	for _, sick := range []bool{true, false} {
		for i, w := range s.workers {
			if (!w.Live(s.at) || len(w.Down) > 0) == sick {
				order = append(order, i)
			}
		}
	}
	most = max(1, most)
	more := 0
	if len(order) > most {
		most = max(1, most-1)
		more = len(order) - most
		order = order[:most]
	}
	t := grid{
		{head: "WORKER", least: 8}, {head: "HOST", least: 6, extra: 3}, {head: "POOLS", least: 6, drop: 2}, {head: "HANDLERS", least: 8},
		{head: "RUNNING", short: "RUN", right: true}, {head: "STATE"}, {head: "HEARTBEAT", short: "BEAT", right: true},
		{head: "VERSION", extra: 2, least: 5}, {head: "CONFIG", extra: 1},
	}
	for _, i := range order {
		w := s.workers[i]
		state := workerState(w, s.at)
		switch {
		case state == "lost":
			state = "LOST"
		case len(w.Down) > 0:
			state = "DOWN " + strings.Join(w.Down, ",")
		}
		t.add(w.ID, w.Host, strings.Join(w.Pools, ","), slotsText(w), count(int64(w.Running)), state, fmt.Sprintf("%.1fs", age(w, s.at).Seconds()), w.Version, w.ConfigHash)
	}
	lines := t.lines(width)
	if more > 0 {
		lines = append(lines, clip(fmt.Sprintf("… and %s", plural(int64(more), "more worker")), width))
	}
	return lines
}

// hintLines are hints, broken to the width, in at most most lines.
func hintLines(hints []string, width, most int) []string {
	var out []string
	for i, h := range hints {
		lines := wrap(h, "! ", width)
		if len(out)+len(lines) > most || len(out)+len(lines) == most && i < len(hints)-1 {
			if i == 0 {
				return lines[:min(len(lines), most)]
			}
			return append(out, clip(fmt.Sprintf("! and %s", plural(int64(len(hints)-i), "more hint")), width))
		}
		out = append(out, lines...)
	}
	return out
}

// wrap breaks text at spaces; the lines behind the first stand under its text.
func wrap(text, mark string, width int) []string {
	var out []string
	line := mark
	for _, word := range strings.Fields(text) {
		if length(line) > length(mark) && length(line)+1+length(word) > width {
			out = append(out, clip(line, width))
			line = strings.Repeat(" ", length(mark))
		}
		if length(line) > length(mark) {
			line += " "
		}
		line += word
	}
	return append(out, clip(line, width))
}

// number is short where there is little room: 12.3k.
func number(n int64, wide bool) string {
	if wide {
		return count(n)
	}
	for _, u := range []struct {
		least int64
		unit  string
	}{{1e9, "G"}, {1e6, "M"}, {1e4, "k"}} {
		if n < u.least {
			continue
		}
		one := map[string]int64{"G": 1e9, "M": 1e6, "k": 1e3}[u.unit]
		if n/one >= 100 {
			return fmt.Sprintf("%d%s", n/one, u.unit)
		}
		return fmt.Sprintf("%d.%d%s", n/one, n%one*10/one, u.unit)
	}
	return strconv.FormatInt(n, 10)
}

// tokenLevel is tokens to a tenth, rounded down.
func tokenLevel(n float64) string {
	if n >= 100 {
		return number(int64(n), false)
	}
	return strconv.FormatFloat(float64(int64(n*10))/10, 'f', -1, 64)
}

func perSecond(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return number(int64(v+0.5), false)
}
