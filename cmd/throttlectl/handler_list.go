package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) handlerListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the handlers of all workers, and how their plugins do",
		Long: `Lists each handler of each worker: "up"; "degraded", where some processes of its plugin
are down; "starting"; "failing", where it dies all the time or does not start: its queues
wait then, at no cost; "lost", where the worker is.`,
		Example: `  throttlectl handler list
  throttlectl handler list --json | jq '.[] | select(.state == "failing") | .last_stderr[]'`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.connected((*session).listHandlers) },
	}
}

func (s *session) listHandlers() error {
	views, err := s.viewHandlers("")
	if err != nil {
		return err
	}
	if s.a.json {
		return s.a.printJSON(views)
	}
	if len(views) == 0 {
		s.a.note("No workers in namespace %q; throttlerd run starts one.", s.Namespace())
		return nil
	}
	rows := make([][]string, len(views))
	for i, v := range views {
		failure := deref(v.LastError)
		if v.LastErrorAt != nil {
			failure = clock(*v.LastErrorAt) + ": " + failure
		}
		rows[i] = []string{v.Handler, v.Worker, v.State, deref(v.Version), v.pids(), v.uptime(), count(int64(v.Restarts)),
			count(int64(v.Running)), memoryText(v.Memory), cut(failure, 60)}
	}
	s.a.table([]string{"HANDLER", "WORKER", "STATE", "VERSION", "PID", "UPTIME", "RESTARTS", "RUNNING", "MEMORY", "LAST ERROR"}, rows)
	return nil
}

// pids are the ids of its processes, with commas.
func (v handlerView) pids() string {
	var ids []string
	for _, p := range v.Processes {
		if p.PID != nil {
			ids = append(ids, fmt.Sprint(*p.PID))
		}
	}
	return strings.Join(ids, ",")
}

// uptime is that of the youngest of its processes.
func (v handlerView) uptime() string {
	youngest := time.Duration(-1)
	for _, p := range v.Processes {
		if p.PID != nil && (youngest < 0 || p.up < youngest) {
			youngest = p.up
		}
	}
	if youngest < 0 {
		return ""
	}
	return span(youngest)
}

func memoryText(bytes *int64) string {
	if bytes == nil {
		return ""
	}
	return fmt.Sprintf("%d MiB", *bytes>>20)
}
