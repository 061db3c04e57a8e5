//go:build !linux

package scheduler

import (
	"context"
	"net"
)

type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

// promptly does nothing: a socket cannot be looked at here without waiting for it.
func promptly(dial dialer) dialer { return dial }
