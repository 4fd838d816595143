package actors

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// Caller calls webhooks. Package api/webhook has the one that speaks HTTP.
//
// Call makes one attempt, without retrying, and tells what it came to. It
// returns when there is an answer, when ctx ends, or at its own time-out. ID
// is the same for every attempt to send these events, also after a restart of the
// process, and of other events it is another. It may be called from many
// goroutines at once.
type Caller interface {
	Call(ctx context.Context, webhook store.Webhook, id push.ID, events []push.Event) CallResult
}

// CallResult is what one call of a webhook came to.
type CallResult struct {
	Taken      bool          // it answered 2xx
	Ended      bool          // it answered 410: nothing more is to be sent there
	Status     int           // 0 when there was no answer
	Reason     string        // why it was not taken, for a person, without the URL
	RetryAfter time.Duration // what it asked for; 0 for nothing
}

// WebhookState is how a webhook is at the moment.
type WebhookState struct {
	State       string    // idle, sending, retrying or ended
	Reason      string    // what came of the last call that was not taken
	Attempts    int       // calls for the events that wait first
	NextAttempt time.Time // zero if it is not waiting
	BehindSince time.Time // when the first event that waits happened; zero if none does
}

// WebhooksChanged tells that an app's webhooks changed in the store, or may have.
func (s *System) WebhooksChanged(app string) {
	if s.webhooks != nil {
		s.send(s.webhooks, &webhooksChanged{app: app})
	}
}

const webhooksShown = 100 // of one app; it has far fewer

// WebhookStates gives the state of each of an app's webhooks by name. One that
// was made just now may be missing.
func (s *System) WebhookStates(app string) (map[string]WebhookState, error) {
	states := make(map[string]WebhookState)
	if s.webhooks == nil {
		return states, nil
	}
	prefix := app + webhookSeparator
	found, err := s.inspect(s.webhooks, &inspect{after: prefix, limit: webhooksShown})
	if err != nil {
		return nil, fmt.Errorf("find the webhooks of %s: %w", app, err)
	}
	asked := make(map[string]actor.Future)
	for _, child := range found.children {
		name, ours := strings.CutPrefix(child.name, prefix)
		switch {
		case !ours:
		case child.pid == nil:
			states[name] = WebhookState{State: stateRetrying, Reason: "it failed inside Belfry and starts anew", NextAttempt: child.next}
		default:
			asked[name] = s.actors.Root.RequestFuture(child.pid, &reveal{}, askTimeout)
		}
	}
	for name, future := range asked {
		answer, err := future.Result()
		if errors.Is(err, actor.ErrDeadLetter) {
			continue // it has just left
		}
		if err != nil {
			return nil, fmt.Errorf("ask the webhook %s of %s how it is: %w", name, app, err)
		}
		states[name] = answer.(*revealed).state
	}
	return states, nil
}
