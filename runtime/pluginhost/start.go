package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
)

// handshakeTimeout is from the start of the process to its handshake. A variable for
// the tests alone.
var handshakeTimeout = 10 * time.Second

const (
	configureTimeout = 10 * time.Second // for Describe and Configure together
	streamWindow     = 4 << 20          // so that flow control never splits a batch
)

// Sink takes what a plugin sends back, in batches, from one goroutine at a time. It
// must not keep a slice; while it blocks nothing else comes and Done is not closed. It
// is never called after Done is closed. What it does not want is dropped.
type Sink struct {
	Results  func([]pluginapi.Result)
	Progress func([]pluginapi.Progress) // comes before the result of its run
}

// Start starts one process of the plugin: handshake, Describe, Configure, and
// the stream that tasks travel on. ctx bounds the start alone.
//
// to takes what the plugin sends back. A run that the process did not finish gets no
// result.
//
// The error is a *StartError. It wraps ConfigErrors when the plugin refused its
// config. Nothing of the process is left behind then.
func Start(ctx context.Context, s Spec, to Sink) (*Process, error) {
	p, err := prepare(s, to)
	if err != nil {
		return nil, err
	}
	if err := p.start(ctx, p.open); err != nil {
		p.abandon()
		return nil, p.explainStart(ctx, err)
	}
	go p.receive()
	go p.out.send()
	if s.Attach == nil {
		p.watchers.Go(p.watchHealth)
		if s.MemoryMax > 0 && p.cage == nil {
			p.watchers.Go(p.watchMemory)
		}
	}
	go p.finish()
	return p, nil
}

// Describe starts one process of the plugin, asks it what it is and ends it, without a
// config. The error is a *StartError.
func Describe(ctx context.Context, s Spec) (pluginapi.Info, error) {
	p, err := prepare(s, Sink{})
	if err != nil {
		return pluginapi.Info{}, err
	}
	err = p.start(ctx, p.describe)
	p.abandon()
	if err != nil {
		return pluginapi.Info{}, p.explainStart(ctx, err)
	}
	return p.info, nil
}

// prepare checks what can be checked before anything runs.
func prepare(s Spec, to Sink) (*Process, error) {
	fail := func(err error) (*Process, error) {
		return nil, &StartError{Handler: s.Handler, Path: s.Path, Reason: err.Error(), Err: err}
	}
	s.Log = s.logger()
	p := &Process{
		spec:    s,
		program: program{drop: func() {}},
		to:      to,
		stderr:  &stderrLog{log: s.Log.With("handler", s.Handler)},
		closing: make(chan struct{}),
		read:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	if s.Attach != nil {
		return p, nil
	}
	if s.RunDir == "" {
		s.RunDir = os.TempDir()
	}
	path, err := filepath.Abs(s.Path)
	if err != nil {
		return fail(err)
	}
	s.Path = path
	if err := errors.Join(Check(s.Path), checkRunDir(s.RunDir)); err != nil {
		return fail(err)
	}
	binary, err := os.Stat(s.Path) // before it is read: a change in between is seen later
	if err != nil {
		return fail(err)
	}
	credential, err := credentialOf(s.User)
	if err != nil {
		return fail(err)
	}
	if credential != nil {
		if err := letThrough(s.RunDir); err != nil {
			return fail(err)
		}
	}
	program, err := programOf(s.Path, s.SHA256, s.RunDir)
	if err != nil {
		return fail(err)
	}
	if !s.MTLS {
		s.Log.Warn("plugin connection is neither encrypted nor authenticated", "handler", s.Handler, "fix", "remove mtls = false")
	}
	p.spec, p.binary, p.program, p.credential = s, binary, program, credential
	p.bound()
	return p, nil
}

// checkRunDir refuses a directory in which a socket's path would be too long:
// the kernel takes 107 bytes, of which up to 43 are the socket's own.
func checkRunDir(dir string) error {
	const longest = 60
	if len(dir) > longest {
		return fmt.Errorf("run directory %q is too long for a unix socket: %d bytes, at most %d", dir, len(dir), longest)
	}
	return nil
}

// errNoAnswer is the cause of a start that the plugin let wait too long.
var errNoAnswer = fmt.Errorf("it shook hands but did not answer within %s", configureTimeout)

// start does everything that may fail on the plugin's account; open is what it does once
// hands are shaken.
func (p *Process) start(ctx context.Context, open func(context.Context) error) error {
	// Whatever hangs in here ends with the process.
	stop := context.AfterFunc(ctx, p.Kill)
	defer stop()

	reach := p.dial
	if p.spec.Attach != nil {
		reach = p.attach
	}
	if err := reach(); err != nil {
		return err
	}
	answer, cancel := context.WithTimeoutCause(ctx, configureTimeout, errNoAnswer)
	defer cancel()
	stopConfigure := context.AfterFunc(answer, p.Kill)
	defer stopConfigure()
	if err := open(answer); err != nil {
		if cause := context.Cause(answer); cause != nil {
			return fmt.Errorf("%w: %w", cause, err)
		}
		return err
	}
	return nil
}

// dial starts the process and connects to it.
func (p *Process) dial() error {
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion:  handlerpb.ProtocolVersion,
			MagicCookieKey:   handlerpb.MagicCookieKey,
			MagicCookieValue: handlerpb.MagicCookieValue,
		},
		VersionedPlugins: map[int]plugin.PluginSet{
			handlerpb.ProtocolVersion: {handlerpb.PluginName: connPlugin{}},
		},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		AutoMTLS:         p.spec.MTLS,
		SkipHostEnv:      true,
		StartTimeout:     handshakeTimeout,
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: p.spec.RunDir},
		RunnerFunc:       p.newRunner,
		Logger:           hclog.NewNullLogger(), // the plugin's lines are forwarded here
		GRPCDialOptions:  dialOptions(),
	})
	p.client = client
	if _, err := client.Start(); err != nil {
		return err
	}
	protocol, err := client.Client()
	if err != nil {
		return err
	}
	conn, err := protocol.Dispense(handlerpb.PluginName)
	if err != nil {
		return err
	}
	p.conn = conn.(*grpc.ClientConn)
	return nil
}

func dialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(handlerpb.MaxMessage),
			grpc.MaxCallSendMsgSize(handlerpb.MaxMessage)),
		grpc.WithInitialWindowSize(streamWindow),
		grpc.WithInitialConnWindowSize(streamWindow),
	}
}

// describe asks the plugin what it is.
func (p *Process) describe(ctx context.Context) error {
	described, err := handlerpb.NewHandlerClient(p.conn).Describe(ctx, &handlerpb.DescribeRequest{})
	if err != nil {
		return fmt.Errorf("describe: %w", err)
	}
	p.info = pluginapi.DecodeInfo(described)
	// one that was attached to may be stopped by a debugger, or run elsewhere
	p.startsAt = p.spec.Attach == nil && pluginapi.StartsAt(described)
	return nil
}

// open makes the calls that come before the first task.
func (p *Process) open(ctx context.Context) error {
	if err := p.describe(ctx); err != nil {
		return err
	}
	if err := checkConfig(p.info.Config, p.spec.Config); err != nil {
		return err
	}
	client := handlerpb.NewHandlerClient(p.conn)
	configured, err := client.Configure(ctx, &handlerpb.ConfigureRequest{Config: p.spec.Config})
	if err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	if err := refusals(configured.Errors); err != nil {
		return err
	}
	stream, err := client.Run(context.Background())
	if err != nil {
		return fmt.Errorf("open the stream of tasks: %w", err)
	}
	p.out = newOutbox(stream)
	p.in = stream
	return nil
}

// newRunner is go-plugin's way to start a process. It tells the private
// directory, mode 0700, that the plugin puts its socket in.
func (p *Process) newRunner(_ hclog.Logger, cmd *exec.Cmd, socketDir string) (runner.Runner, error) {
	p.socketDir = socketDir
	if c := p.credential; c != nil {
		if err := os.Chown(socketDir, int(c.Uid), int(c.Gid)); err != nil {
			return nil, err
		}
	}
	cmd.Path = p.program.path
	cmd.Args = append([]string{p.spec.Path}, p.spec.Args...)
	cmd.Err = nil // exec.Command looked for an empty name
	cmd.Env = append(cmd.Env, p.environment()...)
	cmd.SysProcAttr = processAttrs()
	cmd.SysProcAttr.Credential = p.credential
	p.cage.attrs(cmd.SysProcAttr)
	r := newRunner(cmd, p.stderr)
	r.program = p.program.file
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.killed {
		return nil, context.Canceled
	}
	p.runner, p.child = r, r
	return r, nil
}

// goMemoryLimit has the collector of a program in Go work harder near a limit. Others
// ignore it.
const goMemoryLimit = "GOMEMLIMIT"

// environment is what a plugin gets: nothing of the host's that may be secret.
func (p *Process) environment() []string {
	level := p.spec.Log.GetLevel()
	if level == hclog.NoLevel { // of a logger that drops everything
		level = hclog.Off
	}
	env := []string{handlerpb.EnvLogLevel + "=" + level.String()}
	for _, name := range []string{"TZ", "LANG", "LC_ALL", "TMPDIR"} {
		if value, set := os.LookupEnv(name); set {
			env = append(env, name+"="+value)
		}
	}
	if _, set := p.spec.Env[goMemoryLimit]; p.spec.MemoryMax > 0 && !set {
		env = append(env, goMemoryLimit+"="+strconv.FormatInt(p.spec.MemoryMax/10*9, 10))
	}
	declared := make([]string, 0, len(p.spec.Env))
	for name, value := range p.spec.Env {
		declared = append(declared, name+"="+value)
	}
	slices.Sort(declared)
	return append(env, declared...)
}

// connPlugin hands out the connection itself.
type connPlugin struct{ plugin.NetRPCUnsupportedPlugin }

func (connPlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return conn, nil
}

func (connPlugin) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return errors.New("the host serves no handler")
}
