// Package pluginhost is the host's end of package pluginapi: it starts a plugin
// process, configures it, hands it tasks over one stream, takes their results,
// watches it and makes an end of it. It knows nothing of queues, limits or
// Redis: what becomes of the runs of a process that died is its caller's
// business.
//
// The host survives all that a plugin can do. Every wait for a plugin ends at
// the latest when its process group has been killed, and that is always done.
package pluginhost

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/hashicorp/go-hclog"
)

// Spec says which binary serves a handler and how it is run.
type Spec struct {
	Handler string            // the handler's name, for logs and errors
	Path    string            // the binary
	Args    []string          // without the name of the program
	Env     map[string]string // all it gets beside a time zone, a language and TMPDIR
	SHA256  string            // hex digest of what is executed; empty: any
	User    string            // whom it runs as; empty: as the host
	MTLS    bool              // encrypt the stream and check both ends
	Config  []byte            // its config block as a JSON object; nil: empty
	Log     hclog.Logger      // where its log lines go; nil: nowhere
	RunDir  string            // an existing directory for its socket; empty: the temporary one

	// Attach is where the plugin is already; nil: it is started. Of the rest, Handler,
	// Config and Log count then.
	Attach *Attach

	// MemoryMax is how many bytes of memory it and its children may have; 0 is no
	// bound. Without cgroups of version 2 it holds for the process alone, and a
	// warning says so.
	MemoryMax int64
}

// logger returns Log, or one that drops everything.
func (s Spec) logger() hclog.Logger {
	if s.Log == nil {
		return hclog.NewNullLogger()
	}
	return s.Log
}

// Check tells whether path can be a plugin: an existing regular file that may
// be executed. The error says what it is instead and what to do.
func Check(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("plugin %q does not exist; build it, or correct plugin_dir or the handler's plugin: %w", path, fs.ErrNotExist)
	case err != nil:
		return fmt.Errorf("plugin %q: %w", path, err)
	case info.IsDir():
		return fmt.Errorf("plugin %q is a directory, not a binary", path)
	case !info.Mode().IsRegular():
		return fmt.Errorf("plugin %q is not a regular file (mode %s)", path, info.Mode())
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("plugin %q is not executable (mode %04o); run: chmod +x %s: %w",
			path, info.Mode().Perm(), path, fs.ErrPermission)
	}
	return nil
}
