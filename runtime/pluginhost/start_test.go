package pluginhost_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/runtime/pluginhost"
)

func TestStartErrorsTellCauseAndRemedy(t *testing.T) {
	for _, c := range []struct {
		mode string
		want []string
	}{
		{"exit 3", []string{"exited with code 3 before it was ready", "no licence found"}},
		{"exit 0", []string{"exited with code 0 before it was ready; is it a throttlerd plugin"}},
		{"garbage", []string{`it printed "Hello from .[31mmy plugin" where the handshake belongs`}},
		{"long garbage", []string{`it printed "xxxx`, "where the handshake belongs"}},
		{"old protocol", []string{`speaks version "7" of the plugin protocol`}},
		{"other rpc", []string{`it speaks the protocol "netrpc"`}},
		{"no cert", []string{"offers no certificate", "mtls = false"}},
	} {
		t.Run(c.mode, func(t *testing.T) {
			err := startError(t, t.Context(), part(t, c.mode))
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

func TestStartIsCalledOff(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begin := time.Now()
	err := startError(t, ctx, part(t, "silent"))
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 3*time.Second {
		t.Errorf("%v after %s", err, time.Since(begin))
	}
}

func TestStartNeedsABinary(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		name string
		path string
		want string
		is   error
	}{
		{"missing", filepath.Join(dir, "nothing"), "does not exist", fs.ErrNotExist},
		{"a directory", dir, "is a directory", nil},
		{"not executable", write("plain", "x", 0o640), "is not executable (mode 0640); run: chmod +x", fs.ErrPermission},
		{"a device", os.DevNull, "is not a regular file", nil},
		{"not a program", write("text", "hello", 0o755), "is not a program for linux/", nil},
		{"no interpreter", write("script", "#!/no/such/shell\n", 0o755), "interpreter or loader it names does not exist", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := echoSpec(t)
			spec.Path = c.path
			err := startError(t, t.Context(), spec)
			if !strings.Contains(err.Error(), c.want) || (c.is != nil && !errors.Is(err, c.is)) {
				t.Errorf("got %q, want %q", err, c.want)
			}
			var start *pluginhost.StartError
			if !errors.As(err, &start) || start.Handler != "echo" || start.Path != c.path {
				t.Errorf("%#v", err)
			}
		})
	}
}

func TestStartChecksSum(t *testing.T) {
	spec := echoSpec(t)
	spec.SHA256 = strings.Repeat("0", 64)
	if err := startError(t, t.Context(), spec); !errors.Is(err, pluginhost.ErrChecksum) {
		t.Errorf("%v", err)
	}
}

func TestConfigErrorsNameAttributes(t *testing.T) {
	for _, c := range []struct {
		name   string
		mode   string
		config string
		want   []pluginhost.ConfigError
	}{
		{"a typo", "scripted", `{"numbr": 1}`, []pluginhost.ConfigError{
			{Attribute: "numbr", Message: `unknown attribute; did you mean "number"?`}}},
		{"several", "scripted", `{"number": "7", "pause": 5}`, []pluginhost.ConfigError{
			{Attribute: "number", Message: "must be a whole number, not a string"},
			{Attribute: "pause", Message: `must be a duration such as "5s" or "1m30s", not a number`}}},
		{"the whole block", "scripted", `{"refuse": true}`, []pluginhost.ConfigError{{Message: "no database today"}}},
		{"takes none", "plain", `{"b": 1, "a": 2}`, []pluginhost.ConfigError{
			{Attribute: "a", Message: "this plugin takes no config; remove the block's attributes"},
			{Attribute: "b", Message: "this plugin takes no config; remove the block's attributes"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := part(t, c.mode)
			spec.Config = []byte(c.config)
			err := startError(t, t.Context(), spec)
			var got pluginhost.ConfigErrors
			if !errors.As(err, &got) || len(got) != len(c.want) {
				t.Fatalf("%v", err)
			}
			for i, want := range c.want {
				if *got[i] != want {
					t.Errorf("got %+v, want %+v", *got[i], want)
				}
			}
			var first *pluginhost.ConfigError
			if !errors.As(err, &first) || *first != c.want[0] {
				t.Errorf("first: %v", first)
			}
		})
	}
}

func TestPanicWhileConfiguring(t *testing.T) {
	spec := part(t, "scripted")
	spec.Config = []byte(`{"explode": true}`)
	if err := startError(t, t.Context(), spec); !strings.Contains(err.Error(), "configured to pieces") {
		t.Error(err)
	}
}

func TestGoodConfig(t *testing.T) {
	spec := part(t, "scripted")
	spec.Config = []byte(`{"number": 7, "pause": "1s", "refuse": null}`)
	start(t, spec)
}
