//go:build linux

package pluginconformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
)

func TestDiesWithItsHost(t *testing.T) {
	each(t, func(t *testing.T, p plugin) {
		b := p.startBare(t)
		b.lifeline.Close()
		b.ends(t, time.Second)
	})
}

func TestServicesBesideTheHandler(t *testing.T) {
	each(t, func(t *testing.T, p plugin) {
		b := p.startBare(t)
		health, err := grpc_health_v1.NewHealthClient(b.conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "plugin"})
		if err != nil || health.Status != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("health: %v, %v", health, err)
		}
		for range 2 { // Describe needs no Configure, and may be called again
			if _, err := b.Describe(t.Context(), &handlerpb.DescribeRequest{}); err != nil {
				t.Error(err)
			}
		}
		_ = b.conn.Invoke(t.Context(), "/plugin.GRPCController/Shutdown", &emptypb.Empty{}, &emptypb.Empty{}) // the answer may not come
		b.conn.Close()
		b.ends(t, 2*time.Second)
		if code := b.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("it left with code %d", code)
		}
	})
}

// A large message is taken, the messages of a plugin stay within their bounds, and the stream
// ends after the last result when the host has ended its side of it.
func TestMessages(t *testing.T) {
	each(t, func(t *testing.T, p plugin) {
		b := p.startBare(t)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if _, err := b.Configure(ctx, &handlerpb.ConfigureRequest{}); err != nil {
			t.Fatal(err)
		}
		stream, err := b.Run(ctx)
		if err != nil {
			t.Fatal(err)
		}
		const tasks = 200
		batch := &handlerpb.ToPlugin{Cancels: []*handlerpb.Cancel{{Run: firstRun, Reason: handlerpb.CancelReason_CANCEL_REASON_TASK_CANCELLED}}}
		batch.Tasks = append(batch.Tasks, &handlerpb.Task{Run: firstRun, Payload: []byte(`{"sleep": "1h"}`)})
		for i := range tasks {
			payload := make([]byte, 60<<10) // together more than a plugin may send in one message
			if i%2 == 0 {
				payload = fmt.Appendf(nil, `{"fail": %q, "sleep": "50ms"}`, strings.Repeat("é", handlerpb.MaxError))
			}
			batch.Tasks = append(batch.Tasks, &handlerpb.Task{Run: int64(firstRun + 1 + i), Payload: payload})
		}
		if err := errors.Join(stream.Send(batch), stream.CloseSend()); err != nil {
			t.Fatal(err)
		}
		outcomes := map[int64]handlerpb.Outcome{}
		for {
			message, err := stream.Recv()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if size := proto.Size(message); len(message.Results) > handlerpb.MaxBatchItems || size > handlerpb.MaxBatch+handlerpb.MaxResult {
				t.Errorf("a message of %d results, %d bytes", len(message.Results), size)
			}
			for _, r := range message.Results {
				if _, twice := outcomes[r.Run]; twice {
					t.Errorf("a second result of run %d", r.Run)
				}
				outcomes[r.Run] = r.Outcome
			}
		}
		if len(outcomes) != tasks+1 || outcomes[firstRun] != handlerpb.Outcome_OUTCOME_FAILED {
			t.Errorf("%d results of %d; of the cancelled one %s", len(outcomes), tasks+1, outcomes[firstRun])
		}
	})
}

// Without the cookie it says what it is, and does not wait for a host.
func TestStartedByHand(t *testing.T) {
	each(t, func(t *testing.T, p plugin) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, p.path)
		for name, value := range p.env {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		if out, err := cmd.CombinedOutput(); ctx.Err() != nil || len(out) == 0 {
			t.Errorf("%v: %s", err, out)
		}
	})
}
