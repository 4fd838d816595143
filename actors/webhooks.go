package actors

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/store"
)

const (
	callsMax    = 256 // calls of webhooks under way altogether: receivers that hang hold no more
	readsMax    = 2   // reads of the feed for webhooks under way altogether: deliveries need the store too
	webhookApps = 100 // apps whose webhooks are read at a time

	// webhookSeparator stands between the app and the name of a webhook, neither
	// of which has it, in the name of its actor.
	webhookSeparator = ":"
)

// webhooks has an actor for every webhook in the store, and sees to it that each
// goes on when it fails, by itself. It reads them one after another, so what was
// read last is what there is.
type webhooks struct {
	system *System
	guests map[string]map[string]*webhookGuest // by app, and by the actor's name: <app>:<name>
	ending bool                                // stopping: who came now would never be told to leave
	halt   gathering                           // of halted, from every webhook
	slots  chan struct{}                       // held by every call under way
	reads  chan struct{}                       // held by every read of the feed under way

	unlisted bool            // it is not known yet which apps there are
	changed  map[string]bool // apps whose webhooks are to be read
	reading  *webhookList    // what a read under way is to fill; nil if none is
	failures int             // of reads, in a row
	again    *time.Timer
}

// webhookGuest is a webhook as its parent sees it.
type webhookGuest struct {
	guest
	webhook store.Webhook // as it was read last
	removed bool          // from the store
	pause   *time.Timer   // after a crash, until it may come again
	back    time.Time     // when that is
}

// webhookList is what a read of the store gave: the apps, or webhooks of some.
type webhookList struct {
	apps  []string
	found map[string][]store.Webhook // by app; nil if the apps were to be found
	err   error
}

func newWebhooks(s *System) *webhooks {
	return &webhooks{system: s, slots: make(chan struct{}, callsMax), reads: make(chan struct{}, readsMax)}
}

func (w *webhooks) Receive(ctx actor.Context) {
	defer addStack()
	if w.ending {
		return
	}
	switch message := ctx.Message().(type) {
	case *actor.Started:
		w.onStarted(ctx)
	case *actor.Stopping, *actor.Restarting:
		w.onEnding()
	case *newEvents:
		w.onNewEvents(ctx, message)
	case *webhooksChanged:
		w.changed[message.app] = true
		w.read(ctx)
	case *webhooksListed:
		w.onListed(ctx, message.list)
	case *readWebhooks:
		w.again = nil
		w.read(ctx)
	case *reopenWebhook:
		w.onReopen(ctx, message)
	case *actor.Terminated:
		w.onTerminated(ctx, message)
	case *halt:
		w.onHalt(ctx)
	case *halted:
		w.halt.arrived(ctx)
	case *inspect:
		w.onInspect(ctx, message)
	}
}

func (w *webhooks) onStarted(ctx actor.Context) {
	w.guests = make(map[string]map[string]*webhookGuest)
	w.changed = make(map[string]bool)
	w.unlisted = w.system.config.Webhooks != nil
	w.read(ctx)
}

func (w *webhooks) onEnding() {
	w.ending = true
	if w.again != nil {
		w.again.Stop()
	}
	for _, g := range w.all() {
		g.stopPause()
	}
}

// all gives the webhooks of all apps, by the names of their actors.
func (w *webhooks) all() iter.Seq2[string, *webhookGuest] {
	return func(yield func(string, *webhookGuest) bool) {
		for _, guests := range w.guests {
			for name, g := range guests {
				if !yield(name, g) {
					return
				}
			}
		}
	}
}

// find finds one by the name of its actor.
func (w *webhooks) find(name string) *webhookGuest {
	app, _, _ := strings.Cut(name, webhookSeparator)
	return w.guests[app][name]
}

// onNewEvents passes it on to the webhooks of these apps.
func (w *webhooks) onNewEvents(ctx actor.Context, n *newEvents) {
	for _, app := range n.apps {
		for _, g := range w.guests[app] {
			if g.present() {
				ctx.Send(g.pid, n)
			}
		}
	}
}

// read begins to read what is to be read, unless that is under way or waits.
func (w *webhooks) read(ctx actor.Context) {
	if w.reading != nil || w.again != nil || !w.unlisted && len(w.changed) == 0 {
		return
	}
	list := &webhookList{}
	w.reading = list
	do := list.readApps
	if !w.unlisted {
		for app := range w.changed {
			if list.apps = append(list.apps, app); len(list.apps) == webhookApps {
				break
			}
		}
		for _, app := range list.apps {
			delete(w.changed, app)
		}
		do = list.readWebhooks
	}
	from := w.system.config.Store
	w.system.background(ctx.Self(), func(ctx context.Context) any {
		list.err = do(ctx, from)
		return &webhooksListed{list: list}
	})
}

func (l *webhookList) readApps(ctx context.Context, from store.Store) error {
	apps, err := from.ListApps(ctx)
	for _, app := range apps {
		l.apps = append(l.apps, app.Name)
	}
	return err
}

func (l *webhookList) readWebhooks(ctx context.Context, from store.Store) error {
	l.found = make(map[string][]store.Webhook, len(l.apps))
	for _, app := range l.apps {
		found, err := from.ListWebhooks(ctx, app)
		if err != nil {
			return err
		}
		l.found[app] = found
	}
	return nil
}

func (w *webhooks) onListed(ctx actor.Context, list *webhookList) {
	if w.reading != list {
		return // an earlier incarnation asked for it: it may be old
	}
	w.reading = nil
	if list.err != nil || list.found == nil {
		for _, app := range list.apps {
			w.changed[app] = true
		}
	}
	switch {
	case list.err != nil:
		w.failures++
		w.again = w.system.after(backoff(resumeBase, resumeLimit, w.failures), ctx.Self(), &readWebhooks{})
		w.system.observe(StoreFailed{What: "read the webhooks", Err: list.err})
		return
	case list.found == nil:
		w.unlisted = false
	}
	w.failures = 0
	for app, found := range list.found {
		w.takeUp(ctx, app, found)
	}
	w.read(ctx)
}

// takeUp makes the actors of an app those of its webhooks in the store.
func (w *webhooks) takeUp(ctx actor.Context, app string, found []store.Webhook) {
	there := make(map[string]bool, len(found))
	for _, webhook := range found {
		name := app + webhookSeparator + webhook.Name
		there[name] = true
		g := w.guests[app][name]
		if g == nil {
			g = &webhookGuest{}
			if w.guests[app] == nil {
				w.guests[app] = make(map[string]*webhookGuest)
			}
			w.guests[app][name] = g
		}
		g.webhook, g.removed = webhook, false
		switch {
		case g.present():
			ctx.Send(g.pid, &amend{webhook: webhook})
		case g.pid == nil && g.pause == nil:
			w.open(ctx, name, g)
		}
	}
	for name, g := range w.guests[app] {
		if !there[name] {
			w.remove(ctx, name, g)
		}
	}
}

func (w *webhooks) open(ctx actor.Context, name string, g *webhookGuest) {
	webhook := g.webhook
	g.enter(ctx, w.system, name, w.system.props(func() actor.Actor { return newWebhook(w.system, w.slots, w.reads, webhook) }))
}

func (w *webhooks) remove(ctx actor.Context, name string, g *webhookGuest) {
	g.removed = true
	g.stopPause()
	switch {
	case g.present():
		g.stop(ctx)
	case g.pid == nil:
		w.drop(name, g)
	}
}

func (w *webhooks) drop(name string, g *webhookGuest) {
	if delete(w.guests[g.webhook.App], name); len(w.guests[g.webhook.App]) == 0 {
		delete(w.guests, g.webhook.App)
	}
}

func (w *webhooks) onTerminated(ctx actor.Context, t *actor.Terminated) {
	releaseChild(ctx)
	name := guestName(t.Who)
	g := w.find(name)
	g.left()
	switch {
	case g.removed:
		w.drop(name, g)
	case g.pause == nil: // it was made again, or its pause is over
		w.changed[g.webhook.App] = true
		w.read(ctx)
	}
}

// HandleFailure stops a webhook that panicked, or whose Caller did. After a pause
// the next generation begins with what the store has.
func (w *webhooks) HandleFailure(_ *actor.ActorSystem, ctx actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason, _ any) {
	name := guestName(child)
	g := w.find(name)
	pause := backoff(restartBase, restartCap, g.failures.add(time.Now(), reason))
	w.system.observe(failureOf(w.system, child, reason, g.failures.total, pause))
	if !g.leaving {
		g.leaving = true
		g.back = time.Now().Add(pause)
		g.pause = w.system.after(pause, w.system.webhooks, &reopenWebhook{name: name})
	}
	ctx.StopChildren(child)
}

func (w *webhooks) onReopen(ctx actor.Context, r *reopenWebhook) {
	g := w.find(r.name)
	if g == nil || g.pause == nil {
		return // it was removed meanwhile
	}
	g.stopPause()
	if g.pid == nil {
		w.changed[g.webhook.App] = true
		w.read(ctx)
	}
}

func (g *webhookGuest) stopPause() {
	if g.pause != nil {
		g.pause.Stop()
		g.pause, g.back = nil, time.Time{}
	}
}

func (w *webhooks) onHalt(ctx actor.Context) {
	w.halt = gathering{asker: ctx.Sender(), answer: &halted{}}
	for _, g := range w.all() {
		if g.present() {
			w.halt.ask(ctx, g.pid, &halt{})
		}
	}
	w.halt.finish(ctx)
}

func (w *webhooks) onInspect(ctx actor.Context, ask *inspect) {
	refs := make(map[string]childRef)
	for name, g := range w.all() {
		ref := g.ref(name)
		ref.kind, ref.next = "webhook", g.back
		refs[name] = ref
	}
	ctx.Respond(describe(ask, Node{Kind: "webhooks", State: "running"}, refs))
}
