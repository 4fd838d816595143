package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/belfryhq/belfry/api/client"
	"github.com/belfryhq/belfry/push"
)

const (
	retryFirst = 500 * time.Millisecond // the longest pause before the second attempt; it doubles
	retryMost  = 30 * time.Second       // up to this
	noteEvery  = time.Minute            // how often it says that it waits, at most
)

// postOffice posts batches, again and again where that may help.
type postOffice struct {
	service  *client.ClientWithResponses
	patience time.Duration // with one batch
	screen   *screen

	noted   time.Time // when it last said that it waits
	opened  time.Time // the first attempt of all
	opening time.Time // the same by the server's clock, or earlier; zero: not known
}

// passingError is a failure that may heal by itself.
type passingError struct {
	err   error
	after time.Duration // when the server wants to be asked again; 0: it did not say
}

// Error gives the failure.
func (e *passingError) Error() string { return e.err.Error() }

// Unwrap gives the failure.
func (e *passingError) Unwrap() error { return e.err }

// post gives the result for each user of the batch.
func (o *postOffice) post(ctx context.Context, b *batch) ([]client.BatchResult, error) {
	var since time.Time // the first failure
	for attempt := 0; ; attempt++ {
		results, err := o.try(ctx, b)
		var passing *passingError
		switch {
		case !errors.As(err, &passing):
			return results, err
		case ctx.Err() != nil:
			return nil, errInterrupted
		case attempt == 0:
			since = time.Now()
		}
		left := o.patience - time.Since(since)
		if left <= 0 {
			return nil, fmt.Errorf("%w; gave up after --retry-for=%s", err, o.patience)
		}
		if passing.after > left {
			return nil, fmt.Errorf("%w; gave up, for the server asks for a pause of %s, which is longer than --retry-for=%s allows", err, passing.after, o.patience)
		}
		pause := max(passing.after, min(backoff(attempt), left))
		o.explain(err, pause, left)
		select {
		case <-ctx.Done():
			return nil, errInterrupted
		case <-time.After(pause):
		}
	}
}

// backoff is half to the whole of a pause that doubles.
func backoff(attempt int) time.Duration {
	most := min(retryFirst<<min(attempt, 10), retryMost)
	return most/2 + rand.N(most/2)
}

// explain says why nothing happens.
func (o *postOffice) explain(err error, pause, left time.Duration) {
	if !o.noted.IsZero() && time.Since(o.noted) < noteEvery {
		return
	}
	o.noted = time.Now()
	o.screen.complain("%s; trying again in %s, and giving up in %s", err, rounded(pause), rounded(left))
}

// try posts the batch once. It is not given up when ctx ends: then nobody
// would know what became of it.
func (o *postOffice) try(ctx context.Context, b *batch) ([]client.BatchResult, error) {
	if o.opened.IsZero() {
		o.opened = time.Now()
	}
	stop := context.AfterFunc(ctx, func() {
		o.screen.inform("Stopping, as soon as the batch under way is answered. Ctrl-C again stops at once.")
	})
	defer stop()
	response, err := o.service.CreateNotificationBatchWithBodyWithResponse(context.WithoutCancel(ctx),
		&client.CreateNotificationBatchParams{IdempotencyKey: b.key}, "application/json", bytes.NewReader(b.body))
	if err != nil {
		return nil, &passingError{err: err}
	}
	o.readClock(response.HTTPResponse.Header)
	answer, err := answered(response.JSON202, response.ApplicationproblemJSONDefault, response.HTTPResponse)
	switch {
	case err != nil && mayPass(response.StatusCode()):
		return nil, &passingError{err: err, after: retryAfter(response.HTTPResponse.Header)}
	case err != nil:
		return nil, err
	case len(answer.Results) != len(b.users):
		return nil, fmt.Errorf("the server answered with %d results for %d users, which is not Belfry's way: check --server", len(answer.Results), len(b.users))
	}
	return answer.Results, nil
}

// mayPass tells whether the same request may be answered otherwise later. With
// its idempotency key it does no harm, whatever became of the one before.
func mayPass(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500
}

// retryAfter is the pause that the server asks for, in seconds or as a date; 0 for none.
func retryAfter(header http.Header) time.Duration {
	value := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// readClock finds out what the server's clock said when this began.
func (o *postOffice) readClock(header http.Header) {
	if now, err := http.ParseTime(header.Get("Date")); err == nil && o.opening.IsZero() {
		o.opening = now.Add(-time.Since(o.opened))
	}
}

// repeats tells whether some were accepted before this began: their IDs tell.
func (o *postOffice) repeats(results []client.BatchResult) bool {
	return slices.ContainsFunc(results, func(result client.BatchResult) bool {
		id, err := push.ParseID(result.Id)
		return err == nil && id.Time().Before(o.opening)
	})
}
