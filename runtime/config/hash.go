package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

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
	type queue struct {
		Queue
		Rates []string
	}
	var doc struct {
		Config   Config
		Handlers []handler
		Queues   []queue
	}
	doc.Config = *c
	doc.Config.PluginDir = ""
	doc.Config.Redis.TLS = nil
	doc.Config.Handlers, doc.Config.Queues = nil, nil
	for _, h := range c.Handlers {
		doc.Handlers = append(doc.Handlers, handler{h, h.Env, h.Config})
	}
	slices.SortFunc(doc.Handlers, func(a, b handler) int { return strings.Compare(a.Name, b.Name) })
	for _, q := range c.Queues {
		rates := []string{}
		for _, r := range q.Rates {
			rates = append(rates, r.String())
		}
		doc.Queues = append(doc.Queues, queue{q, rates})
	}
	slices.SortFunc(doc.Queues, func(a, b queue) int { return strings.Compare(a.Name, b.Name) })

	text, err := json.Marshal(doc)
	if err != nil { // a hand-made Config whose Handler.Config is not JSON
		text = fmt.Appendf(nil, "%+v", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}
