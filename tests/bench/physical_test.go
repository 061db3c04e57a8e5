//go:build bench

package bench

import (
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
	"github.com/throttlerd/throttlerd/tests/redistest"
)

// TestPhysicalLimits measures what this machine gives to anything that is built of scripts
// in Redis and a process that answers.
func TestPhysicalLimits(t *testing.T) {
	for _, ahead := range []int{1, 32} {
		note(fmt.Sprintf("redis-benchmark -c 64 -P %d: EVALSHA of a script that does nothing", ahead), "%s", redisBenchmark(t, ahead))
	}
	note("the same by 64 goroutines of go-redis, one call a round trip", "%.0f/s", peer(t, "evalsha", 200_000, 64).PerSecond)
	note("one byte there and back over a unix socket", "%.0f/s", peer(t, "pingpong").PerSecond)
	one := startStream(t).exchange(t, 20_000, 1, 1)
	note("one task there and back over a bare gRPC stream to a process, mutual TLS", "%.0f/s", one.perSecond)
	many := startStream(t).exchange(t, 64*10_000, 64, 4)
	note("the same, 64 tasks a message, 4 messages under way; CPU a task on both ends", "%.0f/s; %.1f, %.1f µs", many.perSecond, many.here, many.there)
}

// redisBenchmark is what Redis' own program measures, where it is found.
func redisBenchmark(t *testing.T, ahead int) string {
	t.Helper()
	program, err := exec.LookPath("redis-benchmark")
	if err != nil {
		return "not measured, there is no redis-benchmark on PATH"
	}
	srv := redistest.Start(t)
	rdb := srv.Client()
	defer rdb.Close()
	sha, err := rdb.ScriptLoad(context.Background(), "return 1").Result()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(program, "-s", srv.Socket(), "-n", "400000", "-c", "64", "-P", fmt.Sprint(ahead), "--csv", "EVALSHA", sha, "0").Output()
	if err != nil {
		t.Fatalf("redis-benchmark: %v", err)
	}
	rows, err := csv.NewReader(strings.NewReader(string(out))).ReadAll() // a header; name, calls a second, ...
	if err != nil || len(rows) != 2 || len(rows[1]) < 2 {
		t.Fatalf("redis-benchmark: %v\n%s", err, out)
	}
	rps, err := strconv.ParseFloat(rows[1][1], 64)
	if err != nil {
		t.Fatalf("redis-benchmark: %v", err)
	}
	return fmt.Sprintf("%.0f/s", rps)
}

// bareStream makes this program the other end of a stream that does nothing but answer: a
// go-plugin process as handlers are, with the messages of their protocol.
const bareStream = "THROTTLE_BENCH_STREAM"

var bareHandshake = plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: bareStream, MagicCookieValue: "1"}

func serveStream() {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: bareHandshake, Plugins: plugin.PluginSet{"bare": barePlugin{}}, GRPCServer: plugin.DefaultGRPCServer,
		Logger: hclog.NewNullLogger(),
	})
}

type barePlugin struct {
	plugin.NetRPCUnsupportedPlugin
	handlerpb.UnimplementedHandlerServer
}

func (p barePlugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	handlerpb.RegisterHandlerServer(s, p)
	return nil
}

func (barePlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return handlerpb.NewHandlerClient(c), nil
}

// Run says of each task that it is done.
func (barePlugin) Run(stream grpc.BidiStreamingServer[handlerpb.ToPlugin, handlerpb.FromPlugin]) error {
	for {
		in, err := stream.Recv()
		if err != nil {
			return err
		}
		out := &handlerpb.FromPlugin{}
		for _, task := range in.Tasks {
			out.Results = append(out.Results, &handlerpb.Result{Run: task.Run, Outcome: handlerpb.Outcome_OUTCOME_DONE})
		}
		if err := stream.Send(out); err != nil {
			return err
		}
	}
}

// stream is open to a process that answers.
type stream struct {
	grpc.BidiStreamingClient[handlerpb.ToPlugin, handlerpb.FromPlugin]
	pid int
}

func startStream(t *testing.T) stream {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: bareHandshake, Plugins: plugin.PluginSet{"bare": barePlugin{}}, Cmd: cmd,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC}, AutoMTLS: true, Logger: hclog.NewNullLogger(),
	})
	t.Cleanup(client.Kill)
	conn, err := client.Client()
	if err != nil {
		t.Fatal(err)
	}
	handler, err := conn.Dispense("bare")
	if err != nil {
		t.Fatal(err)
	}
	s, err := handler.(handlerpb.HandlerClient).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stream{s, cmd.Process.Pid}
}

// exchanged is what a number of tasks took, there and back.
type exchanged struct {
	perSecond   float64
	here, there float64 // µs of CPU a task
}

// exchange sends n tasks, some in a message and some messages ahead of the answers.
func (s stream) exchange(t *testing.T, n, batch, ahead int) exchanged {
	t.Helper()
	message := &handlerpb.ToPlugin{}
	for i := range batch {
		message.Tasks = append(message.Tasks, &handlerpb.Task{
			Id: "0000000000000-1", Queue: "q", Attempt: 1, MaxAttempts: 5, Run: int64(i), Payload: make([]byte, payloadSize),
			SubmittedUs: time.Now().UnixMicro(), GrantedUs: time.Now().UnixMicro(), TimeoutUs: time.Minute.Microseconds(),
		})
	}
	here, there, start := cpu(t, os.Getpid()), cpu(t, s.pid), time.Now()
	for sent, got := 0, 0; got < n/batch; got++ {
		for ; sent < min(n/batch, got+ahead); sent++ {
			if err := s.Send(message); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(start)
	each := func(used time.Duration) float64 { return float64(used.Microseconds()) / float64(n) }
	return exchanged{float64(n) / took.Seconds(), each(cpu(t, os.Getpid()) - here), each(cpu(t, s.pid) - there)}
}
