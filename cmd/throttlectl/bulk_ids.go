package main

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
)

const (
	idParts = 64
	idsHeld = 2048 // of one part, in memory
)

// idSet finds ids that are there twice, in bounded memory: ids go by their hash into
// parts, which spill into temporary files and are sorted one at a time. 128 bits of
// SHA-256 stand for an id.
type idSet struct{ parts [idParts]idPart }

type idPart struct {
	held  []idEntry
	spill *os.File
}

type idEntry struct {
	hash [16]byte
	line int64
}

func (s *idSet) add(id string, line int64) error {
	sum := sha256.Sum256([]byte(id))
	p := &s.parts[sum[31]%idParts]
	p.held = append(p.held, idEntry{[16]byte(sum[:16]), line})
	if len(p.held) < idsHeld {
		return nil
	}
	return p.flush()
}

func (p *idPart) flush() (err error) {
	if p.spill == nil {
		if p.spill, err = os.CreateTemp("", "throttlectl-"); err != nil {
			return fmt.Errorf("look for ids that are there twice: %w", err)
		}
		os.Remove(p.spill.Name())
	}
	buf := make([]byte, 0, 24*len(p.held))
	for _, e := range p.held {
		buf = binary.BigEndian.AppendUint64(append(buf, e.hash[:]...), uint64(e.line))
	}
	p.held = p.held[:0]
	if _, err := p.spill.Write(buf); err != nil {
		return fmt.Errorf("look for ids that are there twice: %w", err)
	}
	return nil
}

func (p *idPart) load() error {
	if p.spill == nil {
		return nil
	}
	if _, err := p.spill.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r := bufio.NewReader(p.spill)
	var b [24]byte
	for {
		switch _, err := io.ReadFull(r, b[:]); err {
		case nil:
			p.held = append(p.held, idEntry{[16]byte(b[:16]), int64(binary.BigEndian.Uint64(b[16:]))})
		case io.EOF:
			return nil
		default:
			return err
		}
	}
}

// twice calls f for each line whose id a line before it has.
func (s *idSet) twice(f func(line, first int64)) error {
	for i := range s.parts {
		p := &s.parts[i]
		if err := p.load(); err != nil {
			return fmt.Errorf("look for ids that are there twice: %w", err)
		}
		slices.SortFunc(p.held, func(a, b idEntry) int {
			return cmp.Or(slices.Compare(a.hash[:], b.hash[:]), cmp.Compare(a.line, b.line))
		})
		first := 0
		for j := 1; j < len(p.held); j++ {
			if p.held[j].hash != p.held[first].hash {
				first = j
				continue
			}
			f(p.held[j].line, p.held[first].line)
		}
		p.held = nil
	}
	return nil
}

func (s *idSet) close() {
	for i := range s.parts {
		if f := s.parts[i].spill; f != nil {
			f.Close()
		}
	}
}
