package actors

import (
	"fmt"
	"sync"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// handled notes what a mailbox hands out, as an actor's context does. It panics at
// messages of type boom, and posts what a message asks for.
type handled struct {
	mailbox *mailbox
	mu      sync.Mutex
	running int
	seen    []string
	done    chan struct{} // gets one for each message "end"
}

type boom struct{ what string }

func (h *handled) InvokeUserMessage(message any)   { h.note("", message) }
func (h *handled) InvokeSystemMessage(message any) { h.note("system ", message) }

func (h *handled) note(kind string, message any) {
	h.mu.Lock()
	h.running++
	if h.running > 1 {
		panic("two messages at a time")
	}
	h.seen = append(h.seen, kind+fmt.Sprint(message))
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		h.running--
		h.mu.Unlock()
	}()
	switch message := message.(type) {
	case boom:
		panic(message.what)
	case string:
		if message == "end" {
			h.done <- struct{}{}
		}
	}
}

// EscalateFailure suspends the actor, as the library does.
func (h *handled) EscalateFailure(reason, message any) {
	h.mu.Lock()
	h.seen = append(h.seen, fmt.Sprintf("failed with %v at %v", reason, message))
	h.mu.Unlock()
	h.mailbox.PostSystemMessage(&actor.SuspendMailbox{})
	h.mailbox.PostSystemMessage("end")
}

func newHandled(w *workers) *handled {
	h := &handled{mailbox: newMailbox().(*mailbox), done: make(chan struct{}, 8)}
	h.mailbox.RegisterHandlers(h, w)
	h.mailbox.Start()
	return h
}

// hold keeps what is posted from being handled until goOn is called.
func (h *handled) hold(w *workers) (goOn func()) {
	h.mailbox.mu.Lock()
	h.mailbox.busy = true // nobody begins
	h.mailbox.mu.Unlock()
	return func() { w.Schedule(h.mailbox.process) }
}

func TestMailbox_SystemMessagesComeFirst(t *testing.T) {
	w := &workers{}
	defer w.close()
	h := newHandled(w)
	goOn := h.hold(w)
	h.mailbox.PostUserMessage("a")
	h.mailbox.PostUserMessage("b")
	h.mailbox.PostSystemMessage("stop")
	h.mailbox.PostUserMessage("end")
	require.Equal(t, 3, h.mailbox.UserMessageCount())
	goOn()
	<-h.done
	require.Equal(t, []string{"system stop", "a", "b", "end"}, h.seen)
}

func TestMailbox_WaitsWhileSuspendedAndGoesOnWhereItWas(t *testing.T) {
	w := &workers{}
	defer w.close()
	h := newHandled(w)
	goOn := h.hold(w)
	for _, message := range []any{"a", boom{"bad"}, "b", "end"} {
		h.mailbox.PostUserMessage(message)
	}
	goOn()
	<-h.done
	require.Equal(t, []string{"a", "{bad}", "failed with bad at {bad}", "system end"}, h.seen)
	require.Equal(t, 2, h.mailbox.UserMessageCount(), "kept")
	h.mailbox.PostUserMessage("c")
	h.mailbox.PostSystemMessage(&actor.ResumeMailbox{})
	<-h.done
	h.mailbox.PostUserMessage("end")
	<-h.done
	require.Equal(t, []string{"b", "end", "c", "end"}, h.seen[4:])
}

func TestMailbox_TakesNothingWhileEmpty(t *testing.T) {
	w := &workers{}
	defer w.close()
	h := newHandled(w)
	goOn := h.hold(w)
	for range 1000 {
		h.mailbox.PostUserMessage("x")
	}
	h.mailbox.PostUserMessage("end")
	goOn()
	<-h.done
	h.mailbox.mu.Lock()
	defer h.mailbox.mu.Unlock()
	require.LessOrEqual(t, cap(h.mailbox.user.list), fifoKept)
}

func TestMailbox_KeepsTheOrderOfEachSender(t *testing.T) {
	const senders, each = 8, 2000
	w := &workers{}
	defer w.close()
	h := newHandled(w)
	var all sync.WaitGroup
	for s := range senders {
		all.Go(func() {
			for i := range each {
				h.mailbox.PostUserMessage([2]int{s, i})
			}
		})
	}
	all.Wait()
	h.mailbox.PostUserMessage("end")
	<-h.done
	next := map[string]int{}
	for _, text := range h.seen[:len(h.seen)-1] {
		var s, i int
		_, err := fmt.Sscanf(text, "[%d %d]", &s, &i)
		require.NoError(t, err)
		require.Equal(t, next[fmt.Sprint(s)], i)
		next[fmt.Sprint(s)]++
	}
	require.Len(t, h.seen, senders*each+1)
}

func TestProperty_FifoIsInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f fifo
		var want []any
		for i, push := range rapid.SliceOfN(rapid.Bool(), 0, 400).Draw(t, "pushes") {
			if push || len(want) == 0 {
				f.push(i)
				want = append(want, i)
			} else {
				require.Equal(t, want[0], f.pop())
				want = want[1:]
			}
			require.Equal(t, len(want), f.len())
		}
		for _, next := range want {
			require.Equal(t, next, f.pop())
		}
	})
}

func TestWorkers_UseGoroutinesAgainAndEndWhenClosed(t *testing.T) {
	w := &workers{}
	for range 100 {
		done := make(chan struct{})
		w.Schedule(func() { close(done) })
		<-done
	}
	w.close()
	ran := make(chan struct{})
	w.Schedule(func() { close(ran) })
	<-ran // goleak sees that nobody is left
}
