// Package config turns HCL files into one validated, plain Config, or into
// diagnostics that name the file, the line and the remedy. It owns the syntax, the
// defaults and the ranges of every setting; no HCL type leaves it. It knows nothing
// of Redis clients and plugin processes: it says what is wanted, others do it.
package config

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/throttlerd/throttlerd/ratelimit"
)

// Config is what a worker runs with. It is complete: every setting that the files
// leave out has its default. A Config from Load is valid; whoever builds one by hand
// starts from Default, NewHandler, NewQueue and NewKey and answers for the values.
type Config struct {
	Namespace    string        `json:"namespace"`
	Owner        string        `json:"owner"`
	PluginDir    string        `json:"plugin_dir"`
	Concurrency  int           `json:"concurrency"` // tasks running at once in this worker
	Lease        time.Duration `json:"lease"`
	Lookahead    time.Duration `json:"lookahead"`
	DrainTimeout time.Duration `json:"drain_timeout"`
	MaxPayload   int           `json:"max_payload"` // bytes
	Durability   string        `json:"durability"`  // DurabilityWarn or DurabilityStrict

	Redis Redis `json:"redis"`
	Log   Log   `json:"log"`

	Limits   []Limit   `json:"limits"`   // in the order of the files, names unique
	Handlers []Handler `json:"handlers"` // in the order of the files, names unique
	Queues   []Queue   `json:"queues"`   // in the order of the files, names unique

	origin origin
}

// Values of Config.Durability: what to do about a Redis that may lose tasks.
const (
	DurabilityWarn   = "warn"
	DurabilityStrict = "strict"
)

// Redis says where Redis is and who we are there. Password is apart from URL, so
// that URL may be shown; a Redis prints itself without its password.
type Redis struct {
	URL      string `json:"url"`      // redis://, rediss:// or unix://, never with credentials; "" with one of the next two
	Username string `json:"username"` // ACL user, "" for the default one
	Password string `json:"-"`

	Cluster  []string  `json:"cluster,omitempty"`  // nodes of a Redis Cluster
	Sentinel *Sentinel `json:"sentinel,omitempty"` // they say where Redis is

	TLS *TLS `json:"tls,omitempty"` // nil: the system's trust, the URL's host name
}

// Sentinel names the master that some sentinels watch.
type Sentinel struct {
	Master    string   `json:"master"`
	Addresses []string `json:"addresses"`
}

// TLS refines a rediss:// connection, and encrypts those of a cluster or of sentinels and
// their master. Empty fields keep the default.
type TLS struct {
	CAFile     string `json:"ca_file,omitempty"`
	CertFile   string `json:"cert_file,omitempty"` // given together with KeyFile
	KeyFile    string `json:"key_file,omitempty"`
	ServerName string `json:"server_name,omitempty"`
}

// Log says how a worker logs.
type Log struct {
	Level  string `json:"level"`  // trace, debug, info, warn, error or off
	Format string `json:"format"` // text or json
}

// Handler is a handler block: a plugin binary and how to run it.
type Handler struct {
	Name        string            `json:"name"`
	Plugin      string            `json:"plugin"`      // bare name of the binary
	Path        string            `json:"-"`           // where it is: PluginDir/Plugin
	Args        []string          `json:"args"`        // of its command line
	Env         map[string]string `json:"-"`           // its whole environment, nothing is inherited
	Instances   int               `json:"instances"`   // processes of it in this worker
	Concurrency int               `json:"concurrency"` // tasks running at once in this worker, over all instances
	MaxCrashes  int               `json:"max_crashes"` // of its process that a task may have a part in
	User        string            `json:"user"`        // whom it runs as; "": as throttlerd
	MemoryMax   int               `json:"memory_max"`  // bytes of one instance; 0 is no bound
	SHA256      string            `json:"sha256"`      // 64 lower-case hex digits, or "" for unchecked
	MTLS        bool              `json:"mtls"`
	// Config is the config block as a JSON object; attributes set to null are left
	// out. "{}" when there is no block. Only the plugin knows what it may hold.
	Config json.RawMessage `json:"-"`

	Reattach *Reattach `json:"-"` // where its plugin is already; nil: it is started
}

// LimitSpec is how a named limit bounds what is under it, and a queue its own tasks.
type LimitSpec struct {
	Rates       ratelimit.Rates `json:"rate"`        // all of them hold; nil: none does
	Concurrency int             `json:"concurrency"` // tasks running at once, over all workers; 0 is no cap
	DebtMax     int64           `json:"debt_max"`    // tokens that a reported actual cost may leave owed
}

// Limit is a limit block: it has a rate, a concurrency, or both.
type Limit struct {
	Name string `json:"name"`
	LimitSpec
}

// Queue is a queue block.
type Queue struct {
	Name    string `json:"name"`
	Handler string `json:"handler"`
	Pool    string `json:"pool"`
	LimitSpec
	Limits []string `json:"limits"` // declared ones, that its tasks are under too
	// Key is nil where keys take no turns. Exceptions, by key, are there only with it.
	Key        *Key                 `json:"key"`
	Exceptions map[string]Exception `json:"exceptions"`
	Timeout    time.Duration        `json:"timeout"`
	Retry      Retry                `json:"retry"`
	History    int                  `json:"history"` // finished tasks kept
	Paused     bool                 `json:"paused"`
	// MaxLength is how many tasks may be waiting and scheduled; 0 is no bound.
	MaxLength int `json:"max_length"`
	// ExpireAfter removes the queue once it has left the files and been idle for so
	// long; 0 is never.
	ExpireAfter time.Duration `json:"expire_after"`
}

// Key is a key block: how each key of a queue is bounded.
type Key struct {
	Rates       ratelimit.Rates `json:"rate"`        // nil: none
	Concurrency int             `json:"concurrency"` // over all workers; 0 is no cap
	Weight      int             `json:"weight"`      // share among the keys that have work
}

// Exception is an exception block; what is nil is as for all keys.
type Exception struct {
	Rates       *ratelimit.Rates `json:"rate"` // of nil: none
	Concurrency *int             `json:"concurrency"`
	Weight      *int             `json:"weight"`
}

// Retry says what follows a failed attempt. The delay before attempt k+1 is
// min(Max, Min·2^(k-1)), times a random factor in [1-Jitter, 1].
type Retry struct {
	MaxAttempts int           `json:"max_attempts"`
	Min         time.Duration `json:"min"`
	Max         time.Duration `json:"max"`
	Jitter      float64       `json:"jitter"`
}

// Default is the Config of an empty file: no limits, no handlers, no queues.
func Default() *Config {
	return &Config{
		Namespace:    "throttle",
		Owner:        "default",
		PluginDir:    defaultPluginDir(),
		Concurrency:  256,
		Lease:        10 * time.Second,
		Lookahead:    50 * time.Millisecond,
		DrainTimeout: 30 * time.Second,
		MaxPayload:   256 << 10,
		Durability:   DurabilityWarn,
		Redis:        Redis{URL: "redis://127.0.0.1:6379/0"},
		Log:          Log{Level: "info", Format: "text"},
	}
}

// NewHandler is the Handler of an empty handler block; its Path is for the caller.
func NewHandler(name string) Handler {
	return Handler{
		Name:        name,
		Plugin:      name,
		Instances:   1,
		Concurrency: 64,
		MaxCrashes:  3,
		MTLS:        true,
		Config:      json.RawMessage("{}"),
	}
}

// NewQueue is the Queue of a queue block that names only its handler.
func NewQueue(name, handler string) Queue {
	return Queue{
		Name:    name,
		Handler: handler,
		Pool:    "default",
		Timeout: 30 * time.Second,
		Retry:   Retry{MaxAttempts: 5, Min: time.Second, Max: 10 * time.Minute, Jitter: 0.5},
		History: 1000,
	}
}

// NewKey is the Key of an empty key block: keys take turns, and nothing else.
func NewKey() Key { return Key{Weight: 1} }

// Handler returns the handler of that name, or false.
func (c *Config) Handler(name string) (Handler, bool) {
	for _, h := range c.Handlers {
		if h.Name == name {
			return h, true
		}
	}
	return Handler{}, false
}

// Queue returns the queue of that name, or false.
func (c *Config) Queue(name string) (Queue, bool) {
	for _, q := range c.Queues {
		if q.Name == name {
			return q, true
		}
	}
	return Queue{}, false
}

// String is one line for a log: what is configured, no secrets.
func (c *Config) String() string {
	return fmt.Sprintf("config %s: namespace %q, owner %q, redis %s, %d limits, %d handlers, %d queues",
		c.Hash(), c.Namespace, c.Owner, c.Redis, len(c.Limits), len(c.Handlers), len(c.Queues))
}

// GoString is String: %#v must not print what %v hides.
func (c *Config) GoString() string { return c.String() }

// String shows the address and the user, and of a password only that there is one.
func (r Redis) String() string {
	s := r.Where()
	if r.Username != "" {
		s += fmt.Sprintf(" as user %q", r.Username)
	}
	if r.Password != "" {
		s += " with a password"
	}
	return s
}

// Where names the server or servers, for people.
func (r Redis) Where() string {
	switch {
	case len(r.Cluster) > 0:
		return "cluster " + strings.Join(r.Cluster, ", ")
	case r.Sentinel != nil:
		return fmt.Sprintf("master %q of sentinels %s", r.Sentinel.Master, strings.Join(r.Sentinel.Addresses, ", "))
	}
	return r.URL
}

// Encrypted tells whether connections use TLS: of an address, or of a cluster or
// sentinels with a tls block.
func (r Redis) Encrypted() bool {
	return strings.HasPrefix(r.URL, "rediss:") || r.URL == "" && r.TLS != nil
}

// GoString is String: %#v must not print what %v hides.
func (r Redis) GoString() string { return r.String() }
