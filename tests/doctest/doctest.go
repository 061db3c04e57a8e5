//go:build linux

// Package doctest runs what the documents show: the console sessions of a Markdown
// file, on the product's own binaries and a real redis-server, and holds their output
// against what the file says.
//
// A fenced block named console is a session. A line that begins with "$ " is a command
// for bash, one that begins with "> " goes on with it; what follows is the output that
// is expected, of stdout and stderr. The line "..." stands for any lines, the sign "…"
// for any part of a line; what no two runs share (instants, ids, ages) is compared by
// its form. All sessions of a file run in one shell, so jobs in the background and
// variables last; those jobs are killed at the end.
//
// Comments that a reader of the rendered page doesn't see steer a run:
//
//	<!-- file: NAME -->   the next block is written to this file
//	<!-- run: COMMAND -->   is run, and must succeed
//	<!-- until: COMMAND -->   is run until it succeeds: how to wait for something
//
// THROTTLERD_SRC is where the repository is, DOCTEST_HTTP the address of an HTTP server
// that answers 200 to everything. With DOCTEST_UPDATE=1 in the environment the file gets
// the output that was seen.
package doctest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/throttlerd/throttlerd/tests/proc"
	"github.com/throttlerd/throttlerd/tests/redistest"
)

// Run runs the sessions of a Markdown file, which is named from the module's root. A
// file under examples/ runs in a copy of its folder, any other in an empty folder with
// bin/, config.hcl.example and examples/ in it.
func Run(t *testing.T, file string) {
	t.Helper()
	path := filepath.Join(proc.ModuleRoot(t), file)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	sh := newShell(t, file, redistest.Start(t))
	steps := parse(lines)
	for i := range steps {
		sh.do(t, file, &steps[i])
		if t.Failed() && os.Getenv(updateEnv) == "" {
			return // what follows builds on it
		}
	}
	if os.Getenv(updateEnv) == "" {
		return
	}
	for _, s := range slices.Backward(steps) {
		if s.seen != nil {
			lines = slices.Replace(lines, s.from, s.to, s.seen...)
		}
	}
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
}

const updateEnv = "DOCTEST_UPDATE"

// step is one thing to do, in the order of the file.
type step struct {
	kind     kind
	line     int      // in the file, from 1
	text     string   // the command, or the name of a file
	body     []string // of a file
	from, to int      // the lines of the file that hold the expected output
	want     []string // those lines
	seen     []string // the output, where it was not as expected
}

type kind int

const (
	command kind = iota
	hidden
	until
	file
)

// parse finds the steps of a Markdown file.
func parse(lines []string) []step {
	var steps []step
	name := "" // of the file that the next block is
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if text, ok := comment(line, "run"); ok {
			steps = append(steps, step{kind: hidden, line: i + 1, text: text})
		}
		if text, ok := comment(line, "until"); ok {
			steps = append(steps, step{kind: until, line: i + 1, text: text})
		}
		if text, ok := comment(line, "file"); ok {
			name = text
		}
		info, ok := strings.CutPrefix(line, "```")
		if !ok {
			continue
		}
		begin := i + 1
		for i++; i < len(lines) && lines[i] != "```"; i++ {
		}
		switch {
		case name != "":
			steps = append(steps, step{kind: file, line: begin, text: name, body: lines[begin:i]})
			name = ""
		case info == "console":
			steps = append(steps, session(lines, begin, i)...)
		}
	}
	return steps
}

func comment(line, verb string) (string, bool) {
	text, ok := strings.CutPrefix(line, "<!-- "+verb+": ")
	return strings.TrimSpace(strings.TrimSuffix(text, "-->")), ok
}

// session splits lines [begin, end) into commands with their outputs.
func session(lines []string, begin, end int) []step {
	var steps []step
	for i := begin; i < end; {
		text, ok := strings.CutPrefix(lines[i], "$ ")
		if !ok {
			i++ // before the first command
			continue
		}
		s := step{kind: command, line: i + 1}
		for i++; i < end && strings.HasPrefix(lines[i], "> "); i++ {
			text += "\n" + lines[i][2:]
		}
		s.text, s.from = text, i
		for i < end && !strings.HasPrefix(lines[i], "$ ") {
			i++
		}
		s.to = i
		s.want = lines[s.from:s.to]
		steps = append(steps, s)
	}
	return steps
}
