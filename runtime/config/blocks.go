package config

import "github.com/hashicorp/hcl/v2"

// The syntax, as gohcl reads it: which blocks and attributes exist. Attributes stay
// unevaluated, so that each gets exactly one diagnostic, from our own readers.

type attribute = *hcl.Attribute // nil: not given

type fileBlock struct {
	Namespace    attribute `hcl:"namespace,optional"`
	Owner        attribute `hcl:"owner,optional"`
	PluginDir    attribute `hcl:"plugin_dir,optional"`
	Concurrency  attribute `hcl:"concurrency,optional"`
	Lease        attribute `hcl:"lease,optional"`
	Lookahead    attribute `hcl:"lookahead,optional"`
	DrainTimeout attribute `hcl:"drain_timeout,optional"`
	MaxPayload   attribute `hcl:"max_payload,optional"`
	Durability   attribute `hcl:"durability,optional"`

	Redis    []*redisBlock   `hcl:"redis,block"`
	Log      []*logBlock     `hcl:"log,block"`
	Limits   []*limitBlock   `hcl:"limit,block"`
	Handlers []*handlerBlock `hcl:"handler,block"`
	Queues   []*queueBlock   `hcl:"queue,block"`
}

type redisBlock struct {
	At           hcl.Range        `hcl:",def_range"`
	URL          attribute        `hcl:"url,optional"`
	PasswordFile attribute        `hcl:"password_file,optional"`
	Username     attribute        `hcl:"username,optional"`
	TLS          []*tlsBlock      `hcl:"tls,block"`
	Sentinel     []*sentinelBlock `hcl:"sentinel,block"`
	Cluster      []*clusterBlock  `hcl:"cluster,block"`
}

type sentinelBlock struct {
	At        hcl.Range `hcl:",def_range"`
	Master    attribute `hcl:"master,optional"`
	Addresses attribute `hcl:"addresses,optional"`
}

type clusterBlock struct {
	At        hcl.Range `hcl:",def_range"`
	Addresses attribute `hcl:"addresses,optional"`
}

type tlsBlock struct {
	At         hcl.Range `hcl:",def_range"`
	CAFile     attribute `hcl:"ca_file,optional"`
	CertFile   attribute `hcl:"cert_file,optional"`
	KeyFile    attribute `hcl:"key_file,optional"`
	ServerName attribute `hcl:"server_name,optional"`
}

type logBlock struct {
	At     hcl.Range `hcl:",def_range"`
	Level  attribute `hcl:"level,optional"`
	Format attribute `hcl:"format,optional"`
}

type limitBlock struct {
	Name        string    `hcl:"name,label"`
	NameAt      hcl.Range `hcl:"name,label_range"`
	At          hcl.Range `hcl:",def_range"`
	Body        hcl.Body  `hcl:",body"`
	Rate        attribute `hcl:"rate,optional"`
	Concurrency attribute `hcl:"concurrency,optional"`
	DebtMax     attribute `hcl:"debt_max,optional"`
}

type handlerBlock struct {
	Name        string         `hcl:"name,label"`
	NameAt      hcl.Range      `hcl:"name,label_range"`
	At          hcl.Range      `hcl:",def_range"`
	Plugin      attribute      `hcl:"plugin,optional"`
	Args        attribute      `hcl:"args,optional"`
	Env         attribute      `hcl:"env,optional"`
	Instances   attribute      `hcl:"instances,optional"`
	Concurrency attribute      `hcl:"concurrency,optional"`
	MaxCrashes  attribute      `hcl:"max_crashes,optional"`
	User        attribute      `hcl:"user,optional"`
	MemoryMax   attribute      `hcl:"memory_max,optional"`
	SHA256      attribute      `hcl:"sha256,optional"`
	MTLS        attribute      `hcl:"mtls,optional"`
	Config      []*configBlock `hcl:"config,block"`
}

type configBlock struct {
	At   hcl.Range `hcl:",def_range"`
	Body hcl.Body  `hcl:",remain"`
}

type queueBlock struct {
	Name        string            `hcl:"name,label"`
	NameAt      hcl.Range         `hcl:"name,label_range"`
	At          hcl.Range         `hcl:",def_range"`
	Body        hcl.Body          `hcl:",body"`
	Handler     attribute         `hcl:"handler,optional"`
	Pool        attribute         `hcl:"pool,optional"`
	Rate        attribute         `hcl:"rate,optional"`
	Limits      attribute         `hcl:"limits,optional"`
	Concurrency attribute         `hcl:"concurrency,optional"`
	DebtMax     attribute         `hcl:"debt_max,optional"`
	Keys        []*keyBlock       `hcl:"key,block"`
	Exceptions  []*exceptionBlock `hcl:"exception,block"`
	Timeout     attribute         `hcl:"timeout,optional"`
	Retry       []*retryBlock     `hcl:"retry,block"`
	History     attribute         `hcl:"history,optional"`
	ExpireAfter attribute         `hcl:"expire_after,optional"`
	MaxLength   attribute         `hcl:"max_length,optional"`
	Paused      attribute         `hcl:"paused,optional"`
}

type keyBlock struct {
	At          hcl.Range         `hcl:",def_range"`
	Rate        attribute         `hcl:"rate,optional"`
	Concurrency attribute         `hcl:"concurrency,optional"`
	Weight      attribute         `hcl:"weight,optional"`
	Exceptions  []*exceptionBlock `hcl:"exception,block"`
}

type exceptionBlock struct {
	Key         string    `hcl:"key,label"`
	KeyAt       hcl.Range `hcl:"key,label_range"`
	At          hcl.Range `hcl:",def_range"`
	Body        hcl.Body  `hcl:",body"`
	Rate        attribute `hcl:"rate,optional"`
	Concurrency attribute `hcl:"concurrency,optional"`
	Weight      attribute `hcl:"weight,optional"`
}

type retryBlock struct {
	At          hcl.Range `hcl:",def_range"`
	MaxAttempts attribute `hcl:"max_attempts,optional"`
	Min         attribute `hcl:"min,optional"`
	Max         attribute `hcl:"max,optional"`
	Jitter      attribute `hcl:"jitter,optional"`
}
