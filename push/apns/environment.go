package apns

import (
	"sync"

	"github.com/belfryhq/belfry/push"
)

// maxEnvironments bounds the subscriptions remembered. One takes some 50 bytes.
const maxEnvironments = 1 << 16

// environments remembers which environment knows a token, where that is not the
// one it was registered with. It is lost with the process, and learned again
// from the next answer of BadDeviceToken.
type environments struct {
	mu   sync.RWMutex
	kept map[push.Digest]push.Environment
}

func newEnvironments() *environments {
	return &environments{kept: make(map[push.Digest]push.Environment)}
}

// of is the environment to try first.
func (e *environments) of(subscription push.Subscription) push.Environment {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if known, ok := e.kept[subscription.Digest]; ok {
		return known
	}
	return subscription.Environment
}

// remember keeps where a token is known. When there is no room, any other goes.
func (e *environments) remember(subscription push.Subscription, known push.Environment) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if known == subscription.Environment {
		delete(e.kept, subscription.Digest)
		return
	}
	for other := range e.kept {
		if len(e.kept) < maxEnvironments {
			break
		}
		delete(e.kept, other)
	}
	e.kept[subscription.Digest] = known
}

func (e *environments) forget(subscription push.Subscription) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.kept, subscription.Digest)
}
