package actors

import (
	"strconv"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// guest is a child that comes when there is work and leaves when idle, as its
// parent sees it. Leaving loses nothing: the parent counts the messages it
// sent; an idle child that handled as many says so; only if none was sent
// since is it stopped. A stopped child's successor is its next generation,
// under a new name, because the old name is taken until it has terminated.
//
// No name is used twice, not even by a parent that started anew: the library
// finds an actor by its name, and what was meant for one that is no more, as the
// answer to a send that took long, would come to another.
type guest struct {
	pid      *actor.PID // nil before the first and between two generations
	sent     uint64     // counted messages to this generation
	active   time.Time  // when the last was sent, or the last drain was offered
	leaving  bool       // stopped, and not yet terminated
	failures failures
}

// enter spawns the next generation.
func (g *guest) enter(ctx actor.Context, s *System, name string, props *actor.Props) {
	g.sent = 0
	g.leaving = false
	g.pid = spawn(ctx, name+"."+strconv.FormatUint(s.lives.Add(1), 10), props)
}

// tell sends a counted message, with whom to answer if that is not nil. The
// guest must be present.
func (g *guest) tell(ctx actor.Context, message any, sender *actor.PID) {
	g.sent++
	g.active = time.Now()
	if sender == nil {
		ctx.Send(g.pid, message)
	} else {
		ctx.RequestWithCustomSender(g.pid, message, sender)
	}
}

// present tells whether the guest can be told something.
func (g *guest) present() bool { return g.pid != nil && !g.leaving }

// offerDrain asks a guest that had nothing to do for a while whether it can go.
func (g *guest) offerDrain(ctx actor.Context, now time.Time, idleAfter time.Duration) {
	if g.present() && now.Sub(g.active) >= idleAfter {
		g.active = now
		ctx.Request(g.pid, &drain{sent: g.sent})
	}
}

// letGo stops the guest if what it answered to a drain is still true.
func (g *guest) letGo(ctx actor.Context, answer *drained) {
	if g.present() && g.pid.Id == answer.from.Id && answer.sent == g.sent {
		g.stop(ctx)
	}
}

func (g *guest) stop(ctx actor.Context) {
	g.leaving = true
	ctx.Stop(g.pid)
}

// left notes that the guest has terminated.
func (g *guest) left() {
	g.pid = nil
	g.leaving = false
}

// ref describes the guest to its parent's inspector.
func (g *guest) ref(name string) childRef {
	ref := g.failures.ref("", name, nil)
	if g.present() {
		ref.pid = g.pid
	} else {
		ref.state = "between generations"
	}
	return ref
}

// guestName is a guest's name without parent and generation.
func guestName(pid *actor.PID) string {
	name := pid.Id[strings.LastIndexByte(pid.Id, '/')+1:]
	return name[:strings.LastIndexByte(name, '.')]
}
