package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) handlerShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show one handler on each worker: processes, last error, last lines on stderr",
		Long: `Shows one handler on each worker that has it: version, processes with their ids, uptime,
restarts and memory, what runs, why a process died last and what it wrote to stderr before.`,
		Example: "  throttlectl handler show webhook",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.connected(func(s *session) error { return s.showHandler(args[0]) })
		},
	}
}

func (s *session) showHandler(name string) error {
	views, err := s.viewHandlers(name)
	if err != nil {
		return err
	}
	if s.a.json {
		return s.a.printJSON(struct {
			Handler string        `json:"handler"`
			Workers []handlerView `json:"workers"`
		}{name, views})
	}
	for i, v := range views {
		if i > 0 {
			s.a.printf("\n")
		}
		s.printHandler(v)
	}
	return nil
}

func (s *session) printHandler(v handlerView) {
	plugin := "none: the handler is part of the worker's program"
	if v.Plugin != nil {
		plugin = fmt.Sprintf("%s %s", deref(v.Plugin), deref(v.Version))
	}
	facts := [][2]string{
		{"handler", v.Handler},
		{"worker", v.Worker},
		{"state", v.State},
		{"plugin", plugin},
		{"tasks", fmt.Sprintf("%s running, %s", count(int64(v.Running)), plural(int64(v.Slots), "slot"))},
	}
	if v.LastErrorAt != nil {
		facts = append(facts, [2]string{"last error", fmt.Sprintf("%s: %s", clock(*v.LastErrorAt), deref(v.LastError))})
	}
	s.a.facts(facts)
	if len(v.Processes) > 0 {
		rows := make([][]string, len(v.Processes))
		for i, p := range v.Processes {
			pid, up := "", ""
			if p.PID != nil {
				pid, up = fmt.Sprint(*p.PID), span(p.up)
			}
			rows[i] = []string{pid, p.State, up, count(int64(p.Restarts)), memoryText(p.Memory)}
		}
		s.a.printf("\n")
		s.a.table([]string{"PID", "STATE", "UPTIME", "RESTARTS", "MEMORY"}, rows)
	}
	if len(v.Stderr) > 0 {
		s.a.printf("\nits last lines on stderr:\n")
		for _, line := range v.Stderr {
			s.a.printf("  %s\n", safe(line))
		}
	}
}
