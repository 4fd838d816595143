package actors

import (
	"fmt"
	"strconv"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
)

// newRoot is the root supervisor. Its children stand in the order of their
// dependence: the shard ranges rely on what the journal and the lanes hold, so
// when one of these starts anew, the ranges do too and read their work from
// the store.
func newRoot(s *System) *supervisor {
	return &supervisor{
		system: s,
		kind:   "supervisor",
		policy: restForOne,
		specs: []childSpec{
			{"journal", func() actor.Actor { return newJournal(s) }},
			{"lanes", func() actor.Actor { return newLanes(s) }},
			{"registry", func() actor.Actor { return newRegistry(s) }},
			{"janitor", func() actor.Actor { return newJanitor(s) }},
		},
		giveUp: func(_ actor.Supervisor, reason, _ any) {
			s.giveUp(fmt.Errorf("the root supervisor gave up after %d failures in a row: %v", failuresMax, reasonOf(reason)))
		},
	}
}

// reasonOf is what an actor panicked with, without the stack.
func reasonOf(reason any) any {
	if c, ok := reason.(*crash); ok {
		return c.reason
	}
	return reason
}

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
		v.specs = append(v.specs, childSpec{s.rangeName(i), func() actor.Actor { return newShards(s, s.shardsOf(i)) }})
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
