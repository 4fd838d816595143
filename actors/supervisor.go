package actors

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

const (
	restartBase  = 100 * time.Millisecond // the first pause before an actor starts anew; doubles
	restartCap   = 30 * time.Second       // the longest such pause
	failuresMax  = 8                      // failures in a row before a supervisor gives up
	failureReset = time.Minute            // without a failure, the count starts over
)

// policy says which children start anew when one of them fails.
type policy uint8

const (
	oneForOne  policy = iota // that one
	restForOne               // that one and those that were started after it
)

// childSpec is a child that a supervisor always has.
type childSpec struct {
	name    string
	produce func() actor.Actor
	spare   bool // the others do without it: it is started anew for ever, and nobody gives up
}

// supervisor has a fixed set of children and keeps them running. A failed one
// starts anew in place: its PID and its mailbox stay, the message it failed
// on is gone, and so is what it held in memory.
type supervisor struct {
	system   *System
	kind     string
	policy   policy
	specs    []childSpec
	children []*actor.PID
	failures map[string]*failures
	pauses   map[string]*time.Timer // before a failed child starts anew
	giveUp   func(ctx actor.Supervisor, reason, message any)
}

// failures counts how often a child failed.
type failures struct {
	total int       // ever
	row   int       // without failureReset between them
	last  time.Time // of the last
	what  string    // the child panicked with then, cut short
}

// add counts one more and returns how many there were in a row.
func (f *failures) add(now time.Time, reason any) int {
	if now.Sub(f.last) > failureReset {
		f.row = 0
	}
	f.total++
	f.row++
	f.last = now
	f.what = short(fmt.Sprint(reasonOf(reason)))
	return f.row
}

// ref describes a child that failed so often, or never, to its parent's inspector.
func (f *failures) ref(kind, name string, pid *actor.PID) childRef {
	return childRef{name: name, pid: pid, kind: kind, restarts: f.total, failure: f.what, failedAt: f.last}
}

func (v *supervisor) Receive(ctx actor.Context) {
	defer addStack()
	switch message := ctx.Message().(type) {
	case *actor.Started:
		v.onStarted(ctx)
	case *actor.Stopping, *actor.Restarting:
		for _, pause := range v.pauses {
			pause.Stop()
		}
	case *inspect:
		v.onInspect(ctx, message)
	}
}

func (v *supervisor) onStarted(ctx actor.Context) {
	v.failures = make(map[string]*failures, len(v.specs))
	v.pauses = make(map[string]*time.Timer, len(v.specs))
	v.children = nil
	for _, spec := range v.specs {
		v.failures[spec.name] = &failures{}
		v.children = append(v.children, spawn(ctx, spec.name, v.system.props(spec.produce)))
	}
}

// HandleFailure makes the supervisor its own strategy: protoactor calls it in
// the supervisor's turn when a child panicked. The child is suspended until
// the pause is over.
func (v *supervisor) HandleFailure(_ *actor.ActorSystem, ctx actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason, message any) {
	index := v.indexOf(child)
	name := v.specs[index].name
	failed := v.failures[name]
	row := failed.add(time.Now(), reason)
	pause := backoff(restartBase, restartCap, row)
	v.system.observe(failureOf(v.system, child, reason, failed.total, pause))
	if row > failuresMax && !v.specs[index].spare {
		v.giveUp(ctx, reason, message)
		return
	}
	victims := []*actor.PID{child}
	if v.policy == restForOne {
		victims = v.children[index:]
	}
	v.pauses[name] = time.AfterFunc(pause, func() { ctx.RestartChildren(victims...) })
}

func (v *supervisor) indexOf(child *actor.PID) int {
	for i, pid := range v.children {
		if pid.Id == child.Id {
			return i
		}
	}
	panic("failure of an unknown child " + child.Id)
}

func (v *supervisor) onInspect(ctx actor.Context, ask *inspect) {
	refs := make(map[string]childRef, len(v.specs))
	for i, spec := range v.specs {
		refs[spec.name] = v.failures[spec.name].ref("", spec.name, v.children[i])
	}
	ctx.Respond(describe(ask, Node{Kind: v.kind, State: "running"}, refs))
}

// spawn starts a child whose name is known to be free.
func spawn(ctx actor.Context, name string, props *actor.Props) *actor.PID {
	pid, err := ctx.SpawnNamed(props, name)
	if err != nil {
		panic(fmt.Errorf("spawn %s/%s: %w", ctx.Self().Id, name, err))
	}
	return pid
}

// props are how an actor is made and run. An actor holds on to its own.
func (s *System) props(produce func() actor.Actor) *actor.Props {
	return actor.PropsFromProducer(produce, actor.WithMailbox(newMailbox), actor.WithDispatcher(&s.workers))
}

// releaseChild lets go of a child that has just terminated, on the message that says
// so: the library's list of children still holds it, and so all that it had, in
// the room behind its end.
func releaseChild(ctx actor.Context) {
	children := ctx.Children()
	if n := len(children); n < cap(children) {
		children[:n+1][n] = nil
	}
}

// crash is what an actor panicked with, and where.
type crash struct {
	reason any
	stack  []byte
}

// addStack is deferred by every Receive: it lets a panic pass on with the
// stack, which the library does not keep.
func addStack() {
	if reason := recover(); reason != nil {
		panic(withStack(reason))
	}
}

// withStack is called while a panic is recovered; what has a stack keeps it.
func withStack(reason any) *crash {
	if c, ok := reason.(*crash); ok {
		return c
	}
	return &crash{reason: reason, stack: debug.Stack()}
}

func failureOf(s *System, child *actor.PID, reason any, restarts int, pause time.Duration) ActorFailed {
	event := ActorFailed{Path: s.pathOf(child), Reason: fmt.Sprint(reasonOf(reason)), Restarts: restarts, Pause: pause}
	if c, ok := reason.(*crash); ok {
		event.Stack = string(c.stack)
	}
	return event
}
