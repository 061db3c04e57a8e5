package main

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// grid is a table that is fitted into a width.
type grid []column

// column is one of a grid, and what it gives up when there is too little room: first
// go the extras, then heads become short and gaps one space, then what can shrink does,
// then columns go that can be dropped. Lower numbers go first.
type column struct {
	head, short string
	right       bool
	least       int // width to which it can shrink; 0 for none
	extra, drop int // 0 stays
	cells       []string
	width       int
}

func (g grid) add(cells ...string) {
	for i := range g {
		g[i].cells = append(g[i].cells, safe(cells[i]))
	}
}

// lines are the header and the rows, none wider than width.
func (g grid) lines(width int) []string {
	g = slices.Clone(g)
	gap := 2
	g.measure()
	for g.total(gap) > width && g.remove(func(c *column) int { return c.extra }) {
	}
	if g.total(gap) > width {
		gap = 1
		for i := range g {
			if g[i].short != "" {
				g[i].head = g[i].short
			}
		}
		g.measure()
	}
	for g.total(gap) > width && (g.shrink() || g.remove(func(c *column) int { return c.drop })) {
	}
	out := make([]string, 1+len(g[0].cells))
	for i := range out {
		cells := make([]string, len(g))
		for j := range g {
			text := g[j].head
			if i > 0 {
				text = g[j].cells[i-1]
			}
			cells[j] = g[j].pad(text)
		}
		out[i] = clip(strings.TrimRight(strings.Join(cells, strings.Repeat(" ", gap)), " "), width)
	}
	return out
}

func (g grid) measure() {
	for i := range g {
		g[i].width = length(g[i].head)
		for _, cell := range g[i].cells {
			g[i].width = max(g[i].width, length(cell))
		}
	}
}

func (g grid) total(gap int) int {
	n := -gap
	for i := range g {
		n += g[i].width + gap
	}
	return n
}

// remove takes out the column of the lowest order.
func (g *grid) remove(order func(*column) int) bool {
	at := -1
	for i := range *g {
		if n := order(&(*g)[i]); n > 0 && (at < 0 || n < order(&(*g)[at])) {
			at = i
		}
	}
	if at < 0 {
		return false
	}
	*g = slices.Delete(*g, at, at+1)
	return true
}

// shrink takes a character from the column that has most to spare.
func (g grid) shrink() bool {
	at := -1
	for i := range g {
		if g[i].least > 0 && g[i].width > max(g[i].least, length(g[i].head)) && (at < 0 || g[i].width-g[i].least > g[at].width-g[at].least) {
			at = i
		}
	}
	if at < 0 {
		return false
	}
	g[at].width--
	return true
}

func (c *column) pad(text string) string {
	text = clip(text, c.width)
	space := strings.Repeat(" ", c.width-length(text))
	if c.right {
		return space + text
	}
	return text + space
}

func length(s string) int { return utf8.RuneCountInString(s) }

// clip cuts text to a width, and shows that it did.
func clip(s string, width int) string {
	if length(s) <= width {
		return s
	}
	if width < 1 {
		return ""
	}
	return string([]rune(s)[:width-1]) + "…"
}

// spread puts two texts at both ends of a line.
func spread(left, right string, width int) string {
	space := width - length(left) - length(right)
	if space < 2 {
		return clip(right+"  "+left, width)
	}
	return left + strings.Repeat(" ", space) + right
}
