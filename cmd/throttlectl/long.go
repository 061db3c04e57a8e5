package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// long is a session of a command that runs until it is done or interrupted. --timeout
// bounds each of its steps, not the whole.
type long struct {
	*session
	stop context.Context // ended by Ctrl-C or SIGTERM; calls under way are left to end
}

// errInterrupted is what a command that was stopped half way says.
var errInterrupted = errors.New("interrupted")

// interruptible gives f a context that the first Ctrl-C or SIGTERM ends. The second
// kills the program, as it would have without this.
func (a *app) interruptible(f func(stop context.Context) error) error {
	base := a.base
	if base == nil {
		base = context.Background()
	}
	stop, forget := signal.NotifyContext(base, os.Interrupt, syscall.SIGTERM)
	defer forget()
	context.AfterFunc(stop, forget)
	return f(stop)
}

// steadily runs f with a Redis that answers, for as long as it takes.
func (a *app) steadily(stop context.Context, f func(l *long) error) error {
	return a.connected(func(s *session) error { return f(&long{s, stop}) })
}

// step gives the calls that follow their time anew. It fails when the command was
// interrupted.
func (l *long) step() error {
	if l.stop.Err() != nil {
		return errInterrupted
	}
	l.restart()
	return nil
}

// steps is step for a deed whose calls are made elsewhere.
func (l *long) steps() (context.Context, error) {
	err := l.step()
	return l.ctx, err
}

// flush writes what has been printed so far, for a command that prints as it goes.
func (a *app) flush() error {
	_, err := a.stdout.Write(a.out.Bytes())
	a.out.Reset()
	if err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}
