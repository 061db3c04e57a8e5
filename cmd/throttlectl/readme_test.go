package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The README's list of commands has every command, and no flag that is not there.
func TestReadmeCommands(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "\n## Commands\n\n```\n")
	list, _, _ = strings.Cut(list, "```")
	_, list, found := strings.Cut(list, "throttlectl ")
	if !found {
		t.Fatal("no list of commands")
	}
	words := strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(" |\n[]", r) })
	known := make(map[string]bool)
	for _, w := range words {
		known[w] = true
	}
	flags := make(map[string]bool)
	root := newApp(nil, nil, nil, nil).root()
	each(root, func(c *cobra.Command) {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) { flags[f.Name] = true })
		if c != root && c.Name() != "help" && c.Parent().Name() != "completion" && !known[c.Name()] {
			t.Errorf("%s is not in the README", c.CommandPath())
		}
	})
	for _, m := range regexp.MustCompile(`--([a-z-]+)`).FindAllStringSubmatch(list, -1) {
		if !flags[m[1]] {
			t.Errorf("the README has --%s, which no command knows", m[1])
		}
	}
}
