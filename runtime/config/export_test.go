package config

import "strings"

// Settings lists the names of all attributes and blocks.
func Settings() []string {
	var all []string
	for _, block := range syntax {
		for _, name := range known(block) {
			all = append(all, strings.TrimSuffix(name, " {}"))
		}
	}
	return all
}
