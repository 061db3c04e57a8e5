package pluginapi

import (
	"io"
	"log"
	"sync"

	"github.com/hashicorp/go-hclog"
)

// taskLogger is Task.Log: a logger with the task's fields that is built when
// the first line is written.
type taskLogger struct {
	root hclog.Logger
	task *Task
	once sync.Once
	log  hclog.Logger
}

var _ hclog.Logger = (*taskLogger)(nil)

func (l *taskLogger) get() hclog.Logger {
	l.once.Do(func() {
		l.log = l.root.With("task", l.task.ID, "queue", l.task.Queue, "attempt", l.task.Attempt)
		if trace := l.task.TraceParent(); trace != "" {
			l.log = l.log.With("trace_id", trace[3:35])
		}
	})
	return l.log
}

func (l *taskLogger) Log(level hclog.Level, msg string, args ...any) {
	if level >= l.root.GetLevel() {
		l.get().Log(level, msg, args...)
	}
}

func (l *taskLogger) Trace(msg string, args ...any) { l.Log(hclog.Trace, msg, args...) }
func (l *taskLogger) Debug(msg string, args ...any) { l.Log(hclog.Debug, msg, args...) }
func (l *taskLogger) Info(msg string, args ...any)  { l.Log(hclog.Info, msg, args...) }
func (l *taskLogger) Warn(msg string, args ...any)  { l.Log(hclog.Warn, msg, args...) }
func (l *taskLogger) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }

func (l *taskLogger) IsTrace() bool         { return l.root.IsTrace() }
func (l *taskLogger) IsDebug() bool         { return l.root.IsDebug() }
func (l *taskLogger) IsInfo() bool          { return l.root.IsInfo() }
func (l *taskLogger) IsWarn() bool          { return l.root.IsWarn() }
func (l *taskLogger) IsError() bool         { return l.root.IsError() }
func (l *taskLogger) GetLevel() hclog.Level { return l.root.GetLevel() }
func (l *taskLogger) Name() string          { return l.root.Name() }

func (l *taskLogger) ImpliedArgs() []any                  { return l.get().ImpliedArgs() }
func (l *taskLogger) With(args ...any) hclog.Logger       { return l.get().With(args...) }
func (l *taskLogger) Named(name string) hclog.Logger      { return l.get().Named(name) }
func (l *taskLogger) ResetNamed(name string) hclog.Logger { return l.get().ResetNamed(name) }
func (l *taskLogger) SetLevel(level hclog.Level)          { l.get().SetLevel(level) }
func (l *taskLogger) StandardLogger(o *hclog.StandardLoggerOptions) *log.Logger {
	return l.get().StandardLogger(o)
}
func (l *taskLogger) StandardWriter(o *hclog.StandardLoggerOptions) io.Writer {
	return l.get().StandardWriter(o)
}
