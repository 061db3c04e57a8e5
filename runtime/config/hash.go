package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// OldPlugins stands behind the hash that a worker announces while one of its plugins runs with
// an earlier configuration, since it refused the present one.
const OldPlugins = "+old-plugins"

// Hash is 12 hex digits that differ where two effective configurations differ. The
// Redis password does not go into it, nor do the paths of plugins and certificates:
// machines may keep those in different places. The order of blocks makes no
// difference.
func (c *Config) Hash() string {
	type handler struct {
		Handler
		Env    map[string]string
		Config json.RawMessage
	}
	var doc struct {
		Config   Config
		Handlers []handler
	}
	doc.Config = *c
	doc.Config.PluginDir = ""
	doc.Config.Redis.TLS = nil
	doc.Config.Handlers = nil
	doc.Config.Limits = slices.SortedFunc(slices.Values(c.Limits), func(a, b Limit) int { return strings.Compare(a.Name, b.Name) })
	doc.Config.Queues = slices.SortedFunc(slices.Values(c.Queues), func(a, b Queue) int { return strings.Compare(a.Name, b.Name) })
	for _, h := range c.Handlers {
		doc.Handlers = append(doc.Handlers, handler{h, h.Env, h.Config})
	}
	slices.SortFunc(doc.Handlers, func(a, b handler) int { return strings.Compare(a.Name, b.Name) })

	text, err := json.Marshal(doc)
	if err != nil { // a hand-made Config: a Handler.Config that is not JSON, a rate that is none
		text = fmt.Appendf(nil, "%+v", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}
