//go:build linux

package pluginconformance

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
	"github.com/throttlerd/throttlerd/tests/proc"
)

// bare is a plugin process without throttlerd's host: what is under test is on the wire.
type bare struct {
	handlerpb.HandlerClient
	conn     *grpc.ClientConn
	lifeline *os.File      // its end is that of the host
	exited   chan struct{} // closed when the process has ended
	cmd      *exec.Cmd
}

// startBare starts the plugin with all that a host gives it but a certificate.
func (p plugin) startBare(t *testing.T) *bare {
	t.Helper()
	dir := runDir(t)
	b := &bare{exited: make(chan struct{}), cmd: exec.Command(p.path)}
	b.cmd.Env = []string{
		handlerpb.MagicCookieKey + "=" + handlerpb.MagicCookieValue,
		"PLUGIN_PROTOCOL_VERSIONS=1", "PLUGIN_UNIX_SOCKET_DIR=" + dir, handlerpb.EnvLifeline + "=3",
	}
	for name, value := range p.env {
		b.cmd.Env = append(b.cmd.Env, name+"="+value)
	}
	lifeline, held, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	b.lifeline, b.cmd.ExtraFiles, b.cmd.Stderr = held, []*os.File{lifeline}, os.Stderr
	stdout, err := b.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := proc.Launch(b.cmd); err != nil {
		t.Fatal(err)
	}
	lifeline.Close()
	t.Cleanup(func() {
		held.Close()
		_ = b.cmd.Process.Kill() // unless it has gone
		<-b.exited
		left, _ := filepath.Glob(filepath.Join(dir, "*")) // a host removes the directory of the socket
		for _, path := range left {
			os.Remove(path)
		}
	})
	late := time.AfterFunc(patience, func() { _ = b.cmd.Process.Kill() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	late.Stop()
	go func() {
		_ = b.cmd.Wait()
		close(b.exited)
	}()
	if err != nil {
		t.Fatalf("handshake: %v, %q", err, line)
	}
	fields := strings.Split(strings.TrimSpace(line), "|")
	if len(fields) < 5 || fields[0] != "1" || fields[1] != fmt.Sprint(handlerpb.ProtocolVersion) || fields[2] != "unix" || filepath.Dir(fields[3]) != dir || fields[4] != "grpc" {
		t.Fatalf("handshake: %q", line)
	}
	b.conn, err = grpc.NewClient("unix:"+fields[3], grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(handlerpb.MaxMessage), grpc.MaxCallSendMsgSize(handlerpb.MaxMessage)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.conn.Close() })
	b.HandlerClient = handlerpb.NewHandlerClient(b.conn)
	return b
}

// ends waits until the process has ended.
func (b *bare) ends(t *testing.T, within time.Duration) {
	t.Helper()
	select {
	case <-b.exited:
	case <-time.After(within):
		t.Errorf("it is still there after %s", within)
	}
}
