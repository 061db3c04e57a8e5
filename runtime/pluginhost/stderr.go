package pluginhost

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	tailLines    = 20
	maxLine      = 8 << 10 // longer lines are logged in pieces
	linesPerSec  = 1000    // of one plugin; more are counted and dropped
	logTimestamp = "@timestamp"
)

// stderrLog forwards what a plugin writes to its stderr into the host's log and
// remembers the last lines. hclog's JSON lines keep their level and fields,
// anything else is logged as it is.
type stderrLog struct {
	log hclog.Logger

	mu   sync.Mutex
	tail []string

	second  time.Time // of the flood control; used by copy alone
	lines   int
	dropped int
}

// copy reads r to its end.
func (s *stderrLog) copy(r io.Reader) {
	in := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := in.ReadSlice('\n')
		if text := strings.TrimRight(string(line), "\r\n"); text != "" {
			s.line(text)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			break
		}
	}
	s.reportDropped()
}

func (s *stderrLog) line(text string) {
	level, message, fields := parseLogLine(text)
	s.remember(plain(level, message, fields))
	if s.flooded(time.Now()) {
		return
	}
	if s.log.GetLevel() <= level {
		s.log.Log(level, message, fields...)
	}
}

// flooded counts lines and tells whether this one is over the bound.
func (s *stderrLog) flooded(now time.Time) bool {
	if now.Sub(s.second) >= time.Second {
		s.reportDropped()
		s.second, s.lines = now, 0
	}
	s.lines++
	if s.lines > linesPerSec {
		s.dropped++
		return true
	}
	return false
}

func (s *stderrLog) reportDropped() {
	if s.dropped > 0 {
		s.log.Warn("plugin logs too much, lines dropped", "lines", s.dropped)
		s.dropped = 0
	}
}

func (s *stderrLog) remember(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tail) == tailLines {
		s.tail = slices.Delete(s.tail, 0, 1)
	}
	s.tail = append(s.tail, text)
}

// last returns the last lines, oldest first.
func (s *stderrLog) last() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tail)
}

// plain writes a parsed line for people.
func plain(level hclog.Level, message string, fields []any) string {
	if len(fields) == 0 {
		return message
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[%s] %s", level, message)
	for i := 0; i < len(fields); i += 2 {
		fmt.Fprintf(&b, " %s=%v", fields[i], fields[i+1])
	}
	return b.String()
}

// parseLogLine takes a line of hclog's JSON apart; any other line is a message
// at level info.
func parseLogLine(text string) (hclog.Level, string, []any) {
	var line map[string]any
	in := json.NewDecoder(strings.NewReader(text))
	in.UseNumber() // a fence or an instant in microseconds is no float
	if !strings.HasPrefix(text, "{") || in.Decode(&line) != nil {
		return hclog.Info, text, nil
	}
	message, isLog := line["@message"].(string)
	if !isLog {
		return hclog.Info, text, nil
	}
	levelName, _ := line["@level"].(string)
	level := hclog.LevelFromString(levelName)
	if level == hclog.NoLevel {
		level = hclog.Info
	}
	var names []string
	for name := range line {
		if name != "@message" && name != "@level" && name != logTimestamp {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	fields := make([]any, 0, 2*len(names))
	for _, name := range names {
		fields = append(fields, strings.TrimPrefix(name, "@"), line[name])
	}
	return level, message, fields
}
