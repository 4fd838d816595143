package webpush

import (
	"net"
	"net/url"
	"time"

	"github.com/belfryhq/belfry/push/pool"
)

// maxOrigins bounds the push services to which connections are kept, for they are
// of strangers' choosing.
const maxOrigins = 128

// origin is what connections are shared for. Those that were made freely, for an
// app that may go there, never carry what another app sends.
type origin struct {
	scheme, host string
	free         bool
}

// connections gives those to a target's origin, to be given back.
func (p *Provider) connections(target *url.URL, free bool) (*pool.Member[origin], error) {
	return p.pools.Take(origin{target.Scheme, target.Host, free}, true, time.Now(), func() (*pool.Pool, error) {
		return pool.New(pool.Config{
			Transport: p.transports.For(free), Scheme: target.Scheme, Address: address(target), Size: p.size, Idle: p.pools.Idle,
		}), nil
	})
}

// address is where a target is dialled.
func address(target *url.URL) string {
	port := target.Port()
	switch {
	case port != "":
	case target.Scheme == "http":
		port = "80"
	default:
		port = "443"
	}
	return net.JoinHostPort(target.Hostname(), port)
}
