package config

import (
	"path/filepath"
	"time"

	"github.com/hashicorp/hcl/v2"
)

// config turns the whole syntax into settings.
func (d *decoder) config(raw *fileBlock) *Config {
	c := Default()
	if d.opts.PluginDir != "" {
		c.PluginDir = d.opts.PluginDir
	}
	d.name(raw.Namespace, &c.Namespace)
	d.name(raw.Owner, &c.Owner)
	if d.text(raw.PluginDir, &c.PluginDir) {
		c.PluginDir = inDir(filepath.Dir(raw.PluginDir.Range.Filename), c.PluginDir)
	}
	d.integer(raw.Concurrency, &c.Concurrency, 1, 100_000)
	d.duration(raw.Lease, &c.Lease, time.Second, 10*time.Minute)
	d.duration(raw.Lookahead, &c.Lookahead, 0, time.Second)
	d.duration(raw.DrainTimeout, &c.DrainTimeout, 0, 24*time.Hour)
	d.size(raw.MaxPayload, &c.MaxPayload, 1, 1<<20)
	d.choice(raw.Durability, &c.Durability, DurabilityWarn, DurabilityStrict)

	d.redis(raw.Redis, &c.Redis)
	d.log(raw.Log, &c.Log)
	d.limits(raw.Limits, c)
	d.readReattach()
	d.handlers(raw.Handlers, c)
	d.checkReattach(c)
	d.queues(raw.Queues,
		labels(raw.Handlers, func(b *handlerBlock) string { return b.Name }),
		labels(raw.Limits, func(b *limitBlock) string { return b.Name }), c)
	return c
}

func (d *decoder) log(blocks []*logBlock, to *Log) {
	b := single(d, "log", blocks, func(b *logBlock) hcl.Range { return b.At })
	if b == nil {
		return
	}
	d.choice(b.Level, &to.Level, "trace", "debug", "info", "warn", "error", "off")
	d.choice(b.Format, &to.Format, "text", "json")
}

// declared checks the label of a block and that it is the first of its name.
func (d *decoder) declared(kind, name string, nameAt hcl.Range, seen map[string]hcl.Range) bool {
	if err := CheckName(kind, name); err != nil {
		d.errorAt(nameAt, "Invalid name", "%s", sentence(err))
		return false
	}
	if first, ok := seen[name]; ok {
		d.errorAt(nameAt, "Duplicate "+kind, "There is a %s %q already, at %s. Give one of them another name.", kind, name, place(first))
		return false
	}
	seen[name] = nameAt
	return true
}
