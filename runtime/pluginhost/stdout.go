package pluginhost

import (
	"bytes"
	"io"
	"sync"
)

// maxHandshake bounds the handshake line; with a certificate it has about 1 KiB.
const maxHandshake = 16 << 10

// handshakeReader passes on the first line of a plugin's stdout and swallows
// everything after it, so that no print of a plugin, however long, blocks the
// plugin or reaches the parser of the handshake.
type handshakeReader struct {
	in io.ReadCloser

	mu   sync.Mutex
	line []byte // what has been read of the first line
	done bool
}

func (r *handshakeReader) Read(p []byte) (int, error) {
	for {
		n, err := r.in.Read(p)
		if n > 0 {
			if n = r.take(p[:n]); n > 0 {
				return n, nil
			}
		}
		if err != nil {
			r.in.Close()
			return 0, io.EOF // also when the deadline set at the exit has passed
		}
	}
}

// take returns how much of p belongs to the first line.
func (r *handshakeReader) take(p []byte) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done {
		return 0
	}
	if i := bytes.IndexByte(p, '\n'); i >= 0 {
		p, r.done = p[:i+1], true
	} else if len(r.line)+len(p) >= maxHandshake {
		p[len(p)-1], r.done = '\n', true
	}
	r.line = append(r.line, p...)
	return len(p)
}

// first returns the first line as far as it has been read.
func (r *handshakeReader) first() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(bytes.TrimSpace(r.line))
}

// Close closes the pipe, which reading to the end does too.
func (r *handshakeReader) Close() error { return r.in.Close() }
