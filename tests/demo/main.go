// Command demo shows the main job: it starts `throttlerd dev`, creates a queue of
// 10/1s:5, submits 30 tasks, and prints each start as it happens. Then it holds the
// starts against the limit, and fails when they are above it.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
)

const (
	rateText = "10/1s:5"
	tasks    = 30
	timeout  = 9 * time.Second
	// jitter is what a start may be late against its grant before two starts can come
	// closer than the limit lets their grants.
	jitter = 50 * time.Millisecond
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "throttlerd-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	journal := filepath.Join(dir, "journal")
	fmt.Println("$ throttlerd dev")
	dev, url, err := startDev()
	if err != nil {
		return err
	}
	defer dev.stop()
	ctl := func(args ...string) (string, error) {
		cmd := exec.Command("bin/throttlectl", args...)
		cmd.Env = append(os.Environ(), "THROTTLE_REDIS_URL="+url)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("throttlectl %s: %w: %s", strings.Join(args, " "), err, stderr.String())
		}
		return strings.TrimSpace(string(out)), nil
	}
	fmt.Printf("$ throttlectl queue create %s --name calls --handler echo\n", rateText)
	if _, err := ctl("queue", "create", rateText, "--name", "calls", "--handler", "echo"); err != nil {
		return err
	}
	fmt.Printf("$ throttlectl queue test calls %d\n\n", tasks)
	payload, err := json.Marshal(map[string]string{"journal": journal})
	if err != nil {
		return err
	}
	if _, err := ctl("queue", "test", "calls", fmt.Sprint(tasks), "--payload", string(payload)); err != nil {
		return err
	}
	starts, err := follow(journal)
	if err != nil {
		return err
	}
	return judge(starts)
}

// process is a running throttlerd dev.
type process struct {
	cmd  *exec.Cmd
	done chan error
}

// startDev starts it and returns the URL of its Redis once it serves.
func startDev() (*process, string, error) {
	cmd := exec.Command("bin/throttlerd", "dev")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", fmt.Errorf("%w (run make build first)", err)
	}
	p := &process{cmd, make(chan error, 1)}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-stop
		p.stop()
		os.Exit(1)
	}()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		fmt.Println("  " + lines.Text())
		if f := strings.Fields(lines.Text()); len(f) > 1 && f[0] == "redis" {
			go func() {
				_, _ = io.Copy(io.Discard, out)
				p.done <- cmd.Wait()
			}()
			return p, f[1], nil
		}
	}
	return nil, "", errors.Join(errors.New("throttlerd dev did not start"), cmd.Wait())
}

// stop ends it and waits until it is gone.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// start is one line of the journal that plugin echo writes.
type start struct {
	Event string `json:"ev"`
	Grant int64  `json:"grant_us"`
	Wall  int64  `json:"wall_us"`
}

// follow prints the starts as they come, and returns them when all have.
func follow(journal string) ([]start, error) {
	var starts []start
	var read int64
	deadline := time.Now().Add(timeout)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for len(starts) < tasks {
		if time.Now().After(deadline) {
			return starts, fmt.Errorf("only %d of %d tasks started in %s", len(starts), tasks, timeout)
		}
		<-tick.C
		f, err := os.Open(journal)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if _, err := f.Seek(read, io.SeekStart); err != nil {
			return nil, err
		}
		text, err := io.ReadAll(f)
		f.Close()
		if err != nil {
			return nil, err
		}
		for line := range bytes.Lines(text) {
			var s start
			if line[len(line)-1] != '\n' {
				break
			}
			read += int64(len(line))
			if err := json.Unmarshal(line, &s); err != nil {
				return nil, fmt.Errorf("journal: %w", err)
			}
			if s.Event == "start" {
				starts = append(starts, s)
				fmt.Printf("  task %2d started at %7.1f ms\n", len(starts), float64(s.Wall-starts[0].Wall)/1000)
			}
		}
	}
	return starts, nil
}

// judge prints the summary and holds grants and starts against the limit.
func judge(starts []start) error {
	rate, err := ratelimit.Parse(rateText)
	if err != nil {
		return err
	}
	var grants, walls []int64
	var late int64
	burst := 0
	for _, s := range starts {
		grants, walls = append(grants, s.Grant), append(walls, s.Wall)
		late = max(late, s.Wall-s.Grant)
		if s.Wall-starts[0].Wall < 50_000 {
			burst++
		}
		if s.Wall < s.Grant {
			return fmt.Errorf("a task started %d µs before its grant", s.Grant-s.Wall)
		}
	}
	span := float64(walls[len(walls)-1]-walls[0]) / 1e6
	fmt.Printf("\n%d tasks in %.2f s: %d at once, then %.2f/s; latest start %.1f ms after its grant\n",
		len(starts), span, burst, float64(len(starts)-burst)/span, float64(late)/1000)
	if err := ratelimit.Check(rate, ratelimit.Grants(grants...)); err != nil {
		return fmt.Errorf("the grants break %s: %w", rate, err)
	}
	if err := ratelimit.CheckLate(rate, jitter, ratelimit.Grants(walls...)); err != nil {
		return fmt.Errorf("the starts break %s: %w", rate, err)
	}
	fmt.Printf("limit %s kept in every window: yes\n", rate)
	return nil
}
