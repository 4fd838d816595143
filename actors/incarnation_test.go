package actors

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/stretchr/testify/require"
)

// What an actor of an earlier incarnation asked for, or was asked, does not get in
// the way of the next.

// crash has an actor fail on a message that is a bug.
func (r *rig) crash(do func()) {
	r.t.Helper()
	r.bugs = true
	failed := len(eventsOf[ActorFailed](r))
	do()
	r.settle()
	require.Len(r.t, eventsOf[ActorFailed](r), failed+1)
}

// A send that outlives the subscription that asked for it tells nothing of what
// the next one sends: its answer would be taken for the outcome of another
// notification, which would then never be sent.
func TestIncarnation_TheAnswerToAnEarlierSendIsNotTakenForAnother(t *testing.T) {
	for what, crash := range map[string]func(r *rig){
		"range":   func(r *rig) { r.send(r.rangeOf(userNamed("ann")), (*handOut)(nil)) },
		"journal": func(r *rig) { r.send(r.journal, (*record)(nil)) },
		"lanes":   func(r *rig) { r.send(r.lanes, (*carry)(nil)) },
	} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t)
				r.subscribe("ann", "laptop")
				before, after, last := make(chan struct{}), make(chan struct{}), make(chan struct{})
				r.service.script("laptop", answer{hold: before}, answer{hold: after},
					answer{hold: last, result: push.Result{Outcome: push.Retry, Status: 503, Reason: "told so"}})
				ids := append(r.notify("ann"), r.notify("ann")...)
				r.settle()
				r.crash(func() { crash(r) })
				time.Sleep(10 * time.Second)
				require.Equal(t, []push.ID{ids[0], ids[0]}, r.service.offered("laptop"), "it is sent once more")
				close(before)
				r.settle()
				close(after)
				r.settle()
				close(last)
				time.Sleep(time.Minute)
				require.Equal(t, []push.ID{ids[0], ids[0], ids[1]}, r.service.got("laptop"))
				for _, id := range ids {
					require.Equal(t, []string{"delivered"}, r.states(id))
				}
			})
		})
	}
}

// The lanes start anew because the journal failed, and are held up in that. Who
// started anew sooner has an answer all the same.
func TestIncarnation_LanesThatStartAnewAnswerWhoAsksMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.register(phoneAt("bob", "token", "org.example", push.Production))
		r.service.script("token", outcome(push.Refused, 403))
		hold := make(chan struct{})
		r.mu.Lock()
		r.onEvent = func(e Event) {
			if _, ok := e.(LanePaused); ok {
				<-hold // bob's lane stops when it has done with this
			}
		}
		r.mu.Unlock()
		bob := r.notify("bob")[0]
		r.settle()
		r.subscribe("ann", "laptop")
		r.crash(func() { r.send(r.journal, (*record)(nil)) })
		time.Sleep(restartBase)
		ann := r.notify("ann")[0]
		r.settle()
		require.Empty(t, r.service.got("laptop"), "the lanes are not back yet")
		require.True(t, r.fate(ann).Pending)
		close(hold)
		time.Sleep(5 * time.Minute)
		require.Equal(t, []push.ID{ann}, r.service.got("laptop"))
		require.Equal(t, []string{"delivered"}, r.states(bob))
	})
}

// A webhook's note that is on its way when all webhooks start anew is answered to
// nobody: the next would lose count of its own, and never send again.
func TestIncarnation_AWebhookCountsItsOwnNotesAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		held := make(chan struct{})
		var once sync.Once
		r := newWebhookRig(t, func(c *Config) {
			c.Store = &slowNotes{Store: c.Store, hold: func() { once.Do(func() { <-held }) }}
		})
		r.createApp(push.DefaultApp)
		r.put("a")
		r.happen(1)
		require.Empty(t, r.receiver.made(r.url("a")), "where the parcel ends is not noted yet")
		r.crash(func() { r.send(r.webhooks, (*newEvents)(nil)) })
		time.Sleep(time.Second)
		close(held)
		time.Sleep(time.Second)
		for range 3 {
			r.happen(1)
			time.Sleep(time.Second)
		}
		require.Equal(t, r.feed(push.DefaultApp), r.receiver.took(r.url("a")))
	})
}

// A call that was under way when all webhooks started anew says nothing of the
// next one's.
func TestIncarnation_TheAnswerToAnEarlierCallIsNotTakenForAnother(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newWebhookRig(t)
		r.createApp(push.DefaultApp)
		r.put("a")
		hold := make(chan struct{})
		r.receiver.script(r.url("a"), reply{hold: hold})
		r.happen(2)
		r.crash(func() { r.send(r.webhooks, (*newEvents)(nil)) })
		time.Sleep(time.Minute)
		require.Len(t, eventsOf[ActorFailed](r.rig), 1, "the webhook itself did not fail")
		require.Equal(t, r.feed(push.DefaultApp), r.receiver.took(r.url("a")))
	})
}

// slowNotes holds commits of how far webhooks are back.
type slowNotes struct {
	store.Store
	hold func()
}

func (s *slowNotes) Commit(ctx context.Context, group store.Group) error {
	if len(group.Webhooks) > 0 {
		s.hold()
	}
	return s.Store.Commit(ctx, group)
}

// A list of webhooks that all of them asked for before they started anew may be
// older than what they read since.
func TestIncarnation_AnOldListOfWebhooksIsNotTakenUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var slow *slowLists
		r := newWebhookRig(t, func(c *Config) {
			slow = &slowLists{Store: c.Store}
			c.Store = slow
		})
		r.createApp(push.DefaultApp)
		r.put("a")
		hold := make(chan struct{})
		slow.delay(hold)
		r.WebhooksChanged(push.DefaultApp) // reads the row as it is, and is slow
		r.settle()
		slow.delay(nil)
		r.crash(func() { r.send(r.webhooks, (*newEvents)(nil)) })
		time.Sleep(time.Second)
		r.put("a", func(w *store.Webhook) { w.URL = r.url("new") })
		close(hold)
		r.settle()
		r.happen(1)
		require.Equal(t, r.feed(push.DefaultApp), r.receiver.took(r.url("new")))
		require.Empty(t, r.receiver.made(r.url("a")))
	})
}

// slowLists holds lists of webhooks back after they were read.
type slowLists struct {
	store.Store
	mu   sync.Mutex
	hold chan struct{}
}

func (s *slowLists) delay(until chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = until
}

func (s *slowLists) ListWebhooks(ctx context.Context, app string) ([]store.Webhook, error) {
	list, err := s.Store.ListWebhooks(ctx, app)
	s.mu.Lock()
	hold := s.hold
	s.mu.Unlock()
	if hold != nil {
		<-hold
	}
	return list, err
}
