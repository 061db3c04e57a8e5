package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/throttlerd/throttlerd/scheduler"
)

// submit sends the lines behind those that are known to be in. The file is read beside
// the sending.
func (b *bulk) submit() error {
	b.in, b.skipped = b.known, b.known
	bar := b.a.progress(b.queue, b.lines, func(n, total int64) string {
		return fmt.Sprintf("%s of %s", count(n), plural(total, "line"))
	})
	defer bar.clear()
	chunks, ended := make(chan *chunk, 2), make(chan struct{})
	var readErr error
	go func() {
		defer close(chunks)
		readErr = b.eachChunk(b.known, scheduler.SubmitCall, func(c *chunk) error {
			select {
			case chunks <- c:
				return nil
			case <-ended:
				return errInterrupted
			}
		})
	}()
	defer func() {
		close(ended)
		for range chunks { // until the reader has gone: the file is closed next
		}
	}()
	for c := range chunks {
		if b.stop.Err() != nil {
			return b.half(errInterrupted, c)
		}
		if err := b.send(c); err != nil {
			return b.half(err, c)
		}
		bar.draw(b.in)
	}
	if readErr != nil {
		return b.half(readErr, nil)
	}
	return nil
}

func (b *bulk) send(c *chunk) error {
	if err := b.file.changed(); err != nil {
		return err
	}
	b.restart()
	if b.resume {
		taken, err := b.Taken(b.ctx, ids(c))
		if err != nil {
			return err
		}
		for i := len(taken) - 1; i >= 0; i-- {
			if taken[i] {
				b.skipped++
				c.tasks, c.lines = slices.Delete(c.tasks, i, i+1), slices.Delete(c.lines, i, i+1)
			}
		}
	}
	b.doubt = true
	receipts, err := b.SubmitPart(b.ctx, b.queue, c.tasks, b.hash, c.last)
	b.submitted += int64(len(receipts))
	b.ready += int64(receipts.Ready())
	if err != nil {
		return err
	}
	b.in, b.doubt = c.last, false
	return nil
}

// half says what is in when not all is, and how to go on.
func (b *bulk) half(err error, c *chunk) error {
	if expired(b.ctx, err) {
		err = &timeoutError{b.a.timeout, err}
	}
	if errors.Is(err, scheduler.ErrTaskExists) {
		if i := b.which(c); i >= 0 {
			return b.taken(c.lines[i], c.tasks[i].ID, b.sofar())
		}
	}
	err = b.refused(err, c)
	var away *scheduler.UnreachableError
	doubt := ""
	if errors.As(err, &away) && b.doubt {
		doubt = fmt.Sprintf("; whether lines %d to %d are in too is unknown, --resume finds it out", c.first, c.last)
	}
	return fmt.Errorf("%w: %s%s; to go on, type: %s", err, b.sofar(), doubt, b.again())
}

// refused names the line that the queue's limits refuse, since they were changed.
func (b *bulk) refused(err error, c *chunk) error {
	var one *scheduler.TaskRefusedError
	var invalid *scheduler.InvalidError
	switch {
	case c == nil:
	case errors.As(err, &one):
		return fmt.Errorf("%s line %d: %w", b.file.name, c.lines[one.Index], one.Err)
	case errors.As(err, &invalid) && len(c.lines) == 1:
		return fmt.Errorf("%s line %d: %w", b.file.name, c.lines[0], err)
	}
	return err
}

func (b *bulk) sofar() string {
	return fmt.Sprintf("%s of %s are in", count(b.in), plural(b.lines, "line"))
}

// which is the place in the chunk of the first id that is taken.
func (b *bulk) which(c *chunk) int {
	b.restart()
	taken, err := b.Taken(b.ctx, ids(c))
	if err != nil {
		return -1
	}
	return slices.Index(taken, true)
}

// again is the command that goes on.
func (b *bulk) again() string {
	if b.resume {
		return b.a.commandLine()
	}
	return b.a.commandLine("--resume")
}
