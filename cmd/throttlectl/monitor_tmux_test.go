package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
)

// terminal is a tmux of the test's own that runs throttlectl.
type terminal struct {
	t      *testing.T
	socket string
}

// newTerminal runs throttlectl in a terminal of a size, between a line "before" and a
// line "after" with its exit code.
func (b *bench) newTerminal(width, height int, args ...string) *terminal {
	b.t.Helper()
	path, err := exec.LookPath("tmux")
	if err != nil {
		b.t.Fatal("no tmux on PATH: run `make programs`")
	}
	dir, err := os.MkdirTemp("", "tm")
	b.must(err)
	term := &terminal{b.t, filepath.Join(dir, "s")}
	b.t.Cleanup(func() {
		_ = exec.Command(path, "-S", term.socket, "kill-server").Run()
		os.RemoveAll(dir)
	})
	conf := filepath.Join(dir, "conf")
	b.must(os.WriteFile(conf, []byte("set -g status off\nset -g default-terminal screen\n"), 0o600))
	words := append([]string{self(b.t), "--redis-url", b.server.URL()}, args...)
	for i, w := range words {
		words[i] = "'" + w + "'"
	}
	script := fmt.Sprintf("trap : INT; echo before; %s=1 %s; echo after $?; cat", childEnv, strings.Join(words, " "))
	cmd := exec.Command(path, "-S", term.socket, "-f", conf, "new-session", "-d", "-x", fmt.Sprint(width), "-y", fmt.Sprint(height), script)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.t.Fatalf("tmux: %v\n%s", err, out)
	}
	return term
}

func (m *terminal) tmux(args ...string) string {
	m.t.Helper()
	out, err := exec.Command("tmux", append([]string{"-S", m.socket}, args...)...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("tmux %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// wait returns the screen once it shows all of the parts.
func (m *terminal) wait(parts ...string) string {
	m.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); ; {
		screen := m.tmux("capture-pane", "-p")
		missing := ""
		for _, p := range parts {
			if !strings.Contains(screen, p) {
				missing = p
			}
		}
		if missing == "" {
			return screen
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("no %q on the screen:\n%s", missing, screen)
		}
		time.Sleep(20 * time.Millisecond) // between two looks at another process
	}
}

// moving is what differs between two runs on a screen, each as wide as what replaces it.
var moving = []struct {
	form *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\d\d:\d\d:\d\d`), "HH:MM:SS"},
	{regexp.MustCompile(` \d\d\.\ds\b`), "  N.Ns"},
	{regexp.MustCompile(`\b\d\.\ds\b`), "N.Ns"},
}

// golden compares the screen with a file of testdata. A screen may be seen half drawn,
// so it is looked at again until it is right, or stays as it is.
func (m *terminal) golden(name string, parts ...string) {
	m.t.Helper()
	want, _ := os.ReadFile(filepath.Join("testdata", name))
	last, since := "", time.Now()
	for {
		screen := m.wait(parts...)
		for _, v := range moving {
			screen = v.form.ReplaceAllString(screen, v.with)
		}
		screen = strings.TrimRight(screen, "\n") + "\n"
		if screen != last {
			last, since = screen, time.Now()
		}
		if screen == string(want) || time.Since(since) > 2*time.Second {
			goldenScreen(m.t, name, screen)
			return
		}
		time.Sleep(20 * time.Millisecond) // between two looks at another process
	}
}

// stage makes n queues: one that waits for tokens, one that no worker serves, one with
// dead tasks, one that is paused, the others idle.
func (b *bench) stage(n int) {
	b.t.Helper()
	b.queue("emails", "smtp", "1/30d")
	b.queue("letters", "post", "10/1m:5")
	b.queue("orders", "smtp", "")
	b.queue("reports", "smtp", "5000/1h:50")
	for i := 4; i < n; i++ {
		b.queue(fmt.Sprintf("tenant-%04d", i), "smtp", "100/1s:10")
	}
	s := b.register(scheduler.Worker{ID: "web-1-4711-0a1b2c", Slots: map[string]int{"smtp": 8}, Pools: []string{"default"}, Lease: time.Minute})
	for range 3 {
		b.submit("orders", "{}")
	}
	grants := b.claim(s, "smtp", 3)
	b.settle(s, grants[0], scheduler.Dead, "no", 0)
	b.settle(s, grants[1], scheduler.Done, "", 0)
	for range 40 {
		b.submit("emails", "{}")
		b.submit("letters", "{}")
		b.submit("reports", "{}")
	}
	b.must(b.Pause(b.ctx(), "reports"))
	b.claim(s, "smtp", 4)
}

func TestMonitorInATerminal(t *testing.T) {
	t.Parallel()
	for _, queues := range []int{5, 2000} {
		t.Run(fmt.Sprint(queues), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.stage(queues)
			m := b.newTerminal(80, 24, "monitor", "--interval", "300ms")
			ready := []string{"throttlectl monitor"}
			if queues > 5 {
				ready = append(ready, "more queues")
			}
			m.golden(fmt.Sprintf("tmux-80x24-%d.txt", queues), append(ready, "  0/s  ")...)
			m.tmux("resize-window", "-x", "200", "-y", "50") // redraws without waiting for the interval
			m.golden(fmt.Sprintf("tmux-200x50-%d.txt", queues), append(ready, "HANDLER  POOL", "  0 starts/s  ")...)
			m.tmux("resize-window", "-x", "80", "-y", "24")
			m.golden(fmt.Sprintf("tmux-80x24-%d.txt", queues), append(ready, "TOKENS WAIT RUN", "  0/s  ")...)
			b.submit("letters", "{}")
			m.wait(" 41 ")
			m.tmux("send-keys", "C-c")
			screen := m.wait("before", "after 0")
			if strings.Contains(screen, "monitor") || m.tmux("display-message", "-p", "#{alternate_on}#{cursor_flag}") != "01\n" {
				t.Errorf("the terminal is not as it was:\n%s", screen)
			}
		})
	}
}

func TestProgressBarInATerminal(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queue("q", "echo", "")
	m := b.newTerminal(80, 24, "submit", "q", "--file", linesFile(t, 250_000))
	m.wait("q  [", "of 250,000 lines")
	m.tmux("send-keys", "C-c")
	screen := m.wait("interrupted: ", "lines are in; to go on, type: ", "after 1")
	if strings.Contains(screen, "[===") {
		t.Errorf("the bar stays:\n%s", screen)
	}
}
