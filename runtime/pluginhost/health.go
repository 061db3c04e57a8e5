package pluginhost

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// Variables for the tests alone.
var (
	healthInterval = 5 * time.Second
	healthTimeout  = 10 * time.Second
)

// watchHealth asks the plugin now and then whether it serves and kills one that
// does not answer: a stopped process, or one that is stuck altogether. It does
// not use the keepalive of gRPC, which servers of other languages punish.
func (p *Process) watchHealth() {
	ticker := time.NewTicker(healthInterval)
	defer ticker.Stop()
	health := grpc_health_v1.NewHealthClient(p.conn)
	for {
		select {
		case <-p.closing:
			return
		case <-ticker.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
		_, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: plugin.GRPCServiceName})
		cancel()
		if status.Code(err) == codes.DeadlineExceeded {
			p.fail(fmt.Errorf("it has not answered for %s", healthTimeout))
			return
		}
	}
}
