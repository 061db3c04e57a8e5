package pluginhost_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	goruntime "runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/runtime/pluginhost"
)

// parts are what the test binary can play, by modeEnv: plugins that behave in
// ways echo does not, and a host that gets killed.
var parts = map[string]func(){
	"scripted": func() { pluginapi.Serve(&scripted{}) },
	"plain":    func() { pluginapi.Serve(pluginapi.HandlerFunc(echoBack)) },
	"exit 3": func() {
		fmt.Fprintln(os.Stderr, "no licence found")
		os.Exit(3)
	},
	"exit 0":       func() {},
	"garbage":      func() { fmt.Println("Hello from \x1b[31mmy plugin"); block() },
	"long garbage": func() { fmt.Print(strings.Repeat("x", 200<<10)); block() },
	"silent":       block,
	"old protocol": func() { fmt.Println("1|7|unix|/nowhere|grpc|"); block() },
	"other rpc":    func() { fmt.Println("1|1|unix|/nowhere|netrpc|"); block() },
	"no cert":      func() { fmt.Println("1|1|unix|/nowhere|grpc|"); block() },
	"huge reply":   func() { serveRaw(hugeReply) },
	"ends stream":  func() { serveRaw(endStream) },
	"once":         once,
	"host":         playHost,
}

var leaked [][]byte

func block() { time.Sleep(time.Hour) }

func echoBack(_ context.Context, t *pluginapi.Task) ([]byte, error) { return t.Payload, nil }

const meet = 40

var (
	meeting atomic.Int64
	met     = make(chan struct{})
)

// scripted does what the payload says.
type scripted struct {
	Number  int           `hcl:"number,optional"`
	Pause   time.Duration `hcl:"pause,optional"`
	Refuse  bool          `hcl:"refuse,optional"`
	Explode bool          `hcl:"explode,optional"`
}

func (s *scripted) Describe() pluginapi.Info {
	return pluginapi.Info{Name: "scripted", Version: "0.9", TaskTypes: []string{"a", "b"}}
}

func (s *scripted) Configure(ctx context.Context, c pluginapi.Config) error {
	if err := c.Decode(s); err != nil {
		return err
	}
	switch {
	case s.Refuse:
		return errors.New("no database today")
	case s.Explode:
		panic("configured to pieces")
	}
	return nil
}

func (s *scripted) Handle(ctx context.Context, t *pluginapi.Task) ([]byte, error) {
	switch command := string(t.Payload); command {
	case "meet": // returns when 40 are here
		if meeting.Add(1) == meet {
			close(met)
		}
		select {
		case <-met:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	case "spin":
		for end := time.Now().Add(time.Millisecond); time.Now().Before(end); {
		}
	case "await":
		<-ctx.Done()
		return nil, context.Cause(ctx)
	case "ignore":
		block()
	case "big":
		return bytes.Repeat([]byte("r"), 100<<10), nil
	case "panic":
		var list []int
		list[len(command)]++
	case "permanent":
		return nil, fmt.Errorf("row 7: %w", pluginapi.Permanent(errors.New("malformed")))
	case "retry":
		return nil, pluginapi.RetryAfter(1500*time.Millisecond, errors.New("not yet"))
	case "throttled":
		return nil, fmt.Errorf("upstream: %w", pluginapi.Throttled(3*time.Second, nil))
	case "long error":
		return nil, errors.New(strings.Repeat("é", 5000))
	case "binary error":
		return nil, errors.New("bad \xff byte")
	case "print":
		fmt.Println("printed by fmt")
		syscall.Write(1, []byte("printed raw\n"))
	case "long line":
		line := append(bytes.Repeat([]byte("y"), 200<<10), '\n')
		for range 5 {
			if _, err := os.Stdout.Write(line); err != nil {
				return nil, err
			}
			if _, err := syscall.Write(1, line); err != nil {
				return nil, err
			}
		}
	case "flood":
		for i := range 20000 {
			fmt.Fprintln(os.Stderr, "flood", i)
		}
	case "stdout flood":
		for range 20000 {
			fmt.Println("flood of stdout")
			syscall.Write(1, []byte("and around the language\n"))
		}
	case "leak":
		for {
			leaked = append(leaked, bytes.Repeat([]byte("l"), 1<<20))
			time.Sleep(time.Millisecond)
		}
	case "goroutine panic":
		go func() { panic("nobody recovers this") }()
		block()
	case "environment":
		return []byte(strings.Join(os.Environ(), "\n")), nil
	case "log":
		t.Log.Debug("unseen")
		t.Log.Warn("from the handler", "n", 7)
	case "goexit":
		goruntime.Goexit()
	case "grandchild", "escaped grandchild":
		child := exec.Command("/bin/sleep", "1000")
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: command == "escaped grandchild"}
		if err := child.Start(); err != nil {
			return nil, err
		}
		return fmt.Append(nil, child.Process.Pid), nil
	}
	return t.Payload, nil
}

// once serves the first time, and never shakes hands again.
func once() {
	f, err := os.OpenFile(os.Getenv("ONCE"), os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		block()
	}
	f.Close()
	pluginapi.Serve(&scripted{})
}

// playHost starts an echo plugin, prints its process id, and waits to be killed.
func playHost() {
	spec := pluginhost.Spec{Handler: "echo", Path: os.Args[1], MTLS: true, RunDir: os.Args[2], User: os.Args[3], SHA256: os.Args[4]}
	p, err := pluginhost.Start(context.Background(), spec, pluginhost.Sink{})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(p.PID())
	block()
}
