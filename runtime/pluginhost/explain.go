package pluginhost

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"strings"
	"syscall"
	"unicode"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// explainStart makes of what go-plugin or gRPC said, and of what is known of
// the process, an error that a user can act on. The process has ended.
func (p *Process) explainStart(ctx context.Context, err error) error {
	e := &StartError{Handler: p.spec.Handler, Path: p.spec.Path, Err: err, Stderr: p.stderr.last()}
	for _, a := range p.info.Config {
		if a.Sensitive {
			e.Secrets = append(e.Secrets, a.Name)
		}
	}
	var refused ConfigErrors
	switch {
	case errors.As(err, &refused):
		e.Reason, e.Stderr = "it refuses its config: "+refused.Error(), nil
	case ctx.Err() != nil:
		e.Reason, e.Err = "the start was called off: "+context.Cause(ctx).Error(), context.Cause(ctx)
	case p.spec.Attach != nil:
		e.Reason = p.explainAttach(err)
	case p.runner == nil || p.runner.pid() == 0:
		e.Reason = explainExec(err)
	default:
		e.Reason = p.explainHandshake(err)
	}
	return e
}

// explainExec says why the kernel did not run the binary.
func explainExec(err error) string {
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Sprintf("it is not a program for %s/%s; build it with GOOS=%[1]s GOARCH=%[2]s",
			goruntime.GOOS, goruntime.GOARCH)
	case errors.Is(err, syscall.ENOENT):
		return "the interpreter or loader it names does not exist; build it with CGO_ENABLED=0, or correct its first line"
	case errors.Is(err, syscall.EACCES):
		return "execution is not permitted; check the modes of the directories above it and the noexec flag of its file system"
	}
	return err.Error()
}

const isItAPlugin = "is it a throttlerd plugin (does its main call pluginapi.Serve)?"

// explainHandshake says at which step a process that ran went wrong.
func (p *Process) explainHandshake(err error) string {
	line := p.runner.stdout.first()
	fields := strings.Split(line, "|")
	code, how := p.runner.outcome()
	switch {
	case line == "" && code == 0:
		return how + " before it was ready; " + isItAPlugin
	case line == "" && strings.Contains(err.Error(), "timeout"):
		return fmt.Sprintf("no handshake within %s; %s", handshakeTimeout, isItAPlugin)
	case line == "":
		return how + " before it was ready"
	case len(fields) < 5 || fields[0] != "1":
		return fmt.Sprintf("it printed %s where the handshake belongs; a plugin must print nothing before pluginapi.Serve, and to stderr", excerpt(line))
	case fields[4] != "grpc":
		return fmt.Sprintf("it speaks the protocol %q; throttlerd's plugins speak grpc", fields[4])
	case strings.Contains(err.Error(), "incompatible API version"):
		return fmt.Sprintf("it speaks version %s of the plugin protocol, this throttlerd version 1; build both from matching releases", excerpt(fields[1]))
	case p.spec.MTLS && (len(fields) < 6 || fields[5] == ""):
		return "it offers no certificate; build it with pluginapi, or set mtls = false on its handler if its language cannot make one"
	case errors.Is(err, errNoAnswer):
		return err.Error()
	case status.Code(err) == codes.Unimplemented:
		return fmt.Sprintf("it shook hands but does not serve the handler protocol (%v)", err)
	case code >= 0:
		return fmt.Sprintf("%s before it was ready (%v)", how, err)
	}
	return err.Error()
}

// excerpt quotes foreign output, bounded and without control characters.
func excerpt(text string) string {
	const most = 80
	clean := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '.'
		}
		return r
	}, strings.ToValidUTF8(text, "."))
	if runes := []rune(clean); len(runes) > most {
		clean = string(runes[:most]) + "…"
	}
	return fmt.Sprintf("%q", clean)
}
