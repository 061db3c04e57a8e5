package pluginapi_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
)

// TestMain serves a handler when the test binary is started as a plugin.
func TestMain(m *testing.M) {
	if os.Getenv("PLUGINAPI_TEST_SERVE") != "" {
		pluginapi.Serve(described{})
		return
	}
	os.Exit(m.Run())
}

type described struct{}

func (described) Describe() pluginapi.Info {
	return pluginapi.Info{Name: "postman", Version: "1.2.3", TaskTypes: []string{"email", "letter"}}
}

func (described) Handle(_ context.Context, t *pluginapi.Task) ([]byte, error) { return t.Payload, nil }

func plugin(t *testing.T, env ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^$")
	cmd.Env = append([]string{"PLUGINAPI_TEST_SERVE=1", "PLUGIN_PROTOCOL_VERSIONS=1"}, env...)
	return cmd
}

func TestStartedByHandItExplainsItself(t *testing.T) {
	out, err := plugin(t).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"is a handler plugin", "postman 1.2.3", `handler "postman"`, "plugin_dir", "email", "throttlerd run"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}

// The host of this plugin sets no parent-death signal: the lifeline alone tells
// the plugin that it is gone.
func TestItDiesWithItsLifeline(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	var stdout firstLine
	stdout.seen = make(chan struct{})
	cmd := plugin(t,
		handlerpb.MagicCookieKey+"="+handlerpb.MagicCookieValue,
		handlerpb.EnvLifeline+"=3",
		"PLUGIN_UNIX_SOCKET_DIR="+t.TempDir())
	cmd.ExtraFiles = []*os.File{read}
	cmd.Stdout = &stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	select {
	case <-stdout.seen:
	case <-time.After(10 * time.Second):
		t.Fatal("no handshake")
	}
	write.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("it left by itself")
		}
	case <-time.After(5 * time.Second):
		t.Fatal("it outlives its host")
	}
}

// firstLine tells when a line has been written to it.
type firstLine struct {
	buf  bytes.Buffer
	seen chan struct{}
}

func (l *firstLine) Write(p []byte) (int, error) {
	had := bytes.ContainsRune(l.buf.Bytes(), '\n')
	l.buf.Write(p)
	if !had && bytes.ContainsRune(p, '\n') {
		close(l.seen)
	}
	return len(p), nil
}
