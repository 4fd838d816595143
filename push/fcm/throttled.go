package fcm

import (
	"slices"
	"sync"
	"time"

	"github.com/belfryhq/belfry/push"
)

const (
	severalDevices  = 3           // told that a quota is used up, before it is taken for the project's
	throttledMemory = time.Minute // in which they are told
)

// throttled are the devices for which FCM said lately that a quota is used up,
// and not whose. One that gets too much is no matter of the others; when several
// are told the same, it is the project's.
type throttled struct {
	mu     sync.Mutex
	lately []throttling // of severalDevices at most, the latest last
}

type throttling struct {
	device push.Digest
	at     time.Time
}

// several notes one and tells whether it is one of several.
func (t *throttled) several(device push.Endpoint, now time.Time) bool {
	digest := push.DigestOf(device)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lately = slices.DeleteFunc(t.lately, func(other throttling) bool {
		return other.device == digest || now.Sub(other.at) > throttledMemory
	})
	t.lately = append(t.lately, throttling{digest, now})
	if len(t.lately) > severalDevices {
		t.lately = t.lately[1:]
	}
	return len(t.lately) == severalDevices
}
