package config

import (
	"net"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// several reads where Redis is when it is more than one server.
func (d *decoder) several(b *redisBlock, to *Redis) {
	cluster := single(d, "cluster", b.Cluster, func(b *clusterBlock) hcl.Range { return b.At })
	sentinel := single(d, "sentinel", b.Sentinel, func(b *sentinelBlock) hcl.Range { return b.At })
	if cluster != nil {
		to.URL = ""
		d.addresses(cluster.Addresses, cluster.At, "a cluster block", "6379", &to.Cluster)
	}
	if sentinel != nil {
		to.URL = ""
		to.Sentinel = &Sentinel{}
		if sentinel.Master == nil {
			d.errorAt(sentinel.At, "Missing master", `A sentinel block needs the name that the sentinels have for the master, such as master = "mymaster".`)
		}
		if d.text(sentinel.Master, &to.Sentinel.Master) && to.Sentinel.Master == "" {
			d.errorAt(sentinel.Master.Expr.Range(), "Missing master", `master must be the name that the sentinels have for it, such as "mymaster".`)
		}
		d.addresses(sentinel.Addresses, sentinel.At, "a sentinel block", "26379", &to.Sentinel.Addresses)
	}
	if cluster != nil && sentinel != nil {
		d.errorAt(sentinel.At, "Two places of Redis", "The cluster block says already where Redis is. Take one of the two out.")
	}
	if (cluster != nil || sentinel != nil) && b.URL != nil {
		d.errorAt(b.URL.Range, "Two places of Redis", "With a cluster or sentinel block there is no url. Take one of the two out.")
	}
}

// addresses reads a list of at least one "host:port".
func (d *decoder) addresses(a attribute, at hcl.Range, of, port string, to *[]string) {
	if a == nil {
		d.errorAt(at, "Missing addresses", `%s needs the addresses of one node or more, such as addresses = ["10.0.0.1:%s"].`, capital(of), port)
		return
	}
	var list []string
	if !d.textList(a, &list) {
		return
	}
	if len(list) == 0 {
		d.errorAt(a.Expr.Range(), "Missing addresses", `Name one node or more, such as ["10.0.0.1:%s"].`, port)
	}
	for _, text := range list {
		host, p, err := net.SplitHostPort(text)
		n, perr := strconv.Atoi(p)
		if err != nil || perr != nil || host == "" || n < 1 || n > 65535 {
			shown := strconv.Quote(shorten(text))
			if strings.ContainsAny(text, "@/") { // a URL, maybe with a password
				shown = "This"
			}
			d.errorAt(a.Expr.Range(), "Invalid address", `%s is not an address; write HOST:PORT, such as "10.0.0.1:%s".`, shown, port)
		}
	}
	*to = list
}
