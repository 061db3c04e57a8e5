package main

import (
	"context"
	"errors"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
)

// serveHuge serves the protocol without pluginapi, whose results have a bound: a task's
// result has 200 MB.
func serveHuge() {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion:  handlerpb.ProtocolVersion,
			MagicCookieKey:   handlerpb.MagicCookieKey,
			MagicCookieValue: handlerpb.MagicCookieValue,
		},
		VersionedPlugins: map[int]plugin.PluginSet{handlerpb.ProtocolVersion: {handlerpb.PluginName: &huge{}}},
		GRPCServer:       plugin.DefaultGRPCServer,
	})
}

type huge struct {
	plugin.NetRPCUnsupportedPlugin
	handlerpb.UnimplementedHandlerServer
}

func (h *huge) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	handlerpb.RegisterHandlerServer(s, h)
	return nil
}

func (h *huge) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("no client side")
}

func (h *huge) Describe(context.Context, *handlerpb.DescribeRequest) (*handlerpb.DescribeResponse, error) {
	return &handlerpb.DescribeResponse{Name: "rogue", Version: version}, nil
}

func (h *huge) Configure(context.Context, *handlerpb.ConfigureRequest) (*handlerpb.ConfigureResponse, error) {
	return &handlerpb.ConfigureResponse{}, nil
}

func (h *huge) Run(stream grpc.BidiStreamingServer[handlerpb.ToPlugin, handlerpb.FromPlugin]) error {
	for {
		batch, err := stream.Recv()
		if err != nil {
			return err
		}
		for _, t := range batch.Tasks {
			r := &handlerpb.Result{Run: t.Run, Outcome: handlerpb.Outcome_OUTCOME_DONE, Result: make([]byte, 200<<20)}
			if err := stream.Send(&handlerpb.FromPlugin{Results: []*handlerpb.Result{r}}); err != nil {
				return err
			}
		}
		if batch.Drain {
			return nil
		}
	}
}
