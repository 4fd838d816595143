package api

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPings_AskTheStoreOnceASecondWhoeverWantsToKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, failure := 0, error(nil)
		p := &pings{ask: func(context.Context) error {
			asked++
			time.Sleep(100 * time.Millisecond)
			return failure
		}}
		answers := make(chan error)
		everybody := func() {
			for range 50 {
				go func() { answers <- p.answer(t.Context()) }()
			}
			for range 50 {
				require.ErrorIs(t, <-answers, failure)
			}
		}
		everybody()
		require.Equal(t, 1, asked, "those who come together")
		failure = nil
		time.Sleep(pingKept - time.Millisecond)
		everybody()
		require.Equal(t, 1, asked, "and those within a second")
		failure = errors.New("gone")
		time.Sleep(time.Millisecond)
		everybody()
		require.Equal(t, 2, asked)
		time.Sleep(pingKept - time.Millisecond)
		everybody()
		require.Equal(t, 2, asked, "a failure is kept as long")
		failure = nil
		time.Sleep(time.Millisecond)
		everybody()
		require.Equal(t, 3, asked)
	})
}

// Who asked first and left takes nobody's answer away, and nobody waits longer than
// they want to.
func TestPings_GoOnWithoutWhoAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pings{ask: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		began := time.Now()
		first, leave := context.WithCancel(t.Context())
		go p.answer(first) //nolint:errcheck // it leaves
		synctest.Wait()
		leave()
		brief, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, p.answer(brief), context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(began))
		require.ErrorIs(t, p.answer(t.Context()), context.DeadlineExceeded)
		require.Equal(t, pingTimeout, time.Since(began))
	})
}
