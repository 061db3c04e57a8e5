package pluginhost_test

import (
	"context"
	"errors"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
)

type rawStream = grpc.BidiStreamingServer[handlerpb.ToPlugin, handlerpb.FromPlugin]

// serveRaw serves the protocol without pluginapi, as a plugin in another
// language would, with a Run of its own.
func serveRaw(run func(rawStream) error) {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion:  handlerpb.ProtocolVersion,
			MagicCookieKey:   handlerpb.MagicCookieKey,
			MagicCookieValue: handlerpb.MagicCookieValue,
		},
		VersionedPlugins: map[int]plugin.PluginSet{
			handlerpb.ProtocolVersion: {handlerpb.PluginName: &rawPlugin{run: run}},
		},
		GRPCServer: plugin.DefaultGRPCServer,
	})
}

type rawPlugin struct {
	plugin.NetRPCUnsupportedPlugin
	handlerpb.UnimplementedHandlerServer
	run func(rawStream) error
}

func (p *rawPlugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	handlerpb.RegisterHandlerServer(s, p)
	return nil
}

func (p *rawPlugin) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("no client side")
}

func (p *rawPlugin) Describe(context.Context, *handlerpb.DescribeRequest) (*handlerpb.DescribeResponse, error) {
	return &handlerpb.DescribeResponse{Name: "raw"}, nil
}

func (p *rawPlugin) Configure(context.Context, *handlerpb.ConfigureRequest) (*handlerpb.ConfigureResponse, error) {
	return &handlerpb.ConfigureResponse{}, nil
}

func (p *rawPlugin) Run(stream rawStream) error { return p.run(stream) }

func hugeReply(stream rawStream) error {
	batch, err := stream.Recv()
	if err != nil {
		return err
	}
	return stream.Send(&handlerpb.FromPlugin{Results: []*handlerpb.Result{
		{Run: batch.Tasks[0].Run, Outcome: handlerpb.Outcome_OUTCOME_DONE, Result: make([]byte, 128<<20)},
	}})
}

func endStream(stream rawStream) error {
	_, err := stream.Recv()
	return err
}
