package apns

import (
	"crypto/x509"
	"sync"
	"time"
)

// pools holds the connections, a few for each credential and host. A credential
// never gets another one's connection: APNs takes the first request's for the
// owner of the whole.
type pools struct {
	size    int
	roots   *x509.CertPool
	tokens  *tokens
	now     func() time.Time
	timeout time.Duration // of one Send

	mu      sync.Mutex
	kept    map[poolName]*pool
	retired map[*Credential]time.Time // since when; as long as a Send may know it
}

type poolName struct {
	credential *Credential
	base       string
}

func newPools(config Config, tokens *tokens) *pools {
	return &pools{
		size: config.Connections, roots: config.RootCAs, tokens: tokens, now: config.now, timeout: config.Timeout,
		kept: make(map[poolName]*pool), retired: make(map[*Credential]time.Time),
	}
}

// take gives the pool of a credential and a host for one request, to be given back.
// When it has to be made, those that nobody has used for long are closed. One for a
// retired credential is not kept beyond the request.
func (p *pools) take(credential *Credential, base string, now time.Time) (*pool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := poolName{credential, base}
	kept := p.kept[name]
	if kept == nil {
		for other, unused := range p.kept {
			if now.Sub(unused.usedAt) >= idleTimeout {
				delete(p.kept, other)
				unused.close()
			}
		}
		var err error
		if kept, err = newPool(p.size, p.roots, p.tokens, p.now, credential, base); err != nil {
			return nil, err
		}
		since, known := p.retired[credential]
		if kept.retired = known && now.Sub(since) <= p.timeout; !kept.retired {
			p.kept[name] = kept
		}
	}
	kept.usedAt = now
	kept.requests++
	return kept, nil
}

// give takes a pool back after a request.
func (p *pools) give(kept *pool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept.requests--
	kept.closeIfDone()
}

// retire lets go of the pools of a credential.
func (p *pools) retire(credential *Credential, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for other, since := range p.retired {
		if now.Sub(since) > p.timeout {
			delete(p.retired, other)
		}
	}
	p.retired[credential] = now
	for name, kept := range p.kept {
		if name.credential == credential {
			delete(p.kept, name)
			kept.retired = true
			kept.closeIfDone()
		}
	}
}

func (p *pools) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, kept := range p.kept {
		delete(p.kept, name)
		kept.close()
	}
}
