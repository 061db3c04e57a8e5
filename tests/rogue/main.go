// Command rogue is a plugin that misbehaves as each task's payload says, and at its start
// as a file says that ROGUE_START names. It is for tests of what the host survives.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
)

// version is set when it is built.
var version = "1.0.0"

func main() {
	how, _ := os.ReadFile(os.Getenv("ROGUE_START")) // without the file it starts well
	switch strings.TrimSpace(string(how)) {
	case "exit":
		fmt.Fprintln(os.Stderr, "no licence found")
		os.Exit(3)
	case "silent":
		block()
	case "garbage":
		fmt.Println("Hello from my plugin")
		block()
	case "long garbage":
		fmt.Print(strings.Repeat("x", 200<<10))
		block()
	case "huge reply":
		serveHuge()
	default:
		pluginapi.Serve(rogue{})
	}
}

func block() { time.Sleep(time.Hour) }

type rogue struct{}

func (rogue) Describe() pluginapi.Info { return pluginapi.Info{Name: "rogue", Version: version} }

var leaked [][]byte

// Handle does what the payload says.
func (rogue) Handle(_ context.Context, t *pluginapi.Task) ([]byte, error) {
	switch do := string(t.Payload); do {
	case "ok":
		time.Sleep(20 * time.Millisecond)
		return []byte(version), nil
	case "exit":
		fmt.Fprintln(os.Stderr, "last words")
		os.Exit(3)
	case "panic":
		panic("in the handler")
	case "goroutine panic":
		go func() { panic("nobody recovers this") }()
		block()
	case "hang":
		if err := syscall.Kill(os.Getpid(), syscall.SIGSTOP); err != nil {
			return nil, err
		}
		block() // the stop may come a moment later, through another thread: no result before it
	case "ignore":
		block()
	case "leak":
		for {
			leaked = append(leaked, bytes.Repeat([]byte("l"), 1<<20))
			time.Sleep(time.Millisecond)
		}
	case "flood stdout", "flood stderr":
		fd := 1
		if do == "flood stderr" {
			fd = 2
		}
		for range 50000 {
			if _, err := syscall.Write(fd, []byte("a line of a flood\n")); err != nil {
				return nil, err
			}
		}
	case "long lines":
		line := append(bytes.Repeat([]byte("y"), 200<<10), '\n')
		for range 20 {
			for _, fd := range []int{1, 2} {
				if _, err := syscall.Write(fd, line); err != nil {
					return nil, err
				}
			}
		}
	case "grandchild", "escaped grandchild":
		child := exec.Command("/bin/sleep", "15")
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: do == "escaped grandchild"}
		if err := child.Start(); err != nil {
			return nil, err
		}
		os.Exit(4)
	default:
		return nil, pluginapi.Permanent(errors.New("unknown misbehaviour"))
	}
	return nil, nil
}
