//go:build unix && !linux

package pluginhost

import "os"

// privateCopy is a file in the run directory, which nobody else may enter.
type privateCopy struct{ file *os.File }

func newCopy(dir string) (*privateCopy, error) {
	f, err := os.CreateTemp(dir, "plugin-copy-*")
	if err != nil {
		return nil, err
	}
	return &privateCopy{f}, nil
}

func (c *privateCopy) drop() {
	c.file.Close()
	os.Remove(c.file.Name())
}

// seal returns the copy as a program.
func (c *privateCopy) seal() (program, error) {
	path := c.file.Name()
	if err := c.file.Chmod(0o555); err != nil {
		c.drop()
		return program{}, err
	}
	if err := c.file.Close(); err != nil { // a file open for writing is not executed
		os.Remove(path)
		return program{}, err
	}
	return program{path: path, drop: func() { os.Remove(path) }}, nil
}
