package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/scheduler"
)

// bulkFlags are those of submit --file.
type bulkFlags struct {
	file             string
	envelope, resume bool
}

func (f *bulkFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.file, "file", "", "submit each line of this `file`, - for standard input")
	c.Flags().BoolVar(&f.envelope, "envelope", false, "lines of --file are {\"payload\":…} with id, type, key, headers, cost, in, at")
	c.Flags().BoolVar(&f.resume, "resume", false, "go on with a --file that was interrupted: what is in is left out")
}

// asked tells whether a file is to be submitted, and refuses what does not go with it.
func (f *bulkFlags) asked(c *cobra.Command, args []string) (bool, error) {
	if !c.Flags().Changed("file") {
		for _, name := range []string{"envelope", "resume"} {
			if c.Flags().Changed(name) {
				return false, usagef("--%s goes with --file only", name)
			}
		}
		return false, nil
	}
	if f.file == "" {
		return true, usagef("--file is empty; name a file, or - for standard input")
	}
	if len(args) > 1 {
		return true, usagef("--file and a payload exclude each other")
	}
	for _, name := range []string{"id", "type", "key", "header", "cost", "in", "at"} {
		if c.Flags().Changed(name) {
			return true, usagef("--file and --%s exclude each other; with --envelope each line has its own", name)
		}
	}
	return true, nil
}

// submitFile submits each line of a file as a task, when all of them can be.
func (a *app) submitFile(queue string, flags bulkFlags) error {
	if err := checkName("queue", queue); err != nil {
		return err
	}
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	file, err := a.openBulk(flags.file)
	if err != nil {
		return &payloadError{fmt.Errorf("--file: %w", err)}
	}
	defer file.Close()
	file.envelope, file.payload = flags.envelope, min(cfg.MaxPayload, scheduler.HardMaxPayload)
	return a.interruptible(func(stop context.Context) error {
		bar := a.progress("checking "+safe(file.name), file.size, nil)
		c, err := file.check(stop, queue, bar)
		bar.clear()
		if err != nil {
			return err
		}
		if c.odd && !a.json {
			a.note("Note: line 1 of %s looks like an envelope; without --envelope the whole line is the payload", safe(file.name))
		}
		return a.steadily(stop, func(l *long) error {
			b := &bulk{long: l, file: file, checked: c, queue: queue, resume: flags.resume}
			if err := b.prepare(); err != nil {
				return err
			}
			err := b.submit()
			if b.submitted > 0 || err == nil { // with an error too: it is so
				if err := b.print(); err != nil {
					return err
				}
			}
			return err
		})
	})
}

// bulk is a file on its way into a queue. A chunk of lines goes in with one call, all
// or none, and one after the other: what is in is a prefix of the file.
type bulk struct {
	*long
	checked
	file   *bulkFile
	queue  string
	resume bool

	known     int64 // lines up to here are in since before this run
	in        int64 // lines up to here are in
	submitted int64 // in this run
	skipped   int64 // in this run, since they were in before
	ready     int64
	doubt     bool // a call is out whose answer has not been seen
}

// chunk are the tasks of some lines.
type chunk struct {
	tasks       []scheduler.SubmitRequest
	lines       []int64
	bytes       int
	first, last int64
}

// prepare finds out what the queue's limits refuse, and what is in already.
func (b *bulk) prepare() error {
	limits, err := b.Admission(b.ctx, b.queue)
	if err != nil {
		return err
	}
	var bad badLines
	if b.resume {
		n, err := b.Progress(b.ctx, b.hash)
		if err != nil {
			return err
		}
		b.known = min(n, b.lines)
	}
	bar := b.a.progress("looking up ids", b.lines, nil)
	defer bar.clear()
	err = b.eachChunk(b.known, 1000, func(c *chunk) error {
		if err := b.step(); err != nil {
			return fmt.Errorf("%w: nothing was submitted in this run", err)
		}
		bar.draw(c.last)
		for i := range c.tasks {
			if err := limits.Check(&c.tasks[i]); err != nil {
				bad.add(c.lines[i], "%s", err)
			}
		}
		taken, err := b.Taken(b.ctx, ids(c))
		if err != nil {
			return err
		}
		for i, t := range taken {
			switch {
			case t && !b.resume:
				return b.taken(c.lines[i], c.tasks[i].ID, "nothing was submitted")
			case t && c.tasks[i].ID == b.id(c.lines[i]):
				b.known = c.lines[i] // then all before it are in too, or were
			}
		}
		return nil
	})
	if err == nil {
		err = bad.error(b.file.name, b.lines)
	}
	if err != nil || b.resume {
		return err
	}
	return b.SetProgress(b.ctx, b.hash, 0) // what was known of an earlier run is over
}

func ids(c *chunk) []string {
	out := make([]string, len(c.tasks))
	for i := range c.tasks {
		out[i] = c.tasks[i].ID
	}
	return out
}

func (b *bulk) taken(line int64, id, what string) error {
	return &explainedError{fmt.Sprintf("%s line %d: task id %q is taken, %s; --resume leaves out what is in already", b.file.name, line, id, what), scheduler.ErrTaskExists}
}

// eachChunk calls f with the lines behind the first skip, most at a time and no more
// bytes than one call takes.
func (b *bulk) eachChunk(skip int64, most int, f func(*chunk) error) error {
	c := &chunk{}
	err := b.file.lines(nil, func(no int64, text []byte, err error) error {
		if no <= skip {
			return nil
		}
		if err != nil || no > b.lines {
			return b.file.mustHaveChanged()
		}
		r, err := b.file.task(slices.Clone(text))
		if err != nil {
			return b.file.mustHaveChanged()
		}
		if r.ID == "" {
			r.ID = b.id(no)
		}
		if len(c.tasks) > 0 && (len(c.tasks) == most || c.bytes+len(r.Payload) > scheduler.SubmitCallBytes) {
			if err := f(c); err != nil {
				return err
			}
			c = &chunk{}
		}
		if len(c.tasks) == 0 {
			c.first = no
		}
		c.tasks, c.lines = append(c.tasks, r), append(c.lines, no)
		c.bytes += len(r.Payload)
		c.last = no
		return nil
	})
	if err != nil || len(c.tasks) == 0 {
		return err
	}
	return f(c)
}

// mustHaveChanged is the error for a line that could be used when it was checked.
func (b *bulkFile) mustHaveChanged() error {
	return &payloadError{fmt.Errorf("%s has changed since it was checked", b.name)}
}

// bulkView is what became of a file, in JSON.
type bulkView struct {
	Queue     string `json:"queue"`
	Submitted int64  `json:"submitted"`
	Ready     int64  `json:"ready"`   // a token is there now
	Waiting   int64  `json:"waiting"` // the rest: for a token, or for their instant
	Skipped   int64  `json:"skipped"` // were in before
}

func (b *bulk) print() error {
	v := bulkView{b.queue, b.submitted, b.ready, b.submitted - b.ready, b.skipped}
	if b.a.json {
		return b.a.printJSON(v)
	}
	header := []string{"SUBMITTED", "READY", "WAITING"}
	row := []string{count(v.Submitted), count(v.Ready), count(v.Waiting)}
	if b.resume {
		header, row = append(header, "SKIPPED"), append(row, count(v.Skipped))
	}
	b.a.table(header, [][]string{row})
	return nil
}
