package pluginapi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
)

// Register serves h on a gRPC server that the caller owns and has made with
// ServerOptions. It is for tests over the wire; a plugin calls Serve.
func Register(r grpc.ServiceRegistrar, h Handler, log hclog.Logger) {
	handlerpb.RegisterHandlerServer(r, &server{handler: h, log: log})
}

// ServerOptions returns the options a gRPC server needs to serve a Handler: the
// bounds of the wire, keepalive, and handlers whose panics become errors.
func ServerOptions() []grpc.ServerOption {
	const window = 4 << 20 // so that flow control never splits a batch
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(handlerpb.MaxMessage),
		grpc.MaxSendMsgSize(handlerpb.MaxMessage),
		grpc.InitialWindowSize(window),
		grpc.InitialConnWindowSize(window),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime:             5 * time.Second,
			PermitWithoutStream: true,
		}),
		grpc.UnaryInterceptor(recoverUnary),
		grpc.StreamInterceptor(recoverStream),
	}
}

// server is the service of handler.proto over a Handler.
type server struct {
	handlerpb.UnimplementedHandlerServer
	handler Handler
	log     hclog.Logger

	mu      sync.Mutex
	streams int // of tasks, that are open
}

func (s *server) Describe(context.Context, *handlerpb.DescribeRequest) (*handlerpb.DescribeResponse, error) {
	return encodeInfo(describe(s.handler)), nil
}

// describe returns what h says of itself, named after its binary by default.
func describe(h Handler) Info {
	var info Info
	if d, ok := h.(Describer); ok {
		info = d.Describe()
	}
	if info.Name == "" {
		info.Name = filepath.Base(os.Args[0])
	}
	if _, ok := h.(Configurable); !ok {
		info.Config = []Attribute{}
	}
	return info
}

func (s *server) Configure(ctx context.Context, req *handlerpb.ConfigureRequest) (*handlerpb.ConfigureResponse, error) {
	s.mu.Lock() // so that no stream begins meanwhile
	defer s.mu.Unlock()
	config, err := NewConfig(req.Config)
	switch {
	case err != nil:
	case s.streams > 0:
		err = errors.New("the plugin is at work for a throttlerd that has attached to it, under the config of that one")
	default:
		err = Configure(ctx, s.handler, config)
	}
	return &handlerpb.ConfigureResponse{Errors: EncodeConfigError(err)}, nil
}

// EncodeConfigError lists every attribute error in err, and what else is wrong
// as an error of the whole block. It is for hosts.
func EncodeConfigError(err error) []*handlerpb.AttributeError {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var list []*handlerpb.AttributeError
		for _, e := range joined.Unwrap() {
			list = append(list, EncodeConfigError(e)...)
		}
		return list
	}
	e := &handlerpb.AttributeError{Message: cutText(err.Error(), handlerpb.MaxError)}
	var attr *AttributeError
	if errors.As(err, &attr) {
		e.Attribute = validText(attr.Attribute)
		e.Message = cutText(attr.Message, handlerpb.MaxError)
	}
	return []*handlerpb.AttributeError{e}
}

func recoverUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
	defer recoverTo(info.FullMethod, &err)
	return next(ctx, req)
}

func recoverStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	defer recoverTo(info.FullMethod, &err)
	return next(srv, stream)
}

func recoverTo(method string, err *error) {
	if p := recover(); p != nil {
		os.Stderr.WriteString(fmt.Sprintf("panic in %s: %v\n%s", method, p, debug.Stack()))
		*err = status.Errorf(codes.Internal, "panic: %v", p)
	}
}
