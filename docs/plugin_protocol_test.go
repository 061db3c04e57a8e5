//go:build linux

package docs

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
	"github.com/throttlerd/throttlerd/tests/proc"
)

func readText(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{proc.ModuleRoot(t)}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The page has every bound of the wire, and no other number for it.
func TestPluginProtocolSizes(t *testing.T) {
	t.Parallel()
	page, source := readText(t, "docs", "plugin-protocol.md"), readText(t, "pluginapi", "handlerpb", "protocol.go")
	units := map[string]int64{"": 1, " bytes": 1, " KiB": 1 << 10, " MiB": 1 << 20, " h": 3600e9, " ms": 1e6}
	said := map[string]int64{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(Max\\w+)` \\| (\\d+)([^|]*) \\|").FindAllStringSubmatch(page, -1) {
		var n int64
		fmt.Sscan(row[2], &n)
		said[row[1]] = n * units[row[3]]
	}
	bounds := map[string]int64{
		"MaxMessage": handlerpb.MaxMessage, "MaxBatch": handlerpb.MaxBatch, "MaxBatchItems": handlerpb.MaxBatchItems,
		"MaxResult": handlerpb.MaxResult, "MaxError": handlerpb.MaxError, "MaxNote": handlerpb.MaxNote,
		"MaxLimits": handlerpb.MaxLimits, "MaxLimitName": handlerpb.MaxLimitName,
		"MaxTokens": handlerpb.MaxTokens, "MaxReset": int64(handlerpb.MaxReset),
		"MaxEarly": int64(handlerpb.MaxEarly),
	}
	if !maps.Equal(said, bounds) {
		t.Errorf("the page says\n%v\nthe code\n%v", said, bounds)
	}
	for _, c := range regexp.MustCompile(`(?m)^\t(Max\w+) +=`).FindAllStringSubmatch(source, -1) {
		if _, known := bounds[c[1]]; !known {
			t.Errorf("protocol.go has %s", c[1])
		}
	}
}

// The page has every name that a plugin must spell as the host does.
func TestPluginProtocolNames(t *testing.T) {
	t.Parallel()
	page := readText(t, "docs", "plugin-protocol.md")
	names := []string{
		handlerpb.MagicCookieKey, handlerpb.MagicCookieValue, handlerpb.EnvLifeline, handlerpb.EnvLogLevel,
		string(handlerpb.File_handler_proto.Services().Get(0).FullName()),
	}
	methods := handlerpb.File_handler_proto.Services().Get(0).Methods()
	for i := range methods.Len() {
		names = append(names, string(methods.Get(i).Name()))
	}
	for _, enum := range []protoreflect.Enum{handlerpb.Outcome(0), handlerpb.CancelReason(0)} {
		values := enum.Descriptor().Values()
		for i := range values.Len() {
			if name := string(values.Get(i).Name()); name != "OUTCOME_UNSPECIFIED" {
				names = append(names, name)
			}
		}
	}
	for _, name := range names {
		if !strings.Contains(page, "`"+name+"`") {
			t.Errorf("the page lacks `%s`", name)
		}
	}
	if line := fmt.Sprintf("\n1|%d|unix|", handlerpb.ProtocolVersion); !strings.Contains(page, line) {
		t.Errorf("the page lacks a handshake with %q", line)
	}
}

// What the page says of times and counts is what the host's code has.
func TestPluginProtocolTimes(t *testing.T) {
	t.Parallel()
	page := strings.Join(strings.Fields(readText(t, "docs", "plugin-protocol.md")), " ")
	for _, c := range []struct{ file, code, said string }{
		{"runtime/pluginhost/start.go", "handshakeTimeout = 10 * time.Second", "does not print it within 10 s"},
		{"runtime/pluginhost/start.go", "configureTimeout = 10 * time.Second", "does not answer `Describe`, `Configure` and `Run` within 10 s"},
		{"runtime/pluginhost/health.go", "healthInterval = 5 * time.Second", "Asked every 5 s"},
		{"runtime/pluginhost/health.go", "healthTimeout = 10 * time.Second", "does not answer a health check within 10 s"},
		{"runtime/pluginhost/process.go", "leaveTime = 2 * time.Second", "still there 2 s after the end of its stream"},
		{"runtime/pluginhost/backoff.go", "minBackoff = 100 * time.Millisecond", "starts it again after 0.1 s"},
		{"runtime/pluginhost/backoff.go", "maxBackoff = 30 * time.Second", "later each time up to 30 s"},
		{"runtime/pluginhost/stderr.go", "tailLines = 20", "The last 20 lines"},
		{"runtime/pluginhost/stderr.go", "maxLine = 8 << 10", "Longer ones than 8 KiB"},
		{"runtime/pluginhost/stderr.go", "linesPerSec = 1000", "of more than 1,000 a second"},
		{"runtime/watch.go", "watchEvery = 250 * time.Millisecond", "0.25 to 0.5 s later"},
		{"runtime/watch.go", "killAfter = 5 * time.Second", "goes on for 5 s, after `LEASE_LOST` for 1 s"},
		{"scheduler/submit.go", "HardMaxPayload = 1 << 20", "A payload is at most 1 MiB"},
	} {
		code := strings.Join(strings.Fields(readText(t, c.file)), " ")
		if !strings.Contains(code, c.code) {
			t.Errorf("%s has no %q: change the page, then this test", c.file, c.code)
		}
		if !strings.Contains(page, c.said) {
			t.Errorf("the page does not say %q", c.said)
		}
	}
}

// The page asks of a plugin under test what plugin echo does, but for the journal.
func TestPluginProtocolScripts(t *testing.T) {
	t.Parallel()
	page, source := readText(t, "docs", "plugin-protocol.md"), readText(t, "plugins", "echo", "script.go")
	fields := regexp.MustCompile("\\[\\]byte\\(`(\"\\w+\")`\\)").FindAllStringSubmatch(source, -1)
	if len(fields) < 10 {
		t.Fatalf("%d fields in the script of echo", len(fields))
	}
	for _, f := range fields {
		if f[1] != `"journal"` && !strings.Contains(page, "`"+f[1]+": ") {
			t.Errorf("the page lacks %s", f[1])
		}
	}
}
