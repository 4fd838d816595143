package actors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// How notifications are taken back.
//
// One that its user has in hand, the user takes back at its subscriptions. One
// that waits in the store ends there as cancelled; but what is read of it there may be old by
// then, and then its deliveries would end twice. So first its user is asked
// whether it is in hand. If not, all that the user recorded of it went to the
// journal before the answer, and its range hands it to nobody for a while:
// what the store says after a flush is the last word, and is acted upon unless
// somebody else did so in between, which the turn tells.

// Cancel takes back a notification of an app wherever it has not begun to be
// sent. When it returns, that is durable; a delivery that was being sent at
// that moment has its own end. It is no error when nothing was left to
// cancel. ErrNotFound of package store; ErrUnavailable.
func (s *System) Cancel(ctx context.Context, app string, id push.ID) error {
	turn := 0
	for until := time.Now().Add(acceptTimeout); ; {
		found, err := s.config.Store.GetNotification(ctx, app, id)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return err
		case err != nil:
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		case !found.Pending:
			return nil
		}
		c := &cancel{notification: found.Notification, turn: turn}
		for _, d := range found.Deliveries {
			c.done = append(c.done, d.Subscription)
		}
		// Who fails takes what it had not read yet with it: it is asked again.
		answer, err := s.ask(s.rangeOf(found.Notification.User), c, askTimeout)
		if err != nil && (!errors.Is(err, actor.ErrTimeout) || time.Now().After(until)) {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if _, err := s.ask(s.journal, &flush{}, acceptTimeout); err != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		turn = 0
		switch answer := answer.(type) {
		case *cancelled:
			return nil
		case *missing:
			turn = answer.turn
		}
	}
}

// cancelMark is what a range remembers of a notification that was cancelled.
type cancelMark struct {
	at   time.Time // last
	turn int       // from 1; it rises when one that nobody had in hand is given to its user to end
}

// onCancel has a user take a notification back. It is remembered for as long as
// a read may take that still finds it. One that nobody has in hand gets a place in
// the window.
func (s *shards) onCancel(ctx actor.Context, c *cancel) {
	id, user := c.notification.ID, c.notification.User
	mark := s.cancelled[id]
	told := *c
	told.asker = ctx.Sender()
	if c.turn != mark.turn {
		told.turn = 0
	}
	if told.turn == 0 {
		mark.turn = max(mark.turn, 1)
		told.missed = mark.turn
	} else {
		mark.turn++
	}
	s.cancelled[id] = cancelMark{at: time.Now(), turn: mark.turn}
	r := s.users[user]
	_, inHand := s.window[id]
	switch {
	case told.turn > 0:
		r = s.residentOf(ctx, user)
		if !inHand {
			s.occupy(r, id, false)
		}
	case r == nil:
		ctx.Respond(&missing{turn: told.missed})
		return
	}
	s.tell(ctx, r, &told)
}
