// Package plugintest runs a Handler over the real wire, in the process of the
// test: config and task, outcome and result cross gRPC as they do between
// throttlerd and a plugin process. It needs no throttlerd and no Redis.
package plugintest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
)

// Run configures h, gives it one task and returns how the run ended, with what h said
// of limits. A refused config fails the test.
//
// config is the handler's config block: nil, the text of a JSON object (string,
// []byte or json.RawMessage), or a value that encodes to one. Of the task, ID,
// Queue, Attempt and Fence are filled in when they are zero; its Deadline
// bounds the run. Lines written to its Log go to the test's log.
func Run(t testing.TB, h pluginapi.Handler, config any, task pluginapi.Task) pluginapi.Result {
	t.Helper()
	client := serve(t, h)
	if err := configure(t, client, config); err != nil {
		t.Fatalf("plugintest: config refused: %v", err)
	}
	fill(&task)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	result, err := runOne(ctx, client, &task)
	if err != nil {
		t.Fatalf("plugintest: run task: %v", err)
	}
	return result
}

// Configure gives h its config block, as in Run, and returns what h has against
// it: joined *pluginapi.AttributeErrors, or nil. An error about the block as a
// whole has no attribute.
func Configure(t testing.TB, h pluginapi.Handler, config any) error {
	t.Helper()
	return configure(t, serve(t, h), config)
}

func fill(task *pluginapi.Task) {
	if task.ID == "" {
		task.ID = "test"
	}
	if task.Queue == "" {
		task.Queue = "test"
	}
	task.Attempt = max(task.Attempt, 1)
	if task.Fence == 0 {
		task.Fence = 1
	}
}

// serve serves h until the end of the test.
func serve(t testing.TB, h pluginapi.Handler) handlerpb.HandlerClient {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(pluginapi.ServerOptions()...)
	pluginapi.Register(server, h, hclog.New(&hclog.LoggerOptions{Output: testWriter{t}, Level: hclog.Trace, DisableTime: true}))
	served := make(chan struct{})
	go func() {
		defer close(served)
		server.Serve(listener)
	}()
	conn, err := grpc.NewClient("passthrough:///plugintest",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(handlerpb.MaxMessage)))
	if err != nil {
		t.Fatalf("plugintest: %v", err)
	}
	t.Cleanup(func() {
		conn.Close()
		server.Stop()
		<-served
	})
	return handlerpb.NewHandlerClient(conn)
}

func configure(t testing.TB, client handlerpb.HandlerClient, config any) error {
	t.Helper()
	object, err := configJSON(config)
	if err != nil {
		t.Fatalf("plugintest: config: %v", err)
	}
	response, err := client.Configure(context.Background(), &handlerpb.ConfigureRequest{Config: object})
	if err != nil {
		t.Fatalf("plugintest: configure: %v", err)
	}
	var errs []error
	for _, e := range response.Errors {
		errs = append(errs, pluginapi.BadAttribute(e.Attribute, e.Message))
	}
	return errors.Join(errs...)
}

func configJSON(config any) ([]byte, error) {
	switch c := config.(type) {
	case nil:
		return nil, nil
	case string:
		return []byte(c), nil
	case []byte:
		return c, nil
	}
	return json.Marshal(config)
}

// runOne sends one task and waits for its result and the end of the stream.
func runOne(ctx context.Context, client handlerpb.HandlerClient, task *pluginapi.Task) (pluginapi.Result, error) {
	stream, err := client.Run(ctx)
	if err != nil {
		return pluginapi.Result{}, err
	}
	if err := stream.Send(&handlerpb.ToPlugin{Tasks: []*handlerpb.Task{pluginapi.EncodeTask(task)}, Drain: true}); err != nil {
		return pluginapi.Result{}, err
	}
	batch, err := stream.Recv()
	if err != nil {
		return pluginapi.Result{}, err
	}
	if len(batch.Results) != 1 || batch.Results[0].Run != task.Fence {
		return pluginapi.Result{}, fmt.Errorf("expected one result of run %d, got %v", task.Fence, batch.Results)
	}
	return pluginapi.DecodeResult(batch.Results[0]), nil
}

// testWriter writes log lines to the log of a test.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}
