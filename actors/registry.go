package actors

import (
	"fmt"
	"strconv"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
)

// newRegistry is the supervisor of the shard ranges, which know nothing of
// each other.
func newRegistry(s *System) *supervisor {
	v := &supervisor{
		system: s,
		kind:   "supervisor",
		policy: oneForOne,
		giveUp: func(ctx actor.Supervisor, reason, message any) { ctx.EscalateFailure(reason, message) },
	}
	for i := range s.config.Ranges {
		v.specs = append(v.specs, childSpec{name: s.rangeName(i), produce: func() actor.Actor { return newShards(s, s.shardsOf(i)) }})
	}
	return v
}

// rangeName is the name of a range's actor: its number, of even width so that
// names sort like numbers.
func (s *System) rangeName(index int) string {
	return fmt.Sprintf("%0*d", len(strconv.Itoa(s.config.Ranges-1)), index)
}

// shardsOf gives the shards of one range: the inverse of rangeIndex.
func (s *System) shardsOf(index int) push.ShardRange {
	n := s.config.Ranges
	return push.ShardRange{
		First: push.Shard((index*push.Shards + n - 1) / n),
		Last:  push.Shard(((index+1)*push.Shards+n-1)/n - 1),
	}
}
