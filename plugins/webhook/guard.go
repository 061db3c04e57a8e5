package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
)

// guard refuses connections to addresses that are not public: a URL, or the DNS behind
// one, must not reach what only this machine can. It looks at the address that is
// dialled, after resolution, so that an answer which changes in between gets nowhere.
type guard struct {
	allowed []netip.Prefix
}

// special are the blocks of the IANA registries of special-purpose addresses (RFC 6890)
// that are not globally reachable, and those that stand for IPv4 addresses of which a
// router of the network, not this machine, sees to what they reach.
var special = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "this network, RFC 791"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private, RFC 1918"},
	{netip.MustParsePrefix("100.64.0.0/10"), "shared, RFC 6598"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback, RFC 1122"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local, RFC 3927"},
	{netip.MustParsePrefix("168.63.129.16/32"), "the host of an Azure machine"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private, RFC 1918"},
	{netip.MustParsePrefix("192.0.0.0/24"), "protocol assignments, RFC 6890"},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation, RFC 5737"},
	{netip.MustParsePrefix("192.88.99.0/24"), "6to4 relay, RFC 7526"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private, RFC 1918"},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmarking, RFC 2544"},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation, RFC 5737"},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation, RFC 5737"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast, RFC 5771"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved, RFC 1112"},

	{netip.MustParsePrefix("::/96"), "unspecified, loopback and IPv4-compatible, RFC 4291"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "local NAT64, RFC 8215"},
	{netip.MustParsePrefix("100::/64"), "discard-only, RFC 6666"},
	{netip.MustParsePrefix("100:0:0:1::/64"), "dummy, RFC 9780"},
	{netip.MustParsePrefix("2001::/23"), "protocol assignments with Teredo, RFC 2928"},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation, RFC 3849"},
	{netip.MustParsePrefix("2002::/16"), "6to4, RFC 3056"},
	{netip.MustParsePrefix("3fff::/20"), "documentation, RFC 9637"},
	{netip.MustParsePrefix("5f00::/16"), "segment routing, RFC 9602"},
	{netip.MustParsePrefix("fc00::/7"), "unique-local, RFC 4193"},
	{netip.MustParsePrefix("fe80::/10"), "link-local, RFC 4291"},
	{netip.MustParsePrefix("fec0::/10"), "site-local, RFC 3879"},
	{netip.MustParsePrefix("ff00::/8"), "multicast, RFC 4291"},
}

// global are the addresses of IPv6 that are given out.
var global = netip.MustParsePrefix("2000::/3")

// nat64 holds an IPv4 address in its last four bytes.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// refusedError is an address that must not be delivered to.
type refusedError struct {
	addr netip.Addr
	what string
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("%s is not public (%s); allow_cidrs would have to name its network", e.addr, e.what)
}

// dial connects to the first address of a name that is public and answers. Its error is a
// *refusedError if none is public.
func (g guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	public := atomic.Bool{}
	dialer := net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err == nil {
			err = g.check(at.Addr())
		}
		if err == nil {
			public.Store(true)
		}
		return err
	}}
	conn, err := dialer.DialContext(ctx, network, address)
	if _, refused := errors.AsType[*refusedError](err); refused && public.Load() {
		return nil, fmt.Errorf("dial %s: none of its public addresses can be reached", address)
	}
	return conn, err
}

func (g guard) check(addr netip.Addr) error {
	plain := addr.WithZone("").Unmap()
	if nat64.Contains(plain) {
		b := plain.As16()
		plain = netip.AddrFrom4([4]byte(b[12:]))
	}
	if slices.ContainsFunc(g.allowed, func(p netip.Prefix) bool { return p.Contains(plain) }) {
		return nil
	}
	for _, s := range special {
		if s.prefix.Contains(plain) {
			return &refusedError{addr, s.what}
		}
	}
	if plain.Is6() && !global.Contains(plain) {
		return &refusedError{addr, "not global unicast, RFC 4291"}
	}
	return nil
}
