package main

import (
	"bufio"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// confirm asks before something is destroyed; deed says what and how much, as in "drop 3
// tasks". With --yes it does not ask; where nobody can be asked it returns the command
// to type. The command's time starts anew after the answer.
func (s *session) confirm(deed string) error {
	a := s.a
	if a.yes {
		return nil
	}
	if !a.interactive {
		return &unconfirmedError{fmt.Errorf("nothing was done: this would %s; to do it, type: %s", deed, a.commandLine("--yes"))}
	}
	fmt.Fprintf(a.stderr, "%s%s? [y/N] ", strings.ToUpper(deed[:1]), deed[1:])
	answer, err := bufio.NewReader(a.stdin).ReadString('\n')
	if err != nil && answer == "" {
		a.note("")
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		s.restart()
		return nil
	}
	return &unconfirmedError{errors.New("not confirmed; nothing was done")}
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:=@%+,-]+$`)

// commandLine is what was typed, with more flags, as a shell reads it. It can hold
// no password: settings refuses one on the command line.
func (a *app) commandLine(flags ...string) string {
	words := []string{"throttlectl"}
	for _, w := range append(append([]string(nil), a.args...), flags...) {
		if !plainWord.MatchString(w) {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}
