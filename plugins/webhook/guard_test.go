package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/pluginapi/plugintest"
)

// refusedHosts must not be delivered to, however they are spelled.
var refusedHosts = []string{
	// IPv4
	"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.1.2.3",
	"169.254.169.254", "169.254.0.1", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.170", "192.0.2.1", "192.88.99.1",
	"192.168.0.1", "192.168.255.255", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1",
	"239.255.255.255", "240.0.0.1", "255.255.255.255",
	// IPv6
	"[::]", "[::1]", "[::7f00:1]", "[64:ff9b:1::1]", "[100::1]", "[100:0:0:1::1]", "[2001::1]", "[2001:0:53aa:64c::1]", "[2001:10::1]",
	"[2001:db8::1]", "[3fff::1]", "[5f00::1]", "[fc00::1]", "[fd12:3456::1]", "[fe80::1]", "[fe80::1%25lo]", "[fec0::1]",
	"[ff02::1]", "[ff05::2]",
	// IPv4 within IPv6: mapped, NAT64, 6to4
	"[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[::ffff:a9fe:a9fe]", "[0:0:0:0:0:ffff:c0a8:0001]", "[64:ff9b::127.0.0.1]",
	"[64:ff9b::10.1.2.3]", "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::1]", "[2002:a00:1::]",
	// numbers that some resolvers take for addresses
	"2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "017700000001", "127.0.0.1.", "10.1", "0xA.0.0.1", "192.168.257",
}

func TestRefusedHosts(t *testing.T) {
	if len(refusedHosts) < 60 {
		t.Fatalf("%d hosts", len(refusedHosts))
	}
	config := map[string]any{"url": "https://hooks.example.com/", "allow_override": []string{"url"}}
	for _, host := range refusedHosts {
		r := plugintest.Run(t, &webhook{}, config, pluginapi.Task{Headers: map[string]string{"webhook-url": "http://" + host + "/"}})
		if r.Outcome != pluginapi.FailedForGood || !strings.Contains(r.Err, "is not public") && !strings.Contains(r.Err, "in disguise") {
			t.Errorf("%s: %s: %s", host, r.Outcome, r.Err)
		}
	}
}

func TestAllowedAddresses(t *testing.T) {
	private := guard{allowed: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::/8")}}
	for addr, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "172.32.0.1": true, "100.128.0.1": true, "2606:4700::1111": true, "2a00:1450::1": true,
		"64:ff9b::8.8.8.8": true, "10.1.2.3": true, "::ffff:10.1.2.3": true, "64:ff9b::10.1.2.3": true, "fd00::7": true,
		"4000::1": false, "1::1": false, "fe00::1": false, "::ffff:0:7f00:1": false, "168.63.129.16": false, "10.2.0.1": false, "127.0.0.1": false, "fc00::1": false,
	} {
		err := private.check(netip.MustParseAddr(addr))
		if (err == nil) != want {
			t.Errorf("%s: %v", addr, err)
		}
		if _, refused := errors.AsType[*refusedError](err); !want && !refused {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

// Names that lead to this machine lead nowhere, also when the answer is another each time.
func TestNamesThatTurn(t *testing.T) {
	reached := atomic.Bool{}
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	asked := dnsServer(t, []net.IP{net.IPv4(192, 0, 2, 1)}, []net.IP{net.IPv4(127, 0, 0, 1)})

	w := &webhook{}
	c, err := pluginapi.NewConfig([]byte(`{"url": "http://turning.test.:` + port + `/"}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Configure(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for range 6 {
		r := pluginapi.Execute(t.Context(), w, &pluginapi.Task{}, nil)
		if r.Outcome != pluginapi.FailedForGood || !strings.Contains(r.Err, "is not public") {
			t.Errorf("%s: %s", r.Outcome, r.Err)
		}
	}
	if reached.Load() || asked.Load() < 6 {
		t.Errorf("reached %v after %d look-ups", reached.Load(), asked.Load())
	}
}

// A name with an address that is refused and one that only does not answer may answer
// later.
func TestNameWithOneRefusedAddress(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	listener.Close()
	dnsServer(t, []net.IP{net.IPv4(192, 0, 2, 1), net.IPv4(127, 0, 0, 1)})
	r := plugintest.Run(t, &webhook{}, local("http://both.test.:"+port+"/"), pluginapi.Task{})
	r.Want(pluginapi.Failed, "both.test") // in whichever order they are tried
}

// dnsServer answers the default resolver of this test with these lists of addresses in
// turn.
func dnsServer(t *testing.T, answers ...[]net.IP) *atomic.Int64 {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := new(atomic.Int64)
	go func() {
		for buf := make([]byte, 1500); ; {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var q dnsmessage.Message
			if q.Unpack(buf[:n]) != nil || len(q.Questions) != 1 {
				continue
			}
			a := dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, Authoritative: true}, Questions: q.Questions}
			if q.Questions[0].Type == dnsmessage.TypeA {
				turn := asked.Add(1) - 1
				for _, ip := range answers[turn%int64(len(answers))] {
					a.Answers = append(a.Answers, dnsmessage.Resource{
						Header: dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Class: dnsmessage.ClassINET},
						Body:   &dnsmessage.AResource{A: [4]byte(ip.To4())},
					})
				}
			}
			if out, err := a.Pack(); err == nil {
				conn.WriteTo(out, from)
			}
		}
	}()
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: dialTo(conn.LocalAddr().String())}
	t.Cleanup(func() {
		net.DefaultResolver = before
		conn.Close()
	})
	return asked
}

func dialTo(address string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", address)
	}
}
