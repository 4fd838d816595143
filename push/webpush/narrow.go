package webpush

import (
	"sync"

	"github.com/belfryhq/belfry/push"
)

// maxNarrow bounds the subscriptions remembered as narrow.
const maxNarrow = 4096

// narrow remembers the subscriptions whose push service took a message only
// without its padding, so that the next one is not sent twice. It is lost with
// the process, and learned again from the next answer of 413.
type narrow struct {
	mu   sync.RWMutex
	kept map[push.Digest]struct{}
}

func (n *narrow) has(digest push.Digest) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	_, ok := n.kept[digest]
	return ok
}

// add remembers a subscription. When there is no room, any other one goes.
func (n *narrow) add(digest push.Digest) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.kept == nil {
		n.kept = make(map[push.Digest]struct{})
	}
	for other := range n.kept {
		if len(n.kept) < maxNarrow {
			break
		}
		delete(n.kept, other)
	}
	n.kept[digest] = struct{}{}
}
