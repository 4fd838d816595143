package actors

import (
	"context"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

const parcelMax = 100 // events in one call of a webhook

// parcel is what is sent in one call: of the webhook's events those of its types
// that come after the last that was taken, up to a place in the feed.
type parcel struct {
	id     push.ID
	upTo   push.ID
	events []push.Event // at least one
	noted  bool         // upTo is in the store
}

// parcelID names a parcel to its receiver, who goes by it to tell what it has
// already. Where it ends, of what types, makes it: so it is the same for every
// attempt, also after a restart, and another when the types changed, because
// then there are others in it. It is a UUID version 8 (RFC 9562 §5.8).
//
// Events that were forgotten with their user, or given up because they are old,
// may be missing from a later attempt. None is ever added.
func parcelID(webhook store.Webhook, upTo push.ID) (id push.ID) {
	hash := sha256.New()
	for _, part := range []string{"belfry webhook", webhook.App, webhook.Name} {
		hash.Write(append([]byte(part), 0))
	}
	for _, kind := range webhook.Types {
		hash.Write([]byte{byte(kind)})
	}
	hash.Write([]byte{0})
	hash.Write(upTo[:])
	copy(id[:], hash.Sum(nil))
	id[6], id[8] = 0x80|id[6]&0x0f, 0x80|id[8]&0x3f
	return id
}

// parcelRead is a read of the feed for the next parcel of a webhook.
type parcelRead struct {
	webhook store.Webhook
	life    int // of the webhook's actor

	events []push.Event // all there are of its types after webhook.After, up to
	upTo   push.ID      // here, in which the read is at its end
	noted  bool         // that is webhook.UpTo
	err    error
}

// run reads. What was noted before is read once more, as it was.
func (r *parcelRead) run(ctx context.Context, s *System) {
	if r.webhook.UpTo.Compare(r.webhook.After) > 0 {
		r.readNoted(ctx, s)
		return
	}
	r.events, r.upTo, r.err = s.Events(ctx, r.webhook.App, r.webhook.After, r.webhook.Types, parcelMax)
}

// readNoted reads up to webhook.UpTo, or as far as there is room: there may be
// more than there was if the webhook has other types now.
func (r *parcelRead) readNoted(ctx context.Context, s *System) {
	r.upTo = r.webhook.After
	for {
		page, err := s.config.Store.ListEvents(ctx, r.webhook.App, r.upTo, r.webhook.UpTo, feedPage)
		if err != nil {
			r.err = err
			return
		}
		for _, event := range page {
			wanted := len(r.webhook.Types) == 0 || slices.Contains(r.webhook.Types, event.Type)
			if wanted && len(r.events) == parcelMax {
				return
			}
			if r.upTo = event.ID; wanted {
				r.events = append(r.events, event)
			}
		}
		if len(page) < feedPage {
			r.upTo, r.noted = r.webhook.UpTo, true
			return
		}
	}
}

// withoutOld gives up the events that are older than they are kept.
func (w *webhook) withoutOld(events []push.Event) []push.Event {
	oldest := time.Now().Add(-w.system.config.EventRetention)
	kept := slices.IndexFunc(events, func(e push.Event) bool { return !e.ID.Time().Before(oldest) })
	if kept < 0 {
		kept = len(events)
	}
	if kept > 0 {
		w.system.observe(WebhookGaveUp{App: w.webhook.App, Name: w.webhook.Name, Events: kept, Before: oldest})
	}
	return events[kept:]
}
