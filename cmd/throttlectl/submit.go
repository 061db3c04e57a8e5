package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/runtime/config"
	"github.com/throttlerd/throttlerd/scheduler"
)

const maxDelay = 366 * 24 * time.Hour

// submitFlags are a task's properties as they are typed.
type submitFlags struct {
	id, kind, key string
	headers       []string
	cost          string
	in, at        string
}

func (a *app) submitCommand() *cobra.Command {
	var flags submitFlags
	var bulk bulkFlags
	c := &cobra.Command{
		Use:   "submit QUEUE [JSON|-|@FILE]",
		Short: "Submit one task, or each line of a file",
		Long: `Submits one task and tells its id, its position, about when it can start, and the limit
that holds it up longest. A task of a queue that bounds each key needs --key. With --cost
it takes more than one token: of all limits, of one by its name, of the queue's own rates
by the name queue, or of its key's by the name key; 0 takes it out of that limit.

The payload is JSON: given as an argument, read from standard input with "-" or from a
file with @FILE; without one it is {}. When the command succeeds, the task is in Redis.
With an id of your own the same task cannot be submitted twice (exit code 4), so the
command can be repeated safely.

With --file each line of a file is the payload of a task; with --envelope it is an
object {"payload":…} with any of id, type, key, headers, cost (3, or {"github":1}), in
("90s") and at (an instant; one in the past is now) beside it. All lines are checked, also
against the queue's limits, before the first is submitted, and go in in their order. A
line without an id gets one by the file's content and its number, so that after Ctrl-C, or
when Redis was away, the same command with --resume goes on: what is in is not submitted
again, also when it has run or was purged meanwhile. To submit the same lines once more,
give them new ids (--envelope).`,
		Example: `  throttlectl submit emails '{"to":"ann@example.com"}'
  throttlectl submit emails @letter.json --in 1h30m
  throttlectl submit chats @chat.json --key acme --cost 1,openai_tokens=1200
  generate | throttlectl submit emails - --id order-4711 --header trace=abc
  throttlectl submit emails --file letters.jsonl --resume`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkName("queue", args[0]); err != nil {
				return err
			}
			if asked, err := bulk.asked(c, args); asked || err != nil {
				if err != nil {
					return err
				}
				return a.submitFile(args[0], bulk)
			}
			r, err := flags.request(c, args[0])
			if err != nil {
				return err
			}
			if r.Payload, err = a.payload(args[1:]); err != nil {
				return err
			}
			if err := r.Validate(a.loaded.MaxPayload); err != nil {
				return &usageError{err} // the payload has been checked: it is a flag
			}
			return a.connected(func(s *session) error { return s.submit(r) })
		},
	}
	f := c.Flags()
	f.StringVar(&flags.id, "id", "", "own `id`, A-Z a-z 0-9 _ . - (default: a generated one)")
	f.StringVar(&flags.kind, "type", "", "`type` of the task, by which a handler may route")
	f.StringVar(&flags.key, "key", "", "`key` of the task, such as a tenant or a host")
	f.StringArrayVar(&flags.headers, "header", nil, "header `name=value`; may be repeated")
	f.StringVar(&flags.cost, "cost", "", "`tokens` that it takes of each limit, or LIMIT=TOKENS of one, as in 2,github=1 (default 1)")
	f.StringVar(&flags.in, "in", "", "start it not before this `duration` from now, such as 90s, 2h or 7d")
	f.StringVar(&flags.at, "at", "", "start it not before this `instant`, such as 2026-12-31T23:59:00Z")
	bulk.register(c)
	return c
}

// request is the task without its payload.
func (f *submitFlags) request(c *cobra.Command, queue string) (scheduler.SubmitRequest, error) {
	r := scheduler.SubmitRequest{Queue: queue, ID: f.id, Type: f.kind, Key: f.key}
	if c.Flags().Changed("id") && f.id == "" {
		return r, usagef("--id is empty; leave it out for a generated id")
	}
	if c.Flags().Changed("in") && c.Flags().Changed("at") {
		return r, usagef("--in and --at exclude each other")
	}
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok || name == "" {
			return r, usagef("--header %q is not of the form name=value", h)
		}
		if _, twice := r.Headers[name]; twice {
			return r, usagef("--header %s is given twice", name)
		}
		if r.Headers == nil {
			r.Headers = map[string]string{}
		}
		r.Headers[name] = value
	}
	if c.Flags().Changed("cost") {
		if err := parseCost(f.cost, &r); err != nil {
			return r, err
		}
	}
	var err error
	if c.Flags().Changed("in") {
		r.In, err = parseIn(f.in)
	} else if c.Flags().Changed("at") {
		r.At, err = parseAt(f.at, time.Now())
	}
	return r, err
}

func parseIn(s string) (time.Duration, error) {
	d, err := config.ParseDuration(s)
	switch {
	case err != nil:
		return 0, usagef("--in: %w", err)
	case d < 0 || d > maxDelay:
		return 0, usagef("--in %s must be 0 to %s", s, exact(maxDelay))
	}
	return d, nil
}

func parseAt(s string, now time.Time) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	switch {
	case err != nil:
		return t, usagef("--at %q is not an instant; write date, time and zone as in %q", s, now.UTC().Add(time.Hour).Format(time.RFC3339))
	case t.Before(now):
		return t, usagef("--at %s is in the past by %s; without --at the task can start now", s, span(now.Sub(t)))
	case t.Sub(now) > maxDelay:
		return t, usagef("--at %s is more than %s ahead", s, exact(maxDelay))
	}
	return t, nil
}

func (s *session) submit(r scheduler.SubmitRequest) error {
	receipt, err := s.Submit(s.ctx, r)
	if err != nil {
		return submitError(r, err)
	}
	if s.a.json {
		return s.a.printJSON(viewReceipt(receipt))
	}
	place := fmt.Sprintf(", position %s,", count(receipt.Position))
	if receipt.State == "scheduled" {
		place = ","
	}
	s.a.printf("%s %s%s %s%s\n", receipt.ID, receipt.State, place, start(receipt), safe(heldUp(receipt.Binding)))
	return nil
}

// submitError says when it is unknown whether the task was taken in, and how it gets a key.
func submitError(r scheduler.SubmitRequest, err error) error {
	var invalid *scheduler.InvalidError
	if errors.As(err, &invalid) && invalid.What == "key" && r.Key == "" {
		return fmt.Errorf("%w (--key)", err)
	}
	var away *scheduler.UnreachableError
	if errors.As(err, &away) {
		if r.ID == "" {
			return fmt.Errorf("%w; it is unknown whether the task was taken in: with --id it could be submitted again safely", err)
		}
		return fmt.Errorf("%w; it is unknown whether the task was taken in: submit it again, the id keeps it from being there twice", err)
	}
	return err
}
