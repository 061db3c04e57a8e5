package pluginhost

import (
	"errors"
	"fmt"
	"strings"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
)

// ConfigError is what a plugin has against one attribute of its config block.
type ConfigError struct {
	Attribute string // empty: the block as a whole
	Message   string
}

func (e *ConfigError) Error() string {
	if e.Attribute == "" {
		return "config: " + e.Message
	}
	return fmt.Sprintf("config attribute %q: %s", e.Attribute, e.Message)
}

// ConfigErrors is everything a plugin has against its config block, at least
// one. errors.As finds it, and the first ConfigError in it.
type ConfigErrors []*ConfigError

func (e ConfigErrors) Error() string { return errors.Join(e.Unwrap()...).Error() }

// Unwrap returns the errors one by one.
func (e ConfigErrors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, one := range e {
		errs[i] = one
	}
	return errs
}

// refusals are what a plugin has against its config block.
func refusals(refused []*handlerpb.AttributeError) error {
	if len(refused) == 0 {
		return nil
	}
	errs := make(ConfigErrors, len(refused))
	for i, r := range refused {
		errs[i] = &ConfigError{Attribute: r.Attribute, Message: r.Message}
	}
	return errs
}

// checkConfig holds a config block against the schema that its plugin declares; nil: it
// declares none.
func checkConfig(schema []pluginapi.Attribute, object []byte) error {
	if schema == nil {
		return nil
	}
	config, err := pluginapi.NewConfig(object)
	if err != nil {
		return ConfigErrors{{Message: err.Error()}}
	}
	return refusals(pluginapi.EncodeConfigError(pluginapi.CheckConfig(schema, config)))
}

// StartError says why a plugin did not start and what to do about it.
type StartError struct {
	Handler string
	Path    string
	Reason  string   // what was wrong, and what would be right
	Stderr  []string // its last lines on stderr
	Secrets []string // attributes of its config block that the plugin has declared to be secrets
	Err     error    // the cause; errors.Is and errors.As see it
}

func (e *StartError) Error() string {
	return fmt.Sprintf("start plugin %q of handler %q: %s%s", e.Path, e.Handler, e.Reason, quoteStderr(e.Stderr))
}

func (e *StartError) Unwrap() error { return e.Err }

// ExitError says how a running plugin ended.
type ExitError struct {
	Handler string
	Reason  string   // "exited with code 3", "killed by signal: killed", …
	Code    int      // exit code; -1 when a signal ended it
	Stderr  []string // its last lines on stderr
	Err     error    // what the host saw first, if not the exit; may be nil
}

func (e *ExitError) Error() string {
	return fmt.Sprintf("plugin of handler %q %s%s", e.Handler, e.Reason, quoteStderr(e.Stderr))
}

func (e *ExitError) Unwrap() error { return e.Err }

// quoteStderr appends the last few lines to an error, one of them in a line.
func quoteStderr(lines []string) string {
	const shown = 5
	if len(lines) == 0 {
		return ""
	}
	return "; its last words:\n  " + strings.Join(lines[max(0, len(lines)-shown):], "\n  ")
}
