package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Server is what one Redis says of itself; fields are empty where it does not say.
type Server struct {
	Addr       string // of a node of a cluster; else empty
	Version    string // of a Valkey the one that it is compatible with
	Role       string // "master" or "slave"
	AppendOnly string // "1" or "0"
	Policy     string // maxmemory-policy
	MaxMemory  int64  // bytes; 0 is no bound
	Memory     int64  // bytes in use
	Silent     error  // why it says nothing: INFO is refused, or a node of a cluster does not answer (*UnreachableError)
}

// Servers asks the server, or each master of a cluster, what it is. One that does not tell
// (no right to INFO, not a Redis proper, a node that is away) has the reason in Silent; where
// none answers, the error is an *UnreachableError.
func (c *Client) Servers(ctx context.Context) ([]Server, error) {
	cluster, ok := c.rdb.(*redis.ClusterClient)
	if !ok {
		s, err := describeServer(ctx, c.rdb)
		return []Server{s}, err
	}
	masters, err := mastersOf(ctx, cluster)
	if err != nil {
		return nil, redisError(err)
	}
	ctx, cancel := briefly(ctx)
	defer cancel()
	out := make([]Server, len(masters))
	var asking sync.WaitGroup
	for i, node := range masters {
		asking.Go(func() {
			s, err := describeServer(ctx, node)
			if err != nil {
				s.Silent = err
			}
			s.Addr = node.Options().Addr
			out[i] = s
		})
	}
	asking.Wait()
	var away *UnreachableError
	if len(out) > 0 && !slices.ContainsFunc(out, func(s Server) bool { return !errors.As(s.Silent, &away) }) {
		return nil, out[0].Silent
	}
	slices.SortFunc(out, func(a, b Server) int { return strings.Compare(a.Addr, b.Addr) })
	return out, nil
}

// mastersOf finds the masters of a cluster. The node that is asked for them, any one, may be
// the one that is away: then they are those that were known before.
func mastersOf(ctx context.Context, cluster *redis.ClusterClient) (out []*redis.Client, err error) {
	ctx, cancel := briefly(ctx)
	defer cancel()
	var mu sync.Mutex
	err = cluster.ForEachMaster(ctx, func(_ context.Context, node *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		out = append(out, node)
		return nil
	})
	return out, err
}

// briefly leaves nodes that do not answer 2 s, and at most half of the time that there is.
func briefly(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := 2 * time.Second
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline)/2)
	}
	return context.WithTimeout(ctx, limit)
}

func describeServer(ctx context.Context, rdb redis.Cmdable) (Server, error) {
	info, err := rdb.Info(ctx).Result() // with several sections Redis takes it from 7 on
	if err != nil {
		if redisError(err) != err {
			return Server{}, redisError(err)
		}
		return Server{Silent: err}, nil
	}
	return Server{
		Version: infoField(info, "redis_version"), Role: infoField(info, "role"), AppendOnly: infoField(info, "aof_enabled"),
		Policy: infoField(info, "maxmemory_policy"), MaxMemory: number(infoField(info, "maxmemory")), Memory: number(infoField(info, "used_memory")),
	}, nil
}

func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// Warnings tells what in the server's settings endangers acknowledged tasks. What
// cannot be read (no right to, or not a Redis proper) is said to be unknown.
func (c *Client) Warnings(ctx context.Context) ([]string, error) {
	servers, err := c.Servers(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, s := range servers {
		for _, w := range s.warnings() {
			if !slices.Contains(out, w) {
				out = append(out, w)
			}
		}
	}
	return out, nil
}

func (s Server) warnings() (out []string) {
	var away *UnreachableError
	switch {
	case errors.As(s.Silent, &away):
		return []string{"persistence of Redis is unknown: its node " + s.Addr + " does not answer"}
	case s.Silent != nil:
		return []string{"persistence of Redis is unknown: INFO is refused"}
	case s.AppendOnly == "0":
		out = append(out, "Redis keeps no append-only file: a crash of it loses acknowledged tasks; set appendonly yes")
	case s.AppendOnly == "":
		out = append(out, "persistence of Redis is unknown")
	}
	if s.Policy != "" && s.Policy != "noeviction" {
		out = append(out, fmt.Sprintf("Redis may evict tasks (maxmemory-policy %s): set it to noeviction", s.Policy))
	}
	return out
}

// Clock is how far Redis is away.
type Clock struct {
	Ahead   time.Duration // of this machine's clock; behind it where negative; by half of Latency not exact
	Latency time.Duration // of a call, the median of a few
}

// Clock asks Redis for the time, a few times. Where it is wrong, so are instants that
// people read; limits know the clock of Redis alone.
func (c *Client) Clock(ctx context.Context) (Clock, error) {
	var rdb redis.Cmdable = c.rdb
	if cluster, ok := c.rdb.(*redis.ClusterClient); ok {
		node, err := cluster.MasterForKey(ctx, c.keys.clock())
		if err != nil {
			return Clock{}, fmt.Errorf("ask the time: %w", redisError(err))
		}
		rdb = node
	}
	const times = 5
	var took []time.Duration
	var best Clock
	for range times {
		asked := time.Now()
		now, err := rdb.Time(ctx).Result()
		if err != nil {
			return Clock{}, fmt.Errorf("ask the time: %w", redisError(err))
		}
		d := time.Since(asked)
		if len(took) == 0 || d < slices.Min(took) {
			best.Ahead = now.Sub(asked.Add(d / 2))
		}
		took = append(took, d)
	}
	slices.Sort(took)
	best.Latency = took[times/2]
	return best, nil
}
