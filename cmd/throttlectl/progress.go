package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// bar is a line on a terminal that shows how far something is. Without a terminal it
// shows nothing.
type bar struct {
	w     io.Writer
	on    bool
	width func() int
	label string
	total int64
	show  func(n, total int64) string
	begun time.Time
	drawn time.Time
}

// progress is a bar on standard error; show words the numbers, nil for no words.
func (a *app) progress(label string, total int64, show func(n, total int64) string) *bar {
	return &bar{w: a.stderr, on: isTerminal(a.stderr), width: a.width, label: label, total: total, show: show, begun: time.Now()}
}

// draw shows that n of all are done, at most ten times a second.
func (b *bar) draw(n int64) {
	now := time.Now()
	if !b.on || now.Sub(b.drawn) < 100*time.Millisecond {
		return
	}
	b.drawn = now
	words := ""
	if b.show != nil {
		words = b.show(n, b.total)
		if t := now.Sub(b.begun).Seconds(); t >= 0.5 {
			words += fmt.Sprintf("  %s/s", count(int64(float64(n)/t)))
		}
	}
	fmt.Fprintf(b.w, "\r%s\x1b[K", barLine(b.label, words, n, b.total, b.width()-1))
}

// clear takes the bar away, for what is printed next.
func (b *bar) clear() {
	if b.on && !b.drawn.IsZero() {
		fmt.Fprint(b.w, "\r\x1b[K")
		b.drawn = time.Time{}
	}
}

// barLine is "label  [=====>    ]  45%  words" in a width; what does not fit is left out.
func barLine(label, words string, n, total int64, width int) string {
	part := 1.0
	if total > 0 {
		part = min(1, float64(n)/float64(total))
	}
	right := fmt.Sprintf("%3d%%", int(part*100))
	if words != "" {
		right += "  " + words
	}
	room := min(40, width-len(label)-len(right)-6)
	if room < 5 {
		line := label + "  " + right
		return line[:max(0, min(len(line), width))]
	}
	full := int(part * float64(room))
	drawn := strings.Repeat("=", full)
	if full < room {
		drawn += ">"
	}
	return fmt.Sprintf("%s  [%-*s]  %s", label, room, drawn, right)
}
