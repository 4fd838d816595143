package actors

import (
	"runtime"
	"sync"

	"github.com/asynkron/protoactor-go/actor"
)

// mailbox is an actor's, unbounded. It differs from the library's in that it takes
// next to nothing while it is empty, as most actors' are: the library's has room for
// ten messages from the beginning, which is a third of what an idle actor takes.
//
// One goroutine at a time handles its messages, in the order in which they were
// posted; the library's own, which stop and restart the actor, come first, and
// while it is suspended they alone.
type mailbox struct {
	invoker    actor.MessageInvoker
	dispatcher actor.Dispatcher

	mu        sync.Mutex // guards what follows
	system    fifo
	user      fifo
	busy      bool // its messages are being handled, or about to be
	suspended bool
}

func newMailbox() actor.Mailbox { return &mailbox{} }

// RegisterHandlers is actor.Mailbox's, as are the next ones.
func (m *mailbox) RegisterHandlers(invoker actor.MessageInvoker, dispatcher actor.Dispatcher) {
	m.invoker, m.dispatcher = invoker, dispatcher
}

func (m *mailbox) Start() {}

func (m *mailbox) PostUserMessage(message any) { m.post(&m.user, message) }

func (m *mailbox) PostSystemMessage(message any) { m.post(&m.system, message) }

func (m *mailbox) UserMessageCount() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.user.len()
}

func (m *mailbox) post(to *fifo, message any) {
	m.mu.Lock()
	to.push(message)
	start := !m.busy && m.hasNext()
	m.busy = m.busy || start
	m.mu.Unlock()
	if start {
		m.dispatcher.Schedule(m.process)
	}
}

func (m *mailbox) hasNext() bool {
	return m.system.len() > 0 || !m.suspended && m.user.len() > 0
}

// process handles what there is. After a panic it goes on with what is left: the
// library suspends the actor by a message.
func (m *mailbox) process() {
	for !m.handle() {
	}
}

// handle tells whether it came to the end, rather than to a panic.
func (m *mailbox) handle() (empty bool) {
	var message any
	defer func() {
		if reason := recover(); reason != nil {
			m.invoker.EscalateFailure(reason, message)
		}
	}()
	for handled := 1; ; handled++ {
		var ofSystem, ok bool
		if message, ofSystem, ok = m.next(); !ok {
			return true
		}
		if ofSystem {
			m.invoker.InvokeSystemMessage(message)
		} else {
			m.invoker.InvokeUserMessage(message)
		}
		if handled%turnMax == 0 {
			runtime.Gosched()
		}
	}
}

// next takes the next message. Without one, the goroutine is no longer busy here.
func (m *mailbox) next() (message any, ofSystem, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.system.len() > 0 {
		switch message := m.system.pop().(type) {
		case *actor.SuspendMailbox:
			m.suspended = true
		case *actor.ResumeMailbox:
			m.suspended = false
		default:
			return message, true, true
		}
	}
	if m.suspended || m.user.len() == 0 {
		m.busy = false
		return nil, false, false
	}
	return m.user.pop(), false, true
}

// fifo is messages in their order.
type fifo struct {
	list []any
	next int // those before it were taken
}

const fifoKept = 4 // messages; room for more is given back when it is empty

func (f *fifo) len() int { return len(f.list) - f.next }

func (f *fifo) push(message any) { f.list = append(f.list, message) }

// pop takes the first of at least one.
func (f *fifo) pop() any {
	message := f.list[f.next]
	f.list[f.next] = nil
	f.next++
	switch {
	case f.next < len(f.list):
		if f.next > len(f.list)/2 && f.next > 64 { // or it would grow as long as it is never empty
			f.list = append(f.list[:0], f.list[f.next:]...)
			f.next = 0
		}
	case cap(f.list) > fifoKept:
		f.list, f.next = nil, 0
	default:
		f.list, f.next = f.list[:0], 0
	}
	return message
}
