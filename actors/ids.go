package actors

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/belfryhq/belfry/push"
)

// idClock makes notification IDs: UUIDs version 7 (RFC 9562 §5.7), each
// greater than the one before, across restarts and steps of the clock. It
// begins above last, and belongs to one goroutine.
type idClock struct{ last push.ID }

const (
	randAMax = 1<<12 - 1
	randBMax = 1<<62 - 1
)

// next makes an ID. Within a millisecond, and while the clock stands behind
// the last ID, it counts on from the last by a random step (RFC 9562 §6.2,
// method 2).
func (c *idClock) next(now time.Time) push.ID {
	high, low := binary.BigEndian.Uint64(c.last[:8]), binary.BigEndian.Uint64(c.last[8:])
	millis, a, b := high>>16, high&randAMax, low&randBMax
	if clock := uint64(max(now.UnixMilli(), 0)); clock > millis {
		millis, a, b = clock, rand.Uint64()&randAMax, rand.Uint64()&randBMax
	} else if b += 1 + rand.Uint64N(1<<32); b > randBMax {
		b &= randBMax
		if a++; a > randAMax {
			a = 0
			millis++
		}
	}
	binary.BigEndian.PutUint64(c.last[:8], millis<<16|0x7<<12|a)
	binary.BigEndian.PutUint64(c.last[8:], 0b10<<62|b)
	return c.last
}
