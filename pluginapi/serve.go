package pluginapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
	"github.com/throttlerd/throttlerd/pluginapi/heap"
)

// Serve makes a handler plugin of the running program. It is the last call of
// main: it serves h to the throttlerd that started the process, returns when
// that one is done with it, and ends the process when that one is gone.
//
// Started by hand, it prints what the binary is and how to use it, and exits 0; with the
// argument -debug it serves a throttlerd that attaches to it, until Ctrl-C.
//
// What the program prints goes to throttlerd's log. SIGTERM and SIGINT are
// ignored: throttlerd decides when its plugins leave.
func Serve(h Handler) {
	if h == nil {
		panic("pluginapi: Serve needs a Handler")
	}
	if os.Getenv(handlerpb.MagicCookieKey) != handlerpb.MagicCookieValue {
		if wantsDebug() {
			serveDebug(h)
		} else {
			explain(os.Stdout, describe(h))
		}
		return
	}
	// Notify, unlike Ignore, is not inherited by the programs a handler starts.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM, os.Interrupt)
	dieWithHost()
	heap.MakeRoom()

	config := serveConfig(h, hclog.New(&hclog.LoggerOptions{
		Level: logLevel(), Output: os.Stderr, JSONFormat: true,
	}))
	prints := &printRedirect{stdout: os.Stdout, stderr: os.Stderr}
	config.GRPCServer = func(opts []grpc.ServerOption) *grpc.Server {
		opts = append(opts, ServerOptions()...)
		opts = append(opts,
			grpc.ChainUnaryInterceptor(prints.onUnary),
			grpc.ChainStreamInterceptor(prints.onStream))
		return grpc.NewServer(opts...)
	}
	plugin.Serve(config)
}

// serveConfig is how a handler is served, whoever has started the process.
func serveConfig(h Handler, log hclog.Logger) *plugin.ServeConfig {
	return &plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion:  handlerpb.ProtocolVersion,
			MagicCookieKey:   handlerpb.MagicCookieKey,
			MagicCookieValue: handlerpb.MagicCookieValue,
		},
		VersionedPlugins: map[int]plugin.PluginSet{
			handlerpb.ProtocolVersion: {handlerpb.PluginName: &grpcPlugin{handler: h, log: log}},
		},
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts, ServerOptions()...)...)
		},
		Logger: hclog.New(&hclog.LoggerOptions{
			Name: "plugin", Level: hclog.Warn, Output: os.Stderr, JSONFormat: true,
		}),
	}
}

func logLevel() hclog.Level {
	if level := hclog.LevelFromString(os.Getenv(handlerpb.EnvLogLevel)); level != hclog.NoLevel {
		return level
	}
	return hclog.Info
}

// grpcPlugin is the server's side for go-plugin.
type grpcPlugin struct {
	plugin.NetRPCUnsupportedPlugin
	handler Handler
	log     hclog.Logger
}

func (p *grpcPlugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	Register(s, p.handler, p.log)
	return nil
}

func (p *grpcPlugin) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a plugin has no client side")
}

// printRedirect sends what the program prints straight to its standard error,
// which the host reads to the end. Standard output belongs to the handshake: a
// host may stop reading it afterwards, and a print would then block for ever.
// The first call of the host tells that the handshake is over.
type printRedirect struct {
	once           sync.Once
	stdout, stderr *os.File
}

func (p *printRedirect) now() {
	p.once.Do(func() {
		redirectStdout(p.stdout, p.stderr)
		os.Stdout, os.Stderr = p.stderr, p.stderr
	})
}

func (p *printRedirect) onUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	p.now()
	return next(ctx, req)
}

func (p *printRedirect) onStream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	p.now()
	return next(srv, stream)
}

// explain tells somebody who started the plugin by hand what it is.
func explain(w io.Writer, info Info) {
	fmt.Fprint(w, "This is a handler plugin for throttlerd. It does nothing by itself: throttlerd starts\nit and hands it tasks.\n\n")
	info.Document(w)
	block := ""
	for _, a := range info.Config {
		if a.Required {
			block += fmt.Sprintf("\n      %s = …", a.Name)
		}
	}
	if block != "" {
		block = "\n    config {" + block + "\n    }"
	}
	fmt.Fprintf(w, `
To use it, put this binary into throttlerd's plugin_dir and declare, in config.hcl:

  handler %[1]q {
    plugin = %[2]q%[3]s
  }

  queue "my_queue" {
    handler = %[1]q
    rate    = "10/1m"
  }

Then: throttlerd validate && throttlerd run
To try it: throttlerd plugin run %[4]s --payload '{}'
To debug it: %[4]s -debug
`, info.Name, filepath.Base(os.Args[0]), block, os.Args[0])
}
