//go:build bench

package bench

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
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
		text, err := page()
		if err == nil {
			err = os.WriteFile("../../docs/benchmarks.md", []byte(text), 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if dir, err := peerDir(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

func page() (string, error) {
	on, err := machine()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# Benchmarks

Written by %[1]smake bench%[1]s, which measured every figure but the bars in one run. Both sides
of a comparison ran by turns, on redis-servers of their own, with 100-byte payloads.

- The handlers of asynq and BullMQ do nothing, in the process that takes the tasks.
- Throttlerd's run in a plugin process over gRPC with AutoMTLS. In the drains they do nothing
  either, and all is at its defaults.
- Latency, lateness, sustained rates, 100/s and turns are of plugin echo, which does something:
  it writes each start into a journal, by which it is judged. Lateness has 128 slots, sustained
  rates have 1,024. The hot queue beside others is of echo without the journal, with 256 slots.
- A drain of asynq or BullMQ counts from the start of its first task to the end of its last;
  one of throttlerd from the call that lets its queues go until Redis has all tasks as done.
- Round trips of an idle worker are the commands that clients send in 20 s, by Redis' MONITOR.

Ratios count; absolute figures are of this machine.

%[2]s

| what | throttlerd | beside it | ratio | bar | met |
|---|---|---|---|---|---|
`, "`", on)
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
	return b.String(), nil
}

// machine says what this ran on, and which versions.
func machine() (string, error) {
	redis, err := redisVersion()
	if err != nil {
		return "", err
	}
	ours, err := versions(".", "github.com/redis/go-redis/v9", "github.com/hashicorp/go-plugin", "google.golang.org/grpc")
	if err != nil {
		return "", err
	}
	others, err := versions("peers", "github.com/hibiken/asynq", "github.com/go-redis/redis_rate/v10", "github.com/throttled/throttled/v2")
	if err != nil {
		return "", err
	}
	bullmq, err := bullVersions()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d cores, %s/%s, %s, Redis %s; %s; beside it %s, %s.",
		runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), redis, ours, others, bullmq), nil
}

func redisVersion() (string, error) {
	path, argv0, err := redistest.Find()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(path, "--version")
	cmd.Args[0] = argv0
	text, err := cmd.Output()
	_, version, ok := strings.Cut(string(text), " v=")
	if err != nil || !ok {
		return "", fmt.Errorf("%s --version: %v %s", path, err, text)
	}
	return strings.Fields(version)[0], nil
}

// versions names modules that the module in a directory builds with.
func versions(dir string, modules ...string) (string, error) {
	cmd := exec.Command("go", append([]string{"list", "-m", "-f", "{{.Path}} {{.Version}}"}, modules...)...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("versions of %v: %w", modules, err)
	}
	return strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", ", "), nil
}

// bullVersions are those of BullMQ as it was installed, and of what runs it.
func bullVersions() (string, error) {
	text, err := os.ReadFile("peers/bullmq/node_modules/bullmq/package.json")
	if err != nil {
		return "", err
	}
	var p struct{ Version string }
	if err := json.Unmarshal(text, &p); err != nil {
		return "", err
	}
	node, err := exec.Command("node", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("node --version: %w", err)
	}
	return fmt.Sprintf("BullMQ %s on Node %s", p.Version, strings.TrimSpace(string(node))), nil
}

// times writes a ratio.
func times(ours, other float64) string { return fmt.Sprintf("%.2f ×", ours/other) }
