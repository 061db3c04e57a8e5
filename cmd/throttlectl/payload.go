package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/throttlerd/throttlerd/scheduler"
)

// payload reads a task's payload from an argument, standard input ("-") or a file
// ("@name"), and refuses what is too large or no JSON before Redis is asked.
func (a *app) payload(args []string) ([]byte, error) {
	cfg, err := a.settings()
	if err != nil {
		return nil, err
	}
	most := min(cfg.MaxPayload, scheduler.HardMaxPayload)
	text := []byte("{}")
	switch {
	case len(args) == 0:
	case args[0] == "-":
		text, err = readPayload(a.stdin, most)
	case strings.HasPrefix(args[0], "@"):
		text, err = readPayloadFile(args[0][1:], most)
	default:
		text, err = readPayload(strings.NewReader(args[0]), most)
	}
	if err != nil {
		return nil, &payloadError{fmt.Errorf("payload: %w", err)}
	}
	if err := scheduler.CheckJSON(text); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(text), nil // without the line end of a file
}

func readPayloadFile(name string, most int) ([]byte, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no file %q", name)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readPayload(f, most)
}

// readPayload reads no more than it takes to know that it is too much. White space at
// the ends does not count, in bounds.
func readPayload(r io.Reader, most int) ([]byte, error) {
	const spare = 4096
	text, err := io.ReadAll(io.LimitReader(r, int64(most)+spare))
	if err != nil {
		return nil, err
	}
	if len(text) == most+spare || len(bytes.TrimSpace(text)) > most {
		return nil, fmt.Errorf("larger than %d bytes (max_payload)", most)
	}
	return text, nil
}
