package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/scheduler"
)

const (
	maxTrial   = 100_000
	trialChunk = 1000 // tasks that are in memory at once
)

func (a *app) queueTestCommand() *cobra.Command {
	var payload, key string
	var watch bool
	c := &cobra.Command{
		Use:   "test NAME COUNT",
		Short: "Submit test tasks and tell when the first and the last can start",
		Long: `Submits COUNT tasks, with the payload {"test":1}, {"test":2}, … or the one given, and
tells when the rate lets the first and the last of them start. They are tasks like any
other: the queue's handler runs them. With --watch it then shows each start as it
happens, until all have started or Ctrl-C.`,
		Example: `  throttlectl queue test demo 30
  throttlectl queue test demo 5 --payload '{"sleep":"2s"}' --watch`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkName("queue", args[0]); err != nil {
				return err
			}
			n, err := strconv.Atoi(args[1])
			if err != nil || n < 1 || n > maxTrial {
				return usagef("COUNT %q is not a number from 1 to %d", args[1], maxTrial)
			}
			if c.Flags().Changed("payload") {
				if err := scheduler.CheckJSON([]byte(payload)); err != nil {
					return err
				}
			}
			if !watch {
				return a.connected(func(s *session) error { return s.trial(args[0], n, payload, key, nil) })
			}
			return a.interruptible(func(stop context.Context) error {
				return a.steadily(stop, func(l *long) error {
					var ids []string
					if err := l.trial(args[0], n, payload, key, &ids); err != nil {
						return err
					}
					return l.watchStarts(args[0], ids)
				})
			})
		},
	}
	c.Flags().StringVar(&payload, "payload", "", "`JSON` of every task (default {\"test\":1}, {\"test\":2}, …)")
	c.Flags().StringVar(&key, "key", "", "`key` of every task, for a queue that bounds each key")
	c.Flags().BoolVar(&watch, "watch", false, "show the starts as they happen, in milliseconds since the first")
	return c
}

// trial submits n tasks; their ids are added to ids, unless that is nil.
func (s *session) trial(queue string, n int, payload, key string, ids *[]string) error {
	var first, last scheduler.Receipt
	for done := 0; done < n; {
		tasks := make([]scheduler.SubmitRequest, min(trialChunk, n-done))
		for i := range tasks {
			tasks[i] = scheduler.SubmitRequest{Queue: queue, Key: key, Payload: []byte(payload)}
			if payload == "" {
				tasks[i].Payload = fmt.Appendf(nil, `{"test":%d}`, done+i+1)
			}
		}
		got, err := s.SubmitMany(s.ctx, queue, tasks)
		if len(got) > 0 {
			if done == 0 {
				first = got[0]
			}
			last = got[len(got)-1]
			done += len(got)
		}
		for i := range got {
			if ids != nil {
				*ids = append(*ids, got[i].ID)
			}
		}
		if err != nil {
			if done > 0 {
				return fmt.Errorf("after %s of %s: %w", count(int64(done)), plural(int64(n), "task"), err)
			}
			return err
		}
	}
	return s.printTrial(queue, n, first, last, ids != nil)
}

func (s *session) printTrial(queue string, n int, first, last scheduler.Receipt, stream bool) error {
	if s.a.json {
		put := s.a.printJSON
		if stream {
			put = s.a.printLine
		}
		return put(trialView{
			Queue: queue, Submitted: n, FirstID: first.ID, LastID: last.ID,
			FirstStart: instant(first.EarliestStart), LastStart: instant(last.EarliestStart),
		})
	}
	s.a.printf("%s: %s submitted, %s to %s\n", queue, plural(int64(n), "task"), first.ID, last.ID)
	s.a.printf("the first %s, the last %s\n", start(first), start(last))
	return nil
}
