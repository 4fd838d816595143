package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/push/webpush"
	"github.com/belfryhq/belfry/store"
	"github.com/belfryhq/belfry/store/postgres"
	"github.com/belfryhq/belfry/store/sealed"
	"github.com/belfryhq/belfry/store/sqlite"
)

// This file is the one place where the service's flags and environment are
// declared and checked. Those of the commands that talk to it are in remote.go.

// storeFlags say where the data is.
type storeFlags struct {
	DatabaseURL string `env:"BELFRY_DATABASE_URL" placeholder:"postgres://…" help:"PostgreSQL to keep everything in. Default: SQLite in the data directory."`
	DataDir     string `env:"BELFRY_DATA_DIR" default:"./var" help:"Directory of the SQLite database, of the master key and of certificates from ACME."`
}

// open connects to the store, without acquiring it.
func (f storeFlags) open(ctx context.Context) (store.Store, error) {
	if f.DatabaseURL != "" {
		return postgres.Open(ctx, postgres.Config{URL: f.DatabaseURL})
	}
	return sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(f.DataDir, "belfry.db")})
}

// writers is how many groups the store takes at the same time.
func (f storeFlags) writers() int {
	if f.DatabaseURL != "" {
		return 2
	}
	return 1
}

// serveFlags configure the service.
type serveFlags struct {
	storeFlags `embed:""`

	Listen          string        `env:"BELFRY_LISTEN" default:"127.0.0.1:8080" help:"Address to listen on, host:port."`
	AdminListen     string        `env:"BELFRY_ADMIN_LISTEN" placeholder:"HOST:PORT" help:"Another address to listen on, on which alone the metrics, /debug and what changes apps and keys are served, and profiles of the process. It speaks plain HTTP on a loopback address. Default: none, and the first one serves all of that but profiles."`
	TLSCert         string        `name:"tls-cert" env:"BELFRY_TLS_CERT" type:"path" placeholder:"FILE" help:"Certificate to speak HTTPS with, and those up to its authority, in PEM. When the file changes, the new one is used at once."`
	TLSKey          string        `name:"tls-key" env:"BELFRY_TLS_KEY" type:"path" placeholder:"FILE" help:"The certificate's private key, in PEM."`
	ACMEDomains     []string      `name:"acme-domains" env:"BELFRY_ACME_DOMAINS" placeholder:"DOMAIN" help:"Names to get certificates for from Let's Encrypt, whose terms of service you agree to by that. It must be reached there on port 443, without a proxy that ends TLS."`
	ACMEURL         string        `name:"acme-url" env:"BELFRY_ACME_URL" placeholder:"URL" help:"Directory of another certificate authority to get them from (RFC 8555)."`
	AdminKey        string        `env:"BELFRY_ADMIN_KEY" placeholder:"KEY" help:"API key with every scope, of at least 20 characters. Default: made on the first run and printed once."`
	MasterKey       string        `env:"BELFRY_MASTER_KEY" placeholder:"KEY" help:"Key that the secrets in the database are encrypted with: 32 bytes in hexadecimal or base64. Default: master.key in the data directory, made on the first run."`
	KeyRate         int           `env:"BELFRY_KEY_RATE" default:"0" help:"How many requests and notifications a second an API key may make that has no rate of its own; 0 for no limit."`
	AllowedOrigins  []string      `env:"BELFRY_ALLOWED_ORIGINS" placeholder:"ORIGIN" help:"Web origins whose pages may register browsers, such as https://app.your.domain. For the app default: at each start they replace what was set by the API."`
	VAPIDSubject    string        `name:"vapid-subject" env:"BELFRY_VAPID_SUBJECT" placeholder:"mailto:…" help:"How push services reach you: mailto:you@your.domain or https://your.domain. For the app default: at each start it replaces what was set by the API."`
	VAPIDPrivateKey string        `name:"vapid-private-key" env:"BELFRY_VAPID_PRIVATE_KEY" placeholder:"BASE64URL" help:"VAPID key to go on with, from another Web Push server. Default: made on the first run."`
	AllowPushHosts  []string      `env:"BELFRY_ALLOW_PUSH_HOSTS" placeholder:"HOST[:PORT]" help:"Push hosts for which plain http and private addresses are allowed. For development and tests."`
	PushCAFile      string        `env:"BELFRY_PUSH_CA_FILE" type:"path" placeholder:"FILE" help:"Certificate authorities, in PEM, that push services and the receivers of webhooks may have beside the system's. For simulators, proxies and your own network."`
	Demo            *bool         `negatable:"" env:"BELFRY_DEMO" help:"Serve /demo to everybody, or with --no-demo to nobody. Default: to browsers on this machine, if it listens on a loopback address."`
	IdleAfter       time.Duration `env:"BELFRY_IDLE_AFTER" default:"30s" help:"Users without work leave memory after this."`
	RestAfter       time.Duration `env:"BELFRY_REST_AFTER" default:"1m" help:"What waits longer than this for its next attempt leaves memory and waits in the store."`
	MaxBacklog      int           `env:"BELFRY_MAX_BACKLOG" default:"10000000" help:"Notifications that may wait to be delivered before new ones are answered with 429."`
	Retention       time.Duration `env:"BELFRY_RETENTION" default:"720h" help:"Finished notifications are kept for this long."`
	EventRetention  time.Duration `env:"BELFRY_EVENT_RETENTION" default:"72h" help:"Events, and the failed attempts that belfry explain tells of, are kept for this long; 0 for recording none."`
	UnusedAfter     time.Duration `env:"BELFRY_UNUSED_AFTER" default:"4320h" help:"Subscriptions without a sign of life, a registration or a delivery, are removed after this."`
	LogFormat       string        `env:"BELFRY_LOG_FORMAT" enum:"text,json" default:"text" help:"text or json."`
	LogLevel        string        `env:"BELFRY_LOG_LEVEL" enum:"debug,info,warn,error" default:"info" help:"debug, info, warn or error. With debug every delivery is logged."`
}

// defaultSubject stands in tokens as long as none is configured: push
// services want one, and Apple refuses messages without.
const defaultSubject = "https://github.com/belfryhq/belfry"

const (
	restMin     = 100 * time.Millisecond
	adminKeyMin = 20                  // characters
	unusedMin   = 45 * 24 * time.Hour // deliveries renew the sign of life once in 30 days
)

// check finds what is wrong with the flags before anything is done with them.
func (f *serveFlags) check() error {
	var errs []error
	if _, _, err := net.SplitHostPort(f.Listen); err != nil {
		errs = append(errs, fmt.Errorf("--listen (BELFRY_LISTEN): %q is not host:port, such as 127.0.0.1:8080", f.Listen))
	}
	if _, _, err := net.SplitHostPort(f.AdminListen); f.AdminListen != "" && err != nil {
		errs = append(errs, fmt.Errorf("--admin-listen (BELFRY_ADMIN_LISTEN): %q is not host:port, such as 127.0.0.1:9090", f.AdminListen))
	}
	errs = append(errs, f.checkEncryption(), checkTracing(os.Getenv))
	if f.KeyRate < 0 || f.KeyRate > api.KeyRateMax {
		errs = append(errs, fmt.Errorf("--key-rate (BELFRY_KEY_RATE) is 0 to %d", api.KeyRateMax))
	}
	if f.DatabaseURL != "" && !strings.HasPrefix(f.DatabaseURL, "postgres://") && !strings.HasPrefix(f.DatabaseURL, "postgresql://") {
		errs = append(errs, errors.New("--database-url (BELFRY_DATABASE_URL): it does not begin with postgres://"))
	}
	if strings.ContainsFunc(f.AdminKey, notInKey) {
		errs = append(errs, errors.New("--admin-key (BELFRY_ADMIN_KEY): it has characters other than letters, digits, - and _; make one, for example with: openssl rand -hex 20"))
	}
	if f.AdminKey != "" && len(f.AdminKey) < adminKeyMin {
		errs = append(errs, fmt.Errorf("--admin-key (BELFRY_ADMIN_KEY): it has %d characters; use at least %d random ones, for example from: openssl rand -hex 20", len(f.AdminKey), adminKeyMin))
	}
	if f.MasterKey != "" {
		if _, err := sealed.ParseKey(f.MasterKey); err != nil {
			errs = append(errs, fmt.Errorf("--master-key (BELFRY_MASTER_KEY): %w; make one, for example with: openssl rand -hex 32", err))
		}
	}
	if f.IdleAfter < time.Second || f.Retention < time.Hour {
		errs = append(errs, errors.New("--idle-after (BELFRY_IDLE_AFTER) is at least 1s, --retention (BELFRY_RETENTION) at least 1h"))
	}
	if f.EventRetention != 0 && f.EventRetention < time.Hour {
		errs = append(errs, errors.New("--event-retention (BELFRY_EVENT_RETENTION) is at least 1h, or 0 for recording none"))
	}
	if f.UnusedAfter < unusedMin || f.MaxBacklog < 1 || f.RestAfter < restMin {
		errs = append(errs, fmt.Errorf("--unused-after (BELFRY_UNUSED_AFTER) is at least %s, --max-backlog (BELFRY_MAX_BACKLOG) at least 1, --rest-after (BELFRY_REST_AFTER) at least %s", unusedMin, restMin))
	}
	for _, origin := range f.AllowedOrigins {
		if err := api.CheckOrigin(origin); err != nil {
			errs = append(errs, fmt.Errorf("--allowed-origins (BELFRY_ALLOWED_ORIGINS): %w", err))
		}
	}
	if f.VAPIDSubject != "" {
		if err := webpush.ValidateSubject(f.VAPIDSubject); err != nil {
			errs = append(errs, fmt.Errorf("--vapid-subject (BELFRY_VAPID_SUBJECT): %w", err))
		}
	}
	if f.VAPIDPrivateKey != "" {
		if _, err := webpush.ParsePrivateKey(f.VAPIDPrivateKey); err != nil {
			errs = append(errs, fmt.Errorf("--vapid-private-key (BELFRY_VAPID_PRIVATE_KEY): %w", err))
		}
	}
	if senders, err := f.senders(&api.Directory{}); err != nil {
		errs = append(errs, err)
	} else {
		senders.Close()
	}
	return errors.Join(errs...)
}

// eventRetention is how long events are kept, as the packages below have it.
func (f *serveFlags) eventRetention() time.Duration {
	if f.EventRetention == 0 {
		return -1
	}
	return f.EventRetention
}

func notInKey(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
}

// demo says to whom the demo is served.
func (f *serveFlags) demo(loopback bool) api.Demo {
	switch {
	case f.Demo == nil && loopback:
		return api.DemoLocal
	case f.Demo != nil && *f.Demo:
		return api.DemoPublic
	default:
		return api.DemoOff
	}
}

// libraryLog is for what the actor library has to say, which is news only to
// those who develop Belfry.
func (f *serveFlags) libraryLog(log *slog.Logger) *slog.Logger {
	if f.LogLevel != "debug" {
		return nil
	}
	return log.With("part", "protoactor")
}

func (f *serveFlags) logger(to io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.LogLevel)); err != nil {
		panic(err) // the flag's enum allows no other
	}
	options := &slog.HandlerOptions{Level: level}
	if f.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(to, options))
	}
	return slog.New(slog.NewTextHandler(to, options))
}
