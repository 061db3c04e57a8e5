package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/scheduler"
)

// boundFlags are what a queue's tasks are under beside its own limit, as it is typed.
type boundFlags struct {
	limits     []string
	keyRate    string
	key        scheduler.KeySpec
	exceptions []string
}

func (b *boundFlags) register(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&b.limits, "limit", nil, "`name` of a limit that its tasks are under too; may be repeated")
	f.StringVar(&b.keyRate, "key-rate", "", "`rate` of each key; then every task has a key, and keys take turns")
	f.IntVar(&b.key.Concurrency, "key-concurrency", 0, "`number` of tasks of one key that run at once; 0 for any number")
	f.IntVar(&b.key.Weight, "key-weight", 1, "`share` of each key among the keys that have work, 1 to 1000")
	f.StringArrayVar(&b.exceptions, "exception", nil, "other `bounds` of one key, as in acme:rate=50/1s+300/15m,concurrency=4,weight=4; may be repeated")
}

// keyed tells whether the key block is asked for.
func keyed(c *cobra.Command) bool {
	return c.Flags().Changed("key-rate") || c.Flags().Changed("key-concurrency") || c.Flags().Changed("key-weight")
}

// apply are the bounds of each key when what was typed has changed them.
func (b *boundFlags) apply(c *cobra.Command, before *scheduler.KeySpec) *scheduler.KeySpec {
	if !keyed(c) {
		return before
	}
	after := scheduler.KeySpec{Weight: b.key.Weight}
	if before != nil {
		after = *before
	}
	for flag, take := range map[string]func(){
		"key-rate":        func() { after.Rates = b.key.Rates },
		"key-concurrency": func() { after.Concurrency = b.key.Concurrency },
		"key-weight":      func() { after.Weight = b.key.Weight },
	} {
		if c.Flags().Changed(flag) {
			take()
		}
	}
	return &after
}

// read finds what is wrong with the words themselves. limits is nil when none is typed.
func (b *boundFlags) read(c *cobra.Command) (limits []string, exceptions map[string]*scheduler.KeyRule, err error) {
	if c.Flags().Changed("key-rate") {
		if b.key.Rates, err = parseRates(b.keyRate); err != nil {
			return nil, nil, fmt.Errorf("--key-rate: %w", err)
		}
	}
	if limits, err = b.readLimits(); err != nil {
		return nil, nil, err
	}
	for _, text := range b.exceptions {
		key, rule, err := parseException(text)
		if err != nil {
			return nil, nil, err
		}
		if _, twice := exceptions[key]; twice {
			return nil, nil, usagef("--exception of key %q is given twice", key)
		}
		if exceptions == nil {
			exceptions = map[string]*scheduler.KeyRule{}
		}
		exceptions[key] = rule
	}
	return limits, exceptions, nil
}

func (b *boundFlags) readLimits() ([]string, error) {
	if len(b.limits) == 1 && b.limits[0] == "" {
		return []string{}, nil
	}
	for i, name := range b.limits {
		if name == "" {
			return nil, usagef("--limit '' takes all limits off; it goes with no other --limit")
		}
		if err := checkLimitName(name); err != nil {
			return nil, err
		}
		if slices.Contains(b.limits[:i], name) {
			return nil, usagef("--limit %s is given twice", name)
		}
	}
	return b.limits, nil
}

// into adds what was typed to the settings of a new queue.
func (b *boundFlags) into(c *cobra.Command, spec *scheduler.QueueSpec) error {
	limits, rules, err := b.read(c)
	if err != nil {
		return err
	}
	spec.Limits, spec.Key = limits, b.apply(c, nil)
	for key, rule := range rules {
		if rule == nil {
			return usagef("--exception of key %q sets nothing; write for example %s:rate=50/1s", key, key)
		}
		if spec.Exceptions == nil {
			spec.Exceptions = map[string]scheduler.KeyRule{}
		}
		spec.Exceptions[key] = *rule
	}
	return nil
}

// change adds what was typed to what is changed of a queue.
func (b *boundFlags) change(c *cobra.Command, ch *scheduler.QueueChange, noKey bool) error {
	limits, rules, err := b.read(c)
	if err != nil {
		return err
	}
	if c.Flags().Changed("limit") {
		ch.Limits = &limits
	}
	if noKey {
		if keyed(c) {
			return usagef("--no-key excludes --key-rate, --key-concurrency and --key-weight")
		}
		ch.Key = new(*scheduler.KeySpec)
	}
	ch.Exceptions = rules
	return nil
}
