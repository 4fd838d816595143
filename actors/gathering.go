package actors

import "github.com/asynkron/protoactor-go/actor"

// gathering asks many and answers one when all of them have answered. An
// answer that never comes leaves the asker to its own time-out.
type gathering struct {
	asker   *actor.PID // nil when nobody waits
	answer  any        // for the asker
	missing int
}

// ask sends to one more, with the actor itself to answer to.
func (g *gathering) ask(ctx actor.Context, pid *actor.PID, message any) {
	g.missing++
	ctx.Request(pid, message)
}

// arrived notes one answer.
func (g *gathering) arrived(ctx actor.Context) {
	g.missing--
	g.finish(ctx)
}

// finish answers the asker if nothing is missing.
func (g *gathering) finish(ctx actor.Context) {
	if g.asker != nil && g.missing == 0 {
		ctx.Send(g.asker, g.answer)
		g.asker = nil
	}
}
