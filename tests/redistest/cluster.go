package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// failover is how long a master may not answer before another server takes its place.
const failover = 2 * time.Second

// WithCluster makes a server a node of a cluster, alone and without slots, on a port whose
// neighbour 10,000 above, where nodes talk, is free too.
func WithCluster() Option {
	return func(s *Server) {
		s.port = clusterPort(s.tb)
		s.args = append(s.args, "--cluster-enabled", "yes", "--cluster-node-timeout", fmt.Sprint(failover.Milliseconds()))
	}
}

// Cluster is six servers, three masters with a replica each.
type Cluster struct {
	Nodes []*Server
	tb    testing.TB
}

// StartCluster runs a cluster and stops it when the test ends.
func StartCluster(tb testing.TB, opts ...Option) *Cluster {
	tb.Helper()
	c := &Cluster{tb: tb}
	for range 6 {
		c.Nodes = append(c.Nodes, Start(tb, append(opts, WithCluster())...))
	}
	ctx := context.Background()
	var ids []string
	for i, n := range c.Nodes {
		must(tb, c.each(n, func(rdb *redis.Client) error {
			ids = append(ids, rdb.ClusterMyID(ctx).Val())
			if i > 0 {
				return rdb.ClusterMeet(ctx, "127.0.0.1", fmt.Sprint(c.Nodes[0].port)).Err()
			}
			return nil
		}))
	}
	for i, n := range c.Nodes {
		c.wait("the nodes know each other", func() bool { return c.info(n, "cluster_known_nodes:6") })
		must(tb, c.each(n, func(rdb *redis.Client) error {
			if i < 3 {
				return rdb.ClusterAddSlotsRange(ctx, i*5462, min(i*5462+5461, 16383)).Err()
			}
			return nil
		}))
	}
	for i, n := range c.Nodes[3:] {
		c.wait("a replica is taken", func() bool {
			return c.each(n, func(rdb *redis.Client) error { return rdb.ClusterReplicate(ctx, ids[i]).Err() }) == nil
		})
	}
	for _, n := range c.Nodes {
		c.wait("the cluster is up", func() bool { return c.info(n, "cluster_state:ok") })
	}
	for _, n := range c.Nodes[3:] {
		waitReplica(tb, n)
	}
	return c
}

// Addrs are the addresses of all nodes.
func (c *Cluster) Addrs() []string { return addrs(c.Nodes) }

// Master is the node that serves a key.
func (c *Cluster) Master(key string) *Server {
	c.tb.Helper()
	ctx := context.Background()
	for _, n := range c.Nodes {
		if n.cmd == nil {
			continue
		}
		rdb := n.Client()
		defer rdb.Close()
		slot := rdb.ClusterKeySlot(ctx, key).Val()
		//lint:ignore SA1019 CLUSTER SHARDS came with Redis 7; 6.2 serves too
		for _, s := range rdb.ClusterSlots(ctx).Val() {
			if int64(s.Start) <= slot && slot <= int64(s.End) {
				for _, m := range c.Nodes {
					if m.Addr() == s.Nodes[0].Addr {
						return m
					}
				}
			}
		}
	}
	c.tb.Fatalf("no node serves key %q", key)
	return nil
}

func (c *Cluster) each(n *Server, f func(rdb *redis.Client) error) error {
	rdb := n.Client()
	defer rdb.Close()
	return f(rdb)
}

func (c *Cluster) info(n *Server, want string) bool {
	rdb := n.Client()
	defer rdb.Close()
	return strings.Contains(rdb.ClusterInfo(context.Background()).Val(), want)
}

func (c *Cluster) wait(what string, cond func() bool) {
	c.tb.Helper()
	wait(c.tb, what, cond)
}

// Watched is a master with two replicas, and the three sentinels that watch them.
type Watched struct {
	Name      string // that the sentinels have for the master
	Servers   []*Server
	Sentinels []*Server
	tb        testing.TB
}

// StartWatched runs them and stops them when the test ends.
func StartWatched(tb testing.TB, opts ...Option) *Watched {
	tb.Helper()
	w := &Watched{Name: "tested", tb: tb}
	for i := range 3 {
		with := append(opts[:len(opts):len(opts)], WithPort())
		if i > 0 {
			with = append(with, WithArgs("--replicaof", "127.0.0.1", fmt.Sprint(w.Servers[0].port)))
		}
		w.Servers = append(w.Servers, Start(tb, with...))
	}
	for _, s := range w.Servers[1:] {
		waitReplica(tb, s)
	}
	for range 3 {
		w.Sentinels = append(w.Sentinels, Start(tb, WithPort(), withSentinel(w.Name, w.Servers[0].port)))
	}
	for _, s := range w.Sentinels {
		rdb := redis.NewSentinelClient(&redis.Options{Addr: s.Addr()})
		defer rdb.Close()
		wait(tb, "the sentinels know each other and the replicas", func() bool {
			info, err := rdb.Master(context.Background(), w.Name).Result()
			return err == nil && info["num-other-sentinels"] == "2" && info["num-slaves"] == "2"
		})
	}
	return w
}

func withSentinel(name string, port int) Option {
	return func(s *Server) {
		s.conf = filepath.Join(s.dir, "sentinel.conf")
		must(s.tb, os.WriteFile(s.conf, fmt.Appendf(nil, `port %d
bind 127.0.0.1
unixsocket %s
dir %s
logfile %s/log
sentinel monitor %s 127.0.0.1 %d 2
sentinel down-after-milliseconds %s %d
sentinel failover-timeout %s 5000
`, s.port, s.socket, s.dir, s.dir, name, port, name, failover.Milliseconds(), name), 0o600))
	}
}

// Addrs are the addresses of the sentinels.
func (w *Watched) Addrs() []string { return addrs(w.Sentinels) }

// Master is the server that the sentinels have as master.
func (w *Watched) Master() *Server {
	w.tb.Helper()
	rdb := redis.NewSentinelClient(&redis.Options{Addr: w.Sentinels[0].Addr()})
	defer rdb.Close()
	at, err := rdb.GetMasterAddrByName(context.Background(), w.Name).Result()
	must(w.tb, err)
	for _, s := range w.Servers {
		if s.Addr() == net.JoinHostPort(at[0], at[1]) {
			return s
		}
	}
	w.tb.Fatalf("the master is at %v, which is none of the test's servers", at)
	return nil
}

func addrs(list []*Server) []string {
	var out []string
	for _, s := range list {
		out = append(out, s.Addr())
	}
	return out
}

func waitReplica(tb testing.TB, s *Server) {
	tb.Helper()
	rdb := s.Client()
	defer rdb.Close()
	wait(tb, "a replica has its master's data", func() bool {
		return strings.Contains(rdb.Info(context.Background(), "replication").Val(), "master_link_status:up")
	})
}

func wait(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(30 * time.Second); !cond(); {
		if time.Now().After(deadline) {
			tb.Fatalf("not within 30s: %s", what)
		}
		time.Sleep(5 * time.Millisecond) // between two looks at another process
	}
}

// clusterPort is free, and so is the one 10,000 above it.
func clusterPort(tb testing.TB) int {
	tb.Helper()
	for port := 21000 + time.Now().Nanosecond()%9000; port < 32000; port++ {
		var ls []net.Listener
		for _, p := range []int{port, port + 10_000} {
			if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p)); err == nil {
				ls = append(ls, l)
			}
		}
		for _, l := range ls {
			l.Close()
		}
		if len(ls) == 2 {
			return port
		}
	}
	tb.Fatal("no two ports are free")
	return 0
}
