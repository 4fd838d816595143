package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/belfryhq/belfry/push/apns"
	"github.com/belfryhq/belfry/push/fcm"
)

// Change tells that an app was changed, or may have been. The Directory has it
// already as it is now.
type Change struct {
	App string

	// What the app proved itself with before, and does no longer: the Directory
	// does not give it to anybody again.
	APNs []*apns.Credential
	FCM  []*fcm.Credential
}

const (
	turnTimeout   = 5 * time.Second  // for changes of the same app that came before
	changeTimeout = 15 * time.Second // for the store to make one
)

var errBusy = problem{
	status: http.StatusServiceUnavailable, code: "busy", retryAfter: turnTimeout,
	detail: "Other changes of this app are being made. Nothing was changed; send it again after the time in Retry-After.",
}

// change makes a change of an app. Those of one app are made one at a time, and
// a caller that goes away before its turn comes changes nothing; after that the
// change is made whether or not the caller waits for it. It takes effect before
// change returns, also if the store did not say that it was made, for then it may
// have been.
func (s *Server) change(ctx context.Context, app string, do func(ctx context.Context) error) error {
	waiting, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	done, err := s.turns.take(waiting, app)
	if err != nil {
		return errBusy
	}
	defer done()
	ctx = context.WithoutCancel(ctx)
	if s.apps.isStale(app) { // do goes by what is known of the app
		if err := s.takeUp(ctx, app); err != nil {
			return stored(err)
		}
	}
	err = doWithin(ctx, changeTimeout, do)
	if errors.As(err, new(problem)) {
		return err // nothing was asked of the store but to read
	}
	unread := s.takeUp(ctx, app)
	if err == nil {
		err = unread
	}
	return stored(err)
}

func doWithin(ctx context.Context, limit time.Duration, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return do(ctx)
}

// takeUp reads an app that may have changed, and tells of it. If it cannot be
// read, it is tried again in the background. It is for who has the app's turn.
func (s *Server) takeUp(ctx context.Context, app string) error {
	change, err := s.apps.refresh(ctx, app)
	if err != nil {
		s.retries.begin(app, s.retry)
		return err
	}
	s.config.Changed(change)
	return nil
}

const (
	retryFirst = 250 * time.Millisecond // before an app that could not be read is tried again
	retryMax   = 30 * time.Second       // the pause doubles up to this
)

// retry reads a stale app again until that succeeds, or ctx ends.
func (s *Server) retry(ctx context.Context, app string) {
	for pause := retryFirst; ; pause = min(2*pause, retryMax) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		done, err := s.turns.take(ctx, app)
		if err != nil {
			return
		}
		settled := !s.apps.isStale(app) || s.takeUp(ctx, app) == nil
		if settled {
			s.retries.forget(app)
		}
		done()
		if settled {
			return
		}
	}
}

// Close ends what goes on in the background: apps that could not be read after a
// change are no longer tried. It is for after the last request.
func (s *Server) Close() { s.retries.close() }
