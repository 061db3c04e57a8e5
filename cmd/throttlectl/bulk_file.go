package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

const (
	maxBulkLines = 10_000_000
	maxBulkBytes = 16 << 30
	envelopeRest = 64 << 10 // bytes of an envelope beside its payload
)

// bulkFile is a file of one task a line that is read several times, a line at a time.
type bulkFile struct {
	*os.File
	name     string // for people
	envelope bool
	payload  int // most bytes of one
	size     int64
	modified time.Time
}

// openBulk opens the file, or copies standard input ("-") into one that has no name any
// more and goes with the program.
func (a *app) openBulk(name string) (*bulkFile, error) {
	b := &bulkFile{name: name}
	if name == "-" {
		b.name = "standard input"
		return b, b.spool(a.stdin)
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no file %q", name)
	}
	if err != nil {
		return nil, err
	}
	b.File = f
	if err := b.stat(); err != nil {
		f.Close()
		return nil, err
	}
	return b, nil
}

func (b *bulkFile) spool(from io.Reader) error {
	f, err := os.CreateTemp("", "throttlectl-")
	if err != nil {
		return fmt.Errorf("copy standard input: %w", err)
	}
	os.Remove(f.Name())
	if _, err = io.Copy(f, io.LimitReader(from, maxBulkBytes+1)); err != nil {
		f.Close()
		return fmt.Errorf("copy standard input: %w", err)
	}
	b.File = f
	return b.stat()
}

func (b *bulkFile) stat() error {
	info, err := b.Stat()
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%q is a directory", b.name)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%q is no regular file, and is read more than once; pipe it in: --file -", b.name)
	case info.Size() > maxBulkBytes:
		return fmt.Errorf("%s has more than %d GiB; split it", b.name, maxBulkBytes>>30)
	}
	b.size, b.modified = info.Size(), info.ModTime()
	return nil
}

// changed fails when the file is not what it was when it was checked.
func (b *bulkFile) changed() error {
	info, err := b.Stat()
	if err != nil {
		return err
	}
	if info.Size() != b.size || !info.ModTime().Equal(b.modified) {
		return &payloadError{fmt.Errorf("%s has changed since it was checked", b.name)}
	}
	return nil
}

var errLineTooLong = errors.New("line too long")

// lines calls f with each line, numbered from 1, without its line end; err is
// errLineTooLong for one that is not given. text is f's only until it returns.
func (b *bulkFile) lines(tee io.Writer, f func(no int64, text []byte, err error) error) error {
	if _, err := b.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read %s: %w", b.name, err)
	}
	var from io.Reader = b.File
	if tee != nil {
		from = io.TeeReader(from, tee)
	}
	r := &lineReader{r: bufio.NewReaderSize(from, 64<<10), most: b.payload + 4096}
	if b.envelope {
		r.most += envelopeRest
	}
	for no := int64(1); ; no++ {
		text, err := r.next()
		if err == io.EOF {
			return nil
		}
		if err != nil && err != errLineTooLong {
			return fmt.Errorf("read %s: %w", b.name, err)
		}
		if no > maxBulkLines {
			return &payloadError{fmt.Errorf("%s has more than %s lines; split it", b.name, count(maxBulkLines))}
		}
		if err := f(no, bytes.TrimSpace(text), err); err != nil {
			return err
		}
	}
}

// lineReader reads lines in bounded memory.
type lineReader struct {
	r    *bufio.Reader
	most int
	buf  []byte
}

// next returns a line, io.EOF behind the last one.
func (l *lineReader) next() ([]byte, error) {
	l.buf = l.buf[:0]
	long := false
	for {
		part, err := l.r.ReadSlice('\n')
		if len(l.buf)+len(part) > l.most {
			long = true
		}
		if !long && (len(l.buf) > 0 || err == bufio.ErrBufferFull) {
			l.buf = append(l.buf, part...)
			part = l.buf
		}
		switch {
		case err == bufio.ErrBufferFull:
			if long {
				l.buf = append(l.buf[:0], 0) // only that something was there
			}
		case err == io.EOF && len(part) == 0 && len(l.buf) == 0:
			return nil, io.EOF
		case err != nil && err != io.EOF:
			return nil, err
		case long:
			return nil, errLineTooLong
		default:
			return part, nil
		}
	}
}
