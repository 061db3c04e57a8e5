package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/throttlerd/throttlerd/ratelimit"
	"github.com/throttlerd/throttlerd/scheduler"
)

var exceptionSettings = []string{"rate", "concurrency", "weight"}

// parseException reads KEY:name=value,…; without settings the rule is nil. A key may
// hold colons: it ends at the first that settings or nothing follow.
func parseException(text string) (key string, rule *scheduler.KeyRule, err error) {
	at := -1
	for i := range len(text) {
		if text[i] != ':' {
			continue
		}
		name, _, set := strings.Cut(text[i+1:], "=")
		if i == len(text)-1 || set && slices.Contains(exceptionSettings, name) {
			at = i
			break
		}
		if at < 0 {
			at = i
		}
	}
	if at <= 0 {
		return "", nil, usagef("--exception %q is not of the form KEY:rate=50/1s,concurrency=4,weight=4", text)
	}
	key, settings := text[:at], text[at+1:]
	if settings == "" {
		return key, nil, nil
	}
	rule = &scheduler.KeyRule{}
	seen := map[string]bool{}
	for setting := range strings.SplitSeq(settings, ",") {
		name, value, _ := strings.Cut(setting, "=")
		if seen[name] {
			return "", nil, usagef("--exception of key %q: %s is given twice", key, name)
		}
		seen[name] = true
		if err := setRule(rule, name, value); err != nil {
			return "", nil, fmt.Errorf("--exception of key %q: %w", key, err)
		}
	}
	return key, rule, nil
}

func setRule(rule *scheduler.KeyRule, name, value string) error {
	number := func(to **int) error {
		n, err := strconv.Atoi(value)
		if err != nil {
			return usagef("%s %q is not a whole number", name, value)
		}
		*to = &n
		return nil
	}
	switch name {
	case "rate":
		rates, err := parseRates(strings.ReplaceAll(value, "+", ","))
		rule.Rates = &rates
		return err
	case "concurrency":
		return number(&rule.Concurrency)
	case "weight":
		return number(&rule.Weight)
	}
	if near := ratelimit.Nearest(name, exceptionSettings); near != "" {
		return usagef("there is no setting %q; did you mean %q?", name, near)
	}
	return usagef("there is no setting %q; there are %s", name, strings.Join(exceptionSettings, ", "))
}

// keyText is what bounds each key, as one typed it.
func keyText(k *scheduler.KeySpec) string {
	if k == nil {
		return "none"
	}
	return ruleText(scheduler.KeyRule{Rates: &k.Rates, Concurrency: &k.Concurrency, Weight: &k.Weight})
}

func exceptionsText(list map[string]scheduler.KeyRule) string {
	if len(list) == 0 {
		return "none"
	}
	var words []string
	for _, key := range slices.Sorted(maps.Keys(list)) {
		words = append(words, key+": "+ruleText(list[key]))
	}
	return strings.Join(words, "; ")
}

// ruleText leaves out what is as for all keys.
func ruleText(r scheduler.KeyRule) string {
	var words []string
	if r.Rates != nil {
		words = append(words, "rate "+r.Rates.String())
	}
	if r.Concurrency != nil {
		words = append(words, "concurrency "+bound(*r.Concurrency))
	}
	if r.Weight != nil {
		words = append(words, "weight "+count(int64(*r.Weight)))
	}
	return strings.Join(words, ", ")
}
