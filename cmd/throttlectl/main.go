// Command throttlectl shows and steers queues, tasks, limits and workers. It speaks to Redis
// itself, so it works while no worker runs. It only prints: what a command means is
// decided in package scheduler.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/throttlerd/throttlerd/runtime/config"
)

// version is set when it is built for release.
var version = "dev"

func main() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// Main runs one command line and returns its exit code (see exit.go). Standard output
// is written in one piece at the end, so that an interrupted command prints no half
// answer.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return newApp(args, stdin, stdout, stderr).run()
}

// app is one run of the program.
type app struct {
	args        []string
	stdin       io.Reader
	stdout      io.Writer
	stderr      io.Writer
	out         bytes.Buffer // what goes to stdout when the command has ended
	interactive bool         // a person can be asked
	loaded      *config.Config
	base        context.Context // ends a command that runs on as Ctrl-C does; nil for none

	// global flags
	configPath string
	redisURL   string
	namespace  string
	json       bool
	yes        bool
	timeout    time.Duration
}

func newApp(args []string, stdin io.Reader, stdout, stderr io.Writer) *app {
	return &app{args: args, stdin: stdin, stdout: stdout, stderr: stderr, interactive: isTerminal(stdin) && isTerminal(stderr)}
}

func (a *app) run() int {
	root := a.root()
	root.SetArgs(a.args)
	root.SetIn(a.stdin)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(context.Background())
	// what was printed before an error is the truth too: "purged 500 tasks"
	if _, werr := a.stdout.Write(a.out.Bytes()); err == nil && werr != nil && a.out.Len() > 0 {
		err = fmt.Errorf("write output: %w", werr)
	}
	if err == nil {
		return exitOK
	}
	return a.report(err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "throttlectl",
		Short: "Shows and steers throttlerd's queues, tasks, limits, handlers and workers",
		Long: `throttlectl shows and steers the queues, tasks, limits and workers of throttlerd. It speaks
to Redis itself, so it works while no worker runs.

Settings are taken from flags, else from the environment (THROTTLE_REDIS_URL,
THROTTLE_NAMESPACE, THROTTLE_CONFIG), else from the configuration file (./config.hcl
if it exists), else redis://127.0.0.1:6379/0 and namespace "throttle".

Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 unknown queue, task, limit, handler or
worker, 4 conflict or not confirmed, 5 Redis not reachable, 6 timed out or no token
granted, 7 bad file or payload.`,
		Example: `  throttlectl queue create 10/1m:5 --name emails
  throttlectl submit emails '{"to":"ann@example.com"}'
  throttlectl queue show emails`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetOut(&a.out)
	root.SetErr(a.stderr)
	f := root.PersistentFlags()
	f.StringVarP(&a.configPath, "config", "c", "", "configuration `file` or directory (default ./config.hcl, if it exists)")
	f.StringVar(&a.redisURL, "redis-url", "", "`address` of Redis, without a password")
	f.StringVar(&a.namespace, "namespace", "", "`name` in front of all keys in Redis")
	f.BoolVar(&a.json, "json", false, "print JSON instead of text, errors too")
	f.BoolVar(&a.yes, "yes", false, "do not ask before something is destroyed")
	a.timeout = 10 * time.Second
	f.Var((*durationFlag)(&a.timeout), "timeout", "`time` that the command may take; of one that watches or works through much, each step")
	root.AddCommand(a.queueCommand(), a.submitCommand(), a.taskCommand(), a.deadCommand(), a.limitCommand(), a.handlerCommand(), a.workerCommand(), a.monitorCommand(), a.doctorCommand(), a.versionCommand())
	root.SetOut(&a.out) // before strict: the completion command keeps what it finds
	strict(root, a.args)
	return root
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  throttlectl version",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if a.json {
				return a.printJSON(struct {
					Version string `json:"version"`
				}{version})
			}
			a.printf("throttlectl %s\n", version)
			return nil
		},
	}
}

// note prints a message for the person: never data, so never on standard output.
func (a *app) note(format string, args ...any) {
	fmt.Fprintf(a.stderr, format+"\n", args...)
}

// printf adds text to standard output. What comes from elsewhere goes through safe.
func (a *app) printf(format string, args ...any) { fmt.Fprintf(&a.out, format, args...) }

var errNoCommand = errors.New("a command is needed")
