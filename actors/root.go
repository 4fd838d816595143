package actors

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
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
			{name: "journal", produce: func() actor.Actor { return newJournal(s) }},
			{name: "lanes", produce: func() actor.Actor { return newLanes(s) }},
			{name: "registry", produce: func() actor.Actor { return newRegistry(s) }},
			{name: "janitor", produce: func() actor.Actor { return newJanitor(s) }},
			{name: "webhooks", produce: func() actor.Actor { return newWebhooks(s) }, spare: true},
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
