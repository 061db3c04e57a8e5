package config

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

var errNotURL = errors.New(`this is not an address of Redis; write "redis://HOST:PORT/DB", "rediss://…" for TLS, or "unix:///PATH"; in a user name or password write @ / : # ? % as %40 %2F %3A %23 %3F %25, or keep the password in a password_file`)

// ParseRedisURL splits an address into what may be shown and what may not. Schemes:
// redis, rediss (TLS), unix; query parameters are kept for the client. The error
// never quotes the address, which may hold a password.
func ParseRedisURL(s string) (Redis, error) {
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" || u.Fragment != "" {
		return Redis{}, errNotURL
	}
	switch u.Scheme {
	case "redis", "rediss":
		if db := strings.Trim(u.Path, "/"); db != "" {
			if n, err := strconv.Atoi(db); err != nil || n < 0 {
				return Redis{}, errors.New("the path of the address must be the number of a database, as in redis://HOST:PORT/0")
			}
		}
		if p := u.Port(); p != "" {
			if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
				return Redis{}, errors.New("the port must be a number from 1 to 65535")
			}
		}
	case "unix":
		if u.Host != "" || u.Path == "" {
			return Redis{}, errors.New("a unix address must be an absolute path, with three slashes, as in unix:///run/redis.sock")
		}
	default:
		return Redis{}, errNotURL
	}
	for key := range u.Query() {
		if strings.Contains(strings.ToLower(key), "password") {
			return Redis{}, errors.New("a password stands before the host (redis://:PASSWORD@HOST), not in the query")
		}
	}
	r := Redis{Username: u.User.Username()}
	r.Password, _ = u.User.Password()
	u.User = nil
	r.URL = u.String()
	return r, nil
}

func (d *decoder) redis(blocks []*redisBlock, to *Redis) {
	b := single(d, "redis", blocks, func(b *redisBlock) hcl.Range { return b.At })
	if b == nil {
		return
	}
	d.several(b, to)
	address := ""
	if d.text(b.URL, &address) {
		r, err := ParseRedisURL(address)
		if err != nil {
			d.errorAt(b.URL.Expr.Range(), "Invalid Redis address", "url: %s", sentence(err))
		} else {
			r.Cluster, r.Sentinel = to.Cluster, to.Sentinel
			*to = r
		}
	}
	fromURL := to.Username
	if d.text(b.Username, &to.Username) && fromURL != "" {
		d.errorAt(b.Username.Range, "Two user names", "The url names a user already. Take one of them out.")
	}
	d.passwordFile(b.PasswordFile, to)
	d.tls(b, to)
}

// passwordFile reads the password, without the newline that editors add.
func (d *decoder) passwordFile(a attribute, to *Redis) {
	path := ""
	if !d.text(a, &path) {
		return
	}
	at := a.Expr.Range()
	if to.Password != "" {
		d.errorAt(at, "Two passwords", "The url has a password already. Take it out of the url, or take password_file out.")
		return
	}
	path = inDir(filepath.Dir(a.Range.Filename), path)
	text, err := readText(path)
	if err != nil {
		d.errorAt(at, "Password file not readable", "%s", sentence(err))
		return
	}
	to.Password = strings.TrimRight(text, "\r\n")
	if to.Password == "" {
		d.errorAt(at, "Empty password file", "%s holds no password.", path)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o004 != 0 {
		d.report(hcl.DiagWarning, at, "Password file open to all",
			"Every user of this machine may read %s. Type: chmod o-rwx %s", path, path)
	}
}

func (d *decoder) tls(redis *redisBlock, to *Redis) {
	b := single(d, "tls", redis.TLS, func(b *tlsBlock) hcl.Range { return b.At })
	if b == nil {
		return
	}
	to.TLS = &TLS{}
	d.readable(b.CAFile, &to.TLS.CAFile)
	d.readable(b.CertFile, &to.TLS.CertFile)
	d.readable(b.KeyFile, &to.TLS.KeyFile)
	d.text(b.ServerName, &to.TLS.ServerName)
	if (b.CertFile == nil) != (b.KeyFile == nil) {
		d.errorAt(b.At, "Half a certificate", "cert_file and key_file belong together: give both or neither.")
	}
	if !to.Encrypted() {
		d.errorAt(b.At, "TLS without a TLS address", `A tls block needs a url that starts with "rediss://"; with this one nothing would be encrypted.`)
	}
}

// readable reads the path of a file that can be opened.
func (d *decoder) readable(a attribute, to *string) {
	path := ""
	if !d.text(a, &path) {
		return
	}
	*to = inDir(filepath.Dir(a.Range.Filename), path)
	f, err := openRegular(*to)
	if err != nil {
		d.errorAt(a.Expr.Range(), "File not readable", "%s: %s", a.Name, sentence(err))
		return
	}
	f.Close()
}
