//go:build bench

package bench

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	"github.com/throttlerd/throttlerd/tests/redistest"
)

// line is one row of docs/benchmarks.md.
type line struct{ what, ours, other, ratio, bar, met string }

var table []line

// bar adds a row that has a bar to meet.
func bar(what, ours, other, ratio, want string, met bool) {
	verdict := "no"
	if met {
		verdict = "yes"
	}
	table = append(table, line{what, ours, other, ratio, want, verdict})
	fmt.Printf("%-58s %s | %s | %s | bar %s: %s\n", what, ours, other, ratio, want, verdict)
}

// note adds a row without one.
func note(what, format string, args ...any) {
	table = append(table, line{what: what, ours: fmt.Sprintf(format, args...)})
	fmt.Printf("%-58s %s\n", what, fmt.Sprintf(format, args...))
}

// TestMain writes docs/benchmarks.md when all was run.
func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv(tellTime) != "" {
		tellTimes()
		return
	}
	if os.Getenv(bareStream) != "" {
		serveStream()
		return
	}
	code := m.Run()
	if part := flag.Lookup("test.run").Value.String(); code == 0 && part == "" {
		if err := os.WriteFile("../../docs/benchmarks.md", []byte(page()), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if dir, err := peerDir(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

func page() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Benchmarks

Written by %[1]smake bench%[1]s; nothing here was typed. Each comparison ran both sides in
one go, on redis-servers of their own, with 100-byte payloads and a handler that does
nothing: throttlerd's in a plugin process of its own over gRPC with AutoMTLS, everything at
its defaults; those of the others in their own process. Ratios count; absolute figures are
of this machine.

%[2]s

| what | throttlerd | beside it | ratio | bar | met |
|---|---|---|---|---|---|
`, "`", machine())
	for _, l := range table {
		if l.bar != "" {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", l.what, l.ours, l.other, l.ratio, l.bar, l.met)
		}
	}
	b.WriteString("\nWhat it is made of:\n\n| what | measured |\n|---|---|\n")
	for _, l := range table {
		if l.bar == "" {
			fmt.Fprintf(&b, "| %s | %s |\n", l.what, l.ours)
		}
	}
	return b.String()
}

// machine says what this ran on, and which versions.
func machine() string {
	out := fmt.Sprintf("%d cores, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == "github.com/redis/go-redis/v9" || d.Path == "github.com/hashicorp/go-plugin" {
				out += fmt.Sprintf(", %s %s", filepath.Base(strings.TrimSuffix(d.Path, "/v9")), d.Version)
			}
		}
	}
	if path, argv0, err := redistest.Find(); err == nil {
		cmd := exec.Command(path, "--version")
		cmd.Args[0] = argv0
		if text, err := cmd.Output(); err == nil {
			if f := strings.Fields(string(text)); len(f) > 2 {
				out += ", Redis " + strings.TrimPrefix(f[2], "v=")
			}
		}
	}
	return out + "; asynq 0.26.0, BullMQ 6.7.0, redis_rate 10.0.1, throttled 2.12.0."
}

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

// pluginDir has noop, and echo for tests that need its journal.
var pluginDir = sync.OnceValues(func() (string, error) {
	dir, err := peerDir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "plugins")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", dir, "./noop", "../../plugins/echo")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build plugins: %w\n%s", err, out)
	}
	return dir, nil
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

// times writes a ratio.
func times(ours, other float64) string { return fmt.Sprintf("%.2f ×", ours/other) }
