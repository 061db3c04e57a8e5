package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

const (
	minInterval = 100 * time.Millisecond
	maxInterval = time.Hour
)

func (a *app) monitorCommand() *cobra.Command {
	interval := time.Second
	var once bool
	c := &cobra.Command{
		Use:   "monitor",
		Short: "Watch workers and queues",
		Long: `Shows workers with their health, queues with their counts, the rate that they reach and
what blocks them, totals, and in words what to see to; what needs attention comes first.
A terminal is redrawn in place until Ctrl-C; elsewhere each interval is a line, with
--json an object on a line. With --once it prints one screen and ends.`,
		Example: `  throttlectl monitor
  throttlectl monitor --once
  throttlectl monitor --interval 10s --json | jq '.totals.waiting'`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if interval < minInterval || interval > maxInterval {
				return usagef("--interval %s must be %s to %s", exact(interval), exact(minInterval), exact(maxInterval))
			}
			return a.interruptible(func(stop context.Context) error {
				return a.steadily(stop, func(l *long) error {
					m := &monitor{long: l, sampler: sampler{interval: interval}}
					switch {
					case once:
						return m.once()
					case isTerminal(a.stdout) && !a.json:
						return m.redraw()
					}
					return m.stream()
				})
			})
		},
	}
	c.Flags().Var((*durationFlag)(&interval), "interval", "`time` between two looks, 100ms to 1h")
	c.Flags().BoolVar(&once, "once", false, "print one screen, after one interval, and end")
	return c
}

// monitor looks at everything again and again.
type monitor struct {
	*long
	sampler
}

// look takes a sample; it is broken off by Ctrl-C, for it changes nothing.
func (m *monitor) look() (snapshot, error) {
	ctx, cancel := context.WithTimeout(m.stop, m.a.timeout)
	defer cancel()
	s, err := m.sample(ctx, m.Client)
	if err != nil && expired(ctx, err) {
		err = &timeoutError{m.a.timeout, err}
	}
	return s, err
}

// pause waits for the next look; false when the command is to end.
func (m *monitor) pause(next time.Time) bool {
	select {
	case <-m.stop.Done():
		return false
	case <-time.After(time.Until(next)):
		return true
	}
}

// once prints one screen. What is reached is known after an interval only.
func (m *monitor) once() error {
	next := time.Now().Add(m.interval)
	if _, err := m.look(); err != nil {
		return m.ended(err)
	}
	if !m.pause(next) {
		return errInterrupted
	}
	s, err := m.look()
	if err != nil {
		return m.ended(err)
	}
	if m.a.json {
		return m.a.printLine(viewSnapshot(s))
	}
	width, height := m.a.screen()
	for _, line := range render(s, width, height) {
		m.a.printf("%s\n", strings.TrimRight(line, " "))
	}
	return nil
}

// ended is what a look's error means: nothing, after Ctrl-C.
func (m *monitor) ended(err error) error {
	if m.stop.Err() != nil {
		return nil
	}
	return err
}

// stream prints a line for each interval. Once it has begun, a Redis that is away is
// only told of.
func (m *monitor) stream() error {
	begun := false
	for next := time.Now(); ; {
		s, err := m.look()
		switch {
		case err != nil && !begun || m.stop.Err() != nil:
			return m.ended(err)
		case err != nil:
			m.a.note("Warning: %s; trying again", safe(err.Error()))
		case m.a.json:
			if err := m.a.printLine(viewSnapshot(s)); err != nil {
				return err
			}
		default:
			m.a.printf("%s\n", oneLine(s))
		}
		begun = true
		if err := m.a.flush(); err != nil {
			return err
		}
		if next = next.Add(m.interval); next.Before(time.Now()) {
			next = time.Now()
		}
		if !m.pause(next) {
			return nil
		}
	}
}

// The alternate screen keeps what was on the terminal.
const (
	screenOn  = "\x1b[?1049h\x1b[?25l"
	screenOff = "\x1b[?25h\x1b[?1049l"
)

// redraw draws into the terminal until Ctrl-C, and anew when its size changes.
func (m *monitor) redraw() error {
	s, err := m.look()
	if err != nil {
		return m.ended(err)
	}
	resized := make(chan os.Signal, 1)
	notifyResize(resized)
	defer signal.Stop(resized)
	if _, err := fmt.Fprint(m.a.stdout, screenOn); err != nil {
		return err
	}
	defer fmt.Fprint(m.a.stdout, screenOff)
	type looked struct {
		s   snapshot
		err error
	}
	looks := make(chan looked, 1)
	tick := time.NewTicker(m.interval)
	defer tick.Stop()
	looking := false
	for {
		if err := m.draw(s); err != nil {
			return err
		}
		select {
		case <-m.stop.Done():
			if looking {
				<-looks // it ends with stop
			}
			return nil
		case <-resized:
		case <-tick.C:
			if !looking {
				looking = true
				go func() {
					s, err := m.look()
					looks <- looked{s, err}
				}()
			}
		case l := <-looks:
			looking = false
			if s.trouble = ""; l.err != nil {
				s.trouble = l.err.Error() // over the last picture
			} else {
				s = l.s
			}
		}
	}
}

// draw writes one frame over the last, in one piece, so that it does not flicker.
func (m *monitor) draw(s snapshot) error {
	width, height := m.a.screen()
	frame := "\x1b[H" + strings.Join(render(s, width, height), "\x1b[K\r\n") + "\x1b[K\x1b[J"
	_, err := fmt.Fprint(m.a.stdout, frame)
	return err
}

// screen is the size of the terminal; of none, what COLUMNS and LINES say, or 120 by 40.
func (a *app) screen() (width, height int) {
	if f, ok := a.stdout.(*os.File); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 && h > 0 {
			return w, h
		}
	}
	return sizeFrom("COLUMNS", 120), sizeFrom("LINES", 40)
}

func sizeFrom(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 && n <= 1000 {
		return n
	}
	return otherwise
}
