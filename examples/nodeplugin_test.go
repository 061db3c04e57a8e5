//go:build linux

package examples

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
)

// node-plugin can be copied away, so it has copies of its own, which are current.
func TestNodePluginIsCurrent(t *testing.T) {
	t.Parallel()
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const kit = "node-plugin/throttlerd/"
	if read(kit+"proto/handler.proto") != read("../pluginapi/handlerpb/handler.proto") {
		t.Error("its handler.proto is not that of pluginapi/handlerpb: copy it")
	}
	if cookie := fmt.Sprintf("['%s', '%s']", handlerpb.MagicCookieKey, handlerpb.MagicCookieValue); !strings.Contains(read(kit+"index.js"), cookie) {
		t.Errorf("index.js lacks the cookie %s", cookie)
	}
	if strings.Contains(read("node-plugin/package-lock.json"), `"resolved"`) {
		t.Error("the lockfile names a registry: npm install --omit-lockfile-registry-resolved")
	}
	node := exec.Command("node", "-p", "JSON.stringify(require('./bounds').bounds)")
	node.Dir = kit
	out, err := node.Output()
	if err != nil {
		t.Fatalf("node, which make programs installs: %v", err)
	}
	var got map[string]int
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if want := map[string]int{
		"MAX_MESSAGE": handlerpb.MaxMessage, "MAX_BATCH": handlerpb.MaxBatch, "MAX_BATCH_ITEMS": handlerpb.MaxBatchItems,
		"MAX_RESULT": handlerpb.MaxResult, "MAX_ERROR": handlerpb.MaxError, "MAX_NOTE": handlerpb.MaxNote,
		"MAX_LIMIT_NAME": handlerpb.MaxLimitName,
	}; !maps.Equal(got, want) {
		t.Errorf("bounds.js has %v, protocol.go %v", got, want)
	}
}
