//go:build linux

package doctest

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/tests/proc"
	"github.com/throttlerd/throttlerd/tests/redistest"
)

// shell is one bash that a document's commands are typed into.
type shell struct {
	dir   string // where the commands run
	redis string // what the outputs call by redisURL instead
	in    io.WriteCloser
	out   chan string // its lines, closed at its end
	n     int
}

const (
	mark     = "@@doctest@@"
	limit    = 60 * time.Second // of one command
	redisURL = "redis://127.0.0.1:6379/0"
)

func newShell(t *testing.T, file string, server *redistest.Server) *shell {
	t.Helper()
	s := &shell{dir: workplace(t, file), redis: server.URL(), out: make(chan string)}
	sink := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(sink.Close)
	cmd := exec.Command("bash")
	cmd.Dir = s.dir
	cmd.Env = append(proc.Environment(),
		"PATH="+proc.Programs(t)+":"+os.Getenv("PATH"), "THROTTLE_REDIS_URL="+server.URL(), "DOCTEST_HTTP="+sink.URL, "THROTTLERD_SRC="+proc.ModuleRoot(t), "LC_ALL=C.UTF-8", "TZ=UTC")
	var err error
	if s.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := proc.Launch(cmd); err != nil {
		t.Fatal(err)
	}
	w.Close()
	go func() {
		defer close(s.out)
		for lines := bufio.NewReader(r); ; {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			s.out <- strings.TrimSuffix(line, "\n")
		}
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // with its background jobs
		_ = cmd.Wait()
		for range s.out { // ends with the last of them
		}
		r.Close()
	})
	return s
}

// workplace is the folder that the commands of a document run in.
func workplace(t *testing.T, file string) string {
	t.Helper()
	root, dir := proc.ModuleRoot(t), t.TempDir()
	if folder := filepath.Dir(file); strings.HasPrefix(folder, "examples/") {
		if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, folder))); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	links := map[string]string{"bin": proc.Programs(t)}
	for _, name := range []string{"config.hcl.example", "examples"} {
		links[name] = filepath.Join(root, name)
	}
	for name, to := range links {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// do runs one step and fails the test where the document says something else.
func (s *shell) do(t *testing.T, doc string, st *step) {
	t.Helper()
	where := fmt.Sprintf("%s:%d", doc, st.line)
	switch st.kind {
	case file:
		path := filepath.Join(s.dir, st.text)
		if err := os.WriteFile(path, []byte(strings.Join(st.body, "\n")+"\n"), 0o644); err != nil {
			t.Fatalf("%s: %v", where, err)
		}
	case command:
		out, _ := s.run(t, where, st.text)
		if out = s.present(out); !matches(st.want, out) {
			st.seen = out
			t.Errorf("%s: $ %s\nprinted:\n%s\nthe document says:\n%s", where, st.text, strings.Join(out, "\n"), strings.Join(st.want, "\n"))
		}
	case hidden:
		if out, code := s.run(t, where, st.text); code != "0" {
			t.Fatalf("%s: %s: exit code %s\n%s", where, st.text, code, strings.Join(out, "\n"))
		}
	case until:
		for deadline := time.Now().Add(15 * time.Second); ; {
			out, code := s.run(t, where, st.text)
			if code == "0" {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: after 15 s still not: %s\n%s", where, st.text, strings.Join(out, "\n"))
			}
			time.Sleep(20 * time.Millisecond) // between two looks at other processes
		}
	}
}

// run types one command and returns what it printed and its exit code. It goes through
// a file, so that the command can't read the commands after it as its input.
func (s *shell) run(t *testing.T, where, text string) (out []string, code string) {
	t.Helper()
	s.n++
	path := filepath.Join(t.TempDir(), "command")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(s.in, "source %s </dev/null; code=$?; echo %s%d $code; (exit $code)\n", path, mark, s.n)
	end := fmt.Sprintf("%s%d ", mark, s.n)
	late := time.After(limit)
	for {
		select {
		case line, open := <-s.out:
			if !open {
				t.Fatalf("%s: the shell ended in: %s\n%s", where, text, strings.Join(out, "\n"))
			}
			if head, code, ok := strings.Cut(line, end); ok {
				if head != "" { // the output had no newline at its end
					out = append(out, head)
				}
				return out, code
			}
			out = append(out, line)
		case <-late:
			t.Fatalf("%s: not done after %v: %s\n%s", where, limit, text, strings.Join(out, "\n"))
		}
	}
}
