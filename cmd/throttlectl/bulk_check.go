package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/throttlerd/throttlerd/scheduler"
)

const maxShownLines = 10 // of those that cannot be used

// checked is what is known of a file all of whose lines can be submitted.
type checked struct {
	lines int64
	hash  string // of queue and content: the same file is the same bulk
	odd   bool   // without --envelope, and its first line would be one
}

// badLines are those that cannot be used; the first ones with their reason.
type badLines struct {
	first []badLine
	count int64
}

type badLine struct {
	no  int64
	why string
}

func (l *badLines) add(no int64, format string, args ...any) {
	l.count++
	i, _ := slices.BinarySearchFunc(l.first, no, func(b badLine, no int64) int { return cmp.Compare(b.no, no) })
	if i >= maxShownLines {
		return
	}
	l.first = slices.Insert(l.first, i, badLine{no, fmt.Sprintf(format, args...)})
	l.first = l.first[:min(len(l.first), maxShownLines)]
}

func (l *badLines) error(name string, of int64) error {
	if l.count == 0 {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s of %s cannot be used, so nothing was submitted:", name, count(l.count), plural(of, "line"))
	for _, line := range l.first {
		fmt.Fprintf(&b, "\n  line %d: %s", line.no, safe(line.why))
	}
	if more := l.count - int64(len(l.first)); more > 0 {
		fmt.Fprintf(&b, "\n  and %s more", count(more))
	}
	return &payloadError{fmt.Errorf("%s", b.String())}
}

// check reads the whole file and refuses it if any line cannot be submitted.
func (b *bulkFile) check(stop context.Context, queue string, bar *bar) (checked, error) {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n%t\n", queue, b.envelope)
	var c checked
	var bad badLines
	var ids idSet
	defer ids.close()
	var read int64
	err := b.lines(sum, func(no int64, text []byte, err error) error {
		c.lines = no
		read += int64(len(text)) + 1
		if no%1024 == 0 {
			if stop.Err() != nil {
				return fmt.Errorf("%w while the file was checked: nothing was submitted", errInterrupted)
			}
			bar.draw(read)
		}
		if err != nil {
			bad.add(no, "is too long: at most %d bytes are taken as a payload (max_payload)", b.payload)
			return nil
		}
		r, err := b.task(text)
		if err != nil {
			bad.add(no, "%s", err)
			return nil
		}
		if no == 1 && !b.envelope {
			c.odd = readEnvelope(text, &scheduler.SubmitRequest{}) == nil
		}
		if r.ID != "" {
			return ids.add(r.ID, no)
		}
		return nil
	})
	if err != nil {
		return c, err
	}
	if err := ids.twice(func(line, first int64) { bad.add(line, "has the id of line %d", first) }); err != nil {
		return c, err
	}
	if c.lines == 0 {
		return c, &payloadError{fmt.Errorf("%s is empty; each line is one task", b.name)}
	}
	c.hash = hex.EncodeToString(sum.Sum(nil)[:8])
	return c, bad.error(b.name, c.lines)
}

// id is the one that line no gets if it has none of its own: always the same for the
// same line of the same file.
func (c checked) id(no int64) string { return fmt.Sprintf("%s-%d", c.hash, no) }
