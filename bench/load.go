package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// closedLoop has so many callers do the same over and over for about d, each
// waiting for its own before it begins the next, and finishes what they began.
// do is told which call it is, counted from first on. The first error ends it.
func closedLoop(ctx context.Context, callers int, first int64, d time.Duration, do func(ctx context.Context, call int64) error) (sample, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	began := time.Now()
	calls := atomic.Int64{}
	calls.Store(first)
	took := make([][]time.Duration, callers)
	var all sync.WaitGroup
	for c := range callers {
		all.Go(func() {
			for time.Since(began) < d && ctx.Err() == nil {
				start := time.Now()
				if err := do(ctx, calls.Add(1)-1); err != nil {
					cancel(err)
					return
				}
				took[c] = append(took[c], time.Since(start))
			}
		})
	}
	all.Wait()
	if err := context.Cause(ctx); err != nil {
		return sample{}, err
	}
	return sampleOf(slices.Concat(took...), time.Since(began))
}

var errNothingDone = errors.New("nothing was done in the time given")

// sampleOf is the sample of operations that took so long each, and so long together.
func sampleOf(each []time.Duration, together time.Duration) (sample, error) {
	if len(each) == 0 {
		return sample{}, errNothingDone
	}
	slices.Sort(each)
	return sample{
		Ops: len(each), TookMillis: millis(together),
		P50Millis: millis(each[len(each)/2]), P99Millis: millis(each[len(each)*99/100]),
	}, nil
}
