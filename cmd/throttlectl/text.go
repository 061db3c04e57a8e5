package main

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// table prints rows under a header, if there is one, all columns as wide as their widest
// cell.
func (a *app) table(header []string, rows [][]string) {
	var text bytes.Buffer
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	if header != nil {
		rows = append([][]string{header}, rows...)
	}
	for _, row := range rows {
		for _, cell := range row {
			fmt.Fprint(w, safe(cell), "\t")
		}
		fmt.Fprintln(w)
	}
	w.Flush() // into memory: cannot fail
	for line := range strings.Lines(text.String()) {
		a.printf("%s\n", strings.TrimRight(line, " \n"))
	}
}

// facts prints names and values, a line each.
func (a *app) facts(rows [][2]string) {
	w := tabwriter.NewWriter(&a.out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintf(w, "%s\t%s\n", safe(row[0]), safe(row[1]))
	}
	w.Flush()
}

// safe makes text that others wrote harmless to a terminal: what does not print, such
// as the start of a control sequence or a change of the direction of text, is escaped.
func safe(s string) string { return escape(s, false) }

// safeLines is safe for our own text of several lines.
func safeLines(s string) string { return escape(s, true) }

func escape(s string, lines bool) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r), lines && r == '\n':
			b.WriteRune(r)
		default:
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
		i += n
	}
	return b.String()
}

// flat puts the lines of a text behind one another.
func flat(s string) string {
	var lines []string
	for line := range strings.Lines(s) {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, " | ")
}

// cut shortens what a person would not read to its end, and says so.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	i := most
	for i > 0 && !utf8.RuneStart(s[i]) {
		i--
	}
	return fmt.Sprintf("%s… (%d bytes in all; --json prints them)", s[:i], len(s))
}

// span is a duration for people: three digits or so, no zero units.
func span(d time.Duration) string {
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	switch {
	case d < time.Millisecond:
		d = d.Round(time.Microsecond)
	case d < 10*time.Millisecond:
		d = d.Round(10 * time.Microsecond)
	case d < time.Second:
		d = d.Round(time.Millisecond)
	case d < time.Minute:
		d = d.Round(100 * time.Millisecond)
	case d < 24*time.Hour:
		d = d.Round(time.Second)
	default:
		d = d.Round(time.Minute)
	}
	const day = 24 * time.Hour
	if d >= 2*day && d%day != 0 { // "366h1m" is for nobody
		return fmt.Sprintf("%s%dd%s", sign, d/day, exact(d%day))
	}
	return sign + exact(d)
}

// exact is a duration as the flags and files take it, without zero units.
func exact(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
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

// rateWords says what a rate means.
func rateWords(r ratelimit.Rate) string {
	if r.IsZero() {
		return "no limit"
	}
	words := ""
	if each := r.Period / time.Duration(r.N); each >= time.Millisecond {
		words = "one each " + span(each)
	} else {
		words = count(r.N) + " each " + exact(r.Period)
	}
	if r.Burst > 1 {
		words += ", up to " + count(r.Burst) + " at once"
	}
	return words
}

// count groups digits: 100000 is 100,000.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// level shows tokens with its fraction, rounded down: 0.999 tokens grant nothing.
func level(n float64) string {
	return strconv.FormatFloat(math.Floor(n*100)/100, 'f', -1, 64)
}

// plural is "1 task", "2 tasks".
func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(n) + " " + noun + "s"
}

// clock is an instant for people, with its date unless that is today's.
func clock(t time.Time) string {
	t = t.Local()
	if t.Format(time.DateOnly) == time.Now().Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateTime)
}
