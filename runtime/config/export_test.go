package config

import (
	"slices"
	"strings"
)

// Settings lists the names of all attributes and blocks that work.
func Settings() []string {
	notYet := []string{"sentinel", "cluster"}
	var all []string
	for _, block := range syntax {
		for _, name := range known(block) {
			if name = strings.TrimSuffix(name, " {}"); !slices.Contains(notYet, name) {
				all = append(all, name)
			}
		}
	}
	return all
}
