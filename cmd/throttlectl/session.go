package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/throttlerd/throttlerd/runtime/config"
	"github.com/throttlerd/throttlerd/scheduler"
)

// silence keeps the connection pool from writing to stderr: what goes wrong is
// reported once, by report.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

func init() { redis.SetLogger(silence{}) }

// session is a command's connection, and the time it has.
type session struct {
	*scheduler.Client
	rdb    redis.UniversalClient
	a      *app
	ctx    context.Context
	cancel context.CancelFunc
}

// connected runs f with a Redis that answers.
func (a *app) connected(f func(s *session) error) error {
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	return a.dialed(cfg, func(s *session) error {
		if err := s.wait(cfg.Redis.Where()); err != nil {
			return err
		}
		if err := f(s); err != nil {
			if expired(s.ctx, err) {
				return &timeoutError{a.timeout, err}
			}
			return a.declaredOnly(cfg, err)
		}
		return nil
	})
}

// declaredOnly says of an unknown queue that the file has it.
func (a *app) declaredOnly(cfg *config.Config, err error) error {
	var unknown *scheduler.NotFoundError
	if !errors.As(err, &unknown) || unknown.Kind != "queue" || !slices.ContainsFunc(cfg.Queues, func(q config.Queue) bool { return q.Name == unknown.Name }) {
		return err
	}
	file, _ := config.Path(a.configPath, nil)
	return &explainedError{fmt.Sprintf("%v; %s declares it: a worker that runs with it makes it when it starts", err, file), err}
}

// dialed runs f with a Redis that may not answer.
func (a *app) dialed(cfg *config.Config, f func(s *session) error) error {
	rdb, err := scheduler.Dial(redisOptions(cfg.Redis))
	if err != nil {
		return &payloadError{err} // the address has been checked: it is a file of the tls block
	}
	defer rdb.Close()
	client, err := scheduler.New(rdb, scheduler.Options{Namespace: cfg.Namespace, MaxPayload: cfg.MaxPayload})
	if err != nil {
		return err
	}
	s := &session{Client: client, rdb: rdb, a: a, cancel: func() {}}
	s.restart()
	defer func() { s.cancel() }()
	return f(s)
}

// restart gives the command its time anew: while a person thinks, it does not pass.
func (s *session) restart() {
	s.cancel()
	s.ctx, s.cancel = context.WithTimeout(context.Background(), s.a.timeout)
}

// wait returns once Redis answers. A person is told after a second what it waits for.
func (s *session) wait(url string) error {
	limit := min(s.a.timeout, maxWait)
	ctx, cancel := context.WithTimeout(s.ctx, limit)
	defer cancel()
	told := make(chan struct{})
	tell := time.AfterFunc(time.Second, func() {
		defer close(told)
		if !s.a.json && limit > time.Second {
			s.a.note("Note: waiting up to %s for Redis at %s", span(limit), url)
		}
	})
	err := s.WaitReady(ctx)
	if !tell.Stop() {
		<-told
	}
	var away *scheduler.UnreachableError
	switch {
	case err == nil:
		return nil
	case scheduler.IsLoading(err):
		return &explainedError{fmt.Sprintf("Redis at %s answers, but is not ready after %s: %s", url, span(limit), cause(err)), err}
	case errors.As(err, &away):
		return &explainedError{fmt.Sprintf("Redis at %s is not reachable (tried for %s): %s; start it, or name another one with --redis-url, THROTTLE_REDIS_URL or the configuration file",
			url, span(limit), cause(err)), err}
	case strings.HasPrefix(err.Error(), "NOAUTH"), strings.HasPrefix(err.Error(), "WRONGPASS"):
		return fmt.Errorf("redis at %s: %w; user and password go into THROTTLE_REDIS_URL, THROTTLE_REDIS_USERNAME and THROTTLE_REDIS_PASSWORD, or the configuration file", url, err)
	}
	return fmt.Errorf("redis at %s: %w", url, err)
}
