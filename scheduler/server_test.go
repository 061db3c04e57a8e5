package scheduler

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/throttlerd/throttlerd/tests/redistest"
)

// What a server says of itself, and what Warnings makes of it.
func TestServers(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, s := range []struct {
		name string
		opts []redistest.Option
		user string
		want Server
		warn []string
	}{
		{"by default", nil, "", Server{Role: "master", AppendOnly: "0", Policy: "noeviction"}, []string{"keeps no append-only file"}},
		{"well set up", []redistest.Option{redistest.WithAOF()}, "", Server{Role: "master", AppendOnly: "1", Policy: "noeviction"}, nil},
		{"may evict", []redistest.Option{redistest.WithAOF(), redistest.WithArgs("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")}, "",
			Server{Role: "master", AppendOnly: "1", Policy: "allkeys-lru", MaxMemory: 100 << 20}, []string{"may evict tasks (maxmemory-policy allkeys-lru)"}},
		{"may not be asked", []redistest.Option{redistest.WithUser("u", "on", "nopass", "~*", "+@all", "-info")}, "u", Server{}, []string{"INFO is refused"}},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			o := &redis.Options{Network: "unix", Addr: redistest.Start(t, s.opts...).Socket(), Username: s.user, MaxRetries: -1, DisableIdentity: true}
			if s.user != "" {
				o.Password = "any"
			}
			rdb := redis.NewClient(o)
			t.Cleanup(func() { rdb.Close() })
			c, err := New(rdb, Options{})
			if err != nil {
				t.Fatal(err)
			}
			list, err := c.Servers(ctx)
			if err != nil || len(list) != 1 {
				t.Fatal(list, err)
			}
			got := list[0]
			if (got.Silent != nil) != (s.user != "") || (got.Version == "") != (s.user != "") || (got.Memory == 0) != (s.user != "") {
				t.Errorf("%+v", got)
			}
			got.Silent, got.Version, got.Memory = nil, "", 0
			if got != s.want {
				t.Errorf("%+v, want %+v", got, s.want)
			}
			warnings, err := c.Warnings(ctx)
			if err != nil || len(warnings) != len(s.warn) || len(warnings) == 1 && !strings.Contains(warnings[0], s.warn[0]) {
				t.Errorf("%q %v", warnings, err)
			}
		})
	}
}

// One node of a cluster that is away, or tells nothing, does not hide the others.
func TestServersOfACluster(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	nodes := redistest.StartCluster(t, redistest.WithAOF())
	rdb, err := Dial(RedisOptions{Cluster: nodes.Addrs()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rdb.Close() })
	var asked muteOnSlots
	rdb.(*redis.ClusterClient).OnNewNode(func(node *redis.Client) { node.AddHook(&asked) })
	c, err := New(rdb, Options{})
	if err != nil {
		t.Fatal(err)
	}
	looks := func(says string) []Server {
		t.Helper()
		list, err := c.Servers(ctx)
		if err != nil || len(list) != 3 {
			t.Fatal(list, err)
		}
		warnings, err := c.Warnings(ctx)
		if err != nil || (says == "") != (len(warnings) == 0) || says != "" && !strings.Contains(warnings[0], says) {
			t.Errorf("%q %v, want %q", warnings, err, says)
		}
		return list
	}
	silent := func(list []Server, addr string) {
		t.Helper()
		for _, s := range list {
			if (s.Silent != nil) != (s.Addr == addr) || s.Silent == nil && s.AppendOnly != "1" {
				t.Errorf("%+v", s)
			}
		}
	}
	silent(looks(""), "")

	mute := nodes.Nodes[0]
	other := redis.NewClient(&redis.Options{Addr: mute.Addr()})
	defer other.Close()
	if err := other.ACLSetUser(ctx, "default", "-info").Err(); err != nil {
		t.Fatal(err)
	}
	silent(looks("INFO is refused"), mute.Addr())
	if err := other.ACLSetUser(ctx, "default", "+info").Err(); err != nil {
		t.Fatal(err)
	}

	away := nodes.Nodes[1]
	away.Stop()
	defer away.Continue()
	for _, is := range []bool{false, true} {
		asked.mute.Store(is)
		brief, cancel := context.WithTimeout(ctx, 4*time.Second)
		list, err := c.Servers(brief)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		silent(list, away.Addr())
	}
}

// muteOnSlots has nodes not answer, while mute, when they are asked for the masters.
type muteOnSlots struct{ mute atomic.Bool }

func (h *muteOnSlots) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *muteOnSlots) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h *muteOnSlots) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if h.mute.Load() && cmd.Name() == "cluster" {
			<-ctx.Done()
			cmd.SetErr(ctx.Err())
			return ctx.Err()
		}
		return next(ctx, cmd)
	}
}

func TestClockOfRedis(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		clock, err := c.Clock(context.Background())
		if err != nil || clock.Ahead.Abs() > time.Second || clock.Latency <= 0 || clock.Latency > time.Second {
			t.Errorf("%+v %v", clock, err)
		}
	})
}

func TestFirstQueuesAndLimits(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Client) {
		ctx := context.Background()
		var names []string
		for i := range queuePage + 5 {
			name := fmt.Sprintf("q%03d", i)
			newQueue(t, c, name, "")
			newLimit(t, c, name, "1/1s", 0)
			names = append(names, name)
		}
		for _, most := range []int{0, 1, queuePage - 1, queuePage, queuePage + 1, queuePage + 5, 1 << 20} {
			queues, moreQueues, err := c.QueuesUpTo(ctx, most)
			if err != nil {
				t.Fatal(err)
			}
			limits, moreLimits, err := c.LimitsUpTo(ctx, most)
			if err != nil {
				t.Fatal(err)
			}
			n := min(most, len(names))
			if len(queues) != n || len(limits) != n || n > 0 && (queues[n-1].Name != names[n-1] || limits[n-1].Name != names[n-1]) {
				t.Errorf("the first %d: %d queues, %d limits", most, len(queues), len(limits))
			}
			if more := most < len(names); moreQueues != more || moreLimits != more {
				t.Errorf("the first %d: more %v, %v", most, moreQueues, moreLimits)
			}
		}
		asked := append(slices.Clone(names), "nosuch")
		queues, err := c.QueuesByName(ctx, asked...)
		if err != nil || len(queues) != len(names) {
			t.Errorf("%d queues, %v", len(queues), err)
		}
		limits, err := c.LimitsByName(ctx, asked...)
		if err != nil || len(limits) != len(names) {
			t.Errorf("%d limits, %v", len(limits), err)
		}
	})
}
