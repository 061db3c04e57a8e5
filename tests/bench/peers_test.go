//go:build bench

package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/throttlerd/throttlerd/tests/redistest"
)

// peerFigures are what a run of one of the others found out.
type peerFigures struct {
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	Bytes     float64 `json:"bytes"`
	Errors    int     `json:"errors"`
	Starts    []int64 `json:"starts_us"`

	scripts, commands int64 // that its Redis has counted, of a drain since it began
}

var peerDir = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "peers") })

var buildPeers = sync.OnceValues(func() (string, error) {
	dir, err := peerDir()
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "peers")
	cmd := exec.Command("go", "build", "-o", program, ".")
	cmd.Dir = "peers"
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build peers: %w\n%s", err, out)
	}
	return program, nil
})

var bullScript = sync.OnceValues(func() (string, error) {
	cmd := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--silent")
	cmd.Dir = "peers/bullmq"
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("install BullMQ: %w\n%s", err, out)
	}
	return "peers/bullmq/bench.js", nil
})

// peerProgram is one of the others, to be run on a Redis.
type peerProgram func(t *testing.T, socket string, args ...any) *exec.Cmd

// goPeer is one of peers/.
func goPeer(t *testing.T, socket string, args ...any) *exec.Cmd {
	t.Helper()
	program, err := buildPeers()
	if err != nil {
		t.Fatal(err)
	}
	return command(append([]any{program, socket}, args...))
}

// nodePeer is BullMQ.
func nodePeer(t *testing.T, socket string, args ...any) *exec.Cmd {
	t.Helper()
	script, err := bullScript()
	if err != nil {
		t.Fatal(err)
	}
	return command(append([]any{"node", script, socket}, args...))
}

func command(words []any) *exec.Cmd {
	var args []string
	for _, w := range words {
		args = append(args, fmt.Sprint(w))
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	return cmd
}

func peer(t *testing.T, args ...any) peerFigures {
	t.Helper()
	return run(t, goPeer, args)
}

func bull(t *testing.T, args ...any) peerFigures {
	t.Helper()
	return run(t, nodePeer, args)
}

// run runs one of the others on a Redis of its own.
func run(t *testing.T, program peerProgram, args []any) (f peerFigures) {
	t.Helper()
	srv := redistest.Start(t)
	defer srv.Kill()
	cmd := program(t, srv.Socket(), args...)
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &f)
	}
	if err != nil {
		t.Fatalf("%s %v: %v %s", filepath.Base(cmd.Path), args, err, out)
	}
	rdb := srv.Client()
	defer rdb.Close()
	f.scripts, f.commands = calls(t, rdb)
	return f
}
