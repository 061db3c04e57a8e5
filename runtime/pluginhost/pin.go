package pluginhost

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// ErrChecksum means that a binary is not the one its handler pins.
var ErrChecksum = errors.New("checksum mismatch")

// program is what is executed.
type program struct {
	path string
	file *os.File // the descriptor that path names in the process; may be nil
	drop func()   // takes away what was made for it
}

// programOf returns the program of a binary; when a digest is wanted, a private copy of
// it, so that what is executed is what was checked, whoever writes to the file.
func programOf(path, digest, dir string) (program, error) {
	if digest == "" {
		return program{path: path, drop: func() {}}, nil
	}
	from, err := os.Open(path)
	if err != nil {
		return program{}, err
	}
	defer from.Close()
	to, err := newCopy(dir)
	if err != nil {
		return program{}, fmt.Errorf("private copy of %q, to check its sha256: %w", path, err)
	}
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(to.file, h), from); err != nil {
		to.drop()
		return program{}, err
	}
	if got := hex.EncodeToString(h.Sum(nil)); !strings.EqualFold(got, digest) {
		to.drop()
		return program{}, fmt.Errorf("%w: the binary has sha256 %s, the handler allows only %s", ErrChecksum, got, digest)
	}
	return to.seal()
}
