package pushtest

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/simulate"
)

// Provider is what Exercise holds to its contract: each of Belfry's is one.
// Close ends what the provider keeps open; closing twice does nothing.
type Provider interface {
	push.Provider
	push.Checker
	Close()
}

// Service is a push service in the hands of a test: each of the simulators is
// one.
type Service interface {
	Fault(simulate.Fault) error
	ClearFaults()
	Log() []simulate.Entry
	Await(ctx context.Context, n int) ([]simulate.Entry, error)
	Stop()
}

// Rig says how to make a Bench, and what its push service says in its own
// words when it does not take a message.
type Rig struct {
	// Open makes a Bench whose provider gives up after timeout. Exercise closes
	// the provider and stops the service.
	Open func(t *testing.T, timeout time.Duration) Bench

	Ended    simulate.Fault // the subscription is over
	Refused  simulate.Fault // the credentials are wrong
	Rejected simulate.Fault // this message is wrong
	Throttle simulate.Fault // not so fast; RetryAfter is set by Exercise

	// Wrong makes a subscription one that cannot be sent to, by the field that
	// CheckSubscription names.
	Wrong map[string]func(*push.Subscription)
}

// patient is a time-out that no test waits for.
const patient = time.Minute

// soon ends when a test has waited for too long.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patient/4)
	t.Cleanup(cancel)
	return ctx
}

// Exercise holds a provider to the contract of push.Provider and push.Checker.
func Exercise(t *testing.T, rig Rig) {
	t.Run("what the service takes is delivered", rig.delivers)
	t.Run("every answer is its outcome", rig.tellsOutcomes)
	t.Run("no answer is Retry", rig.retriesWithoutAnAnswer)
	t.Run("a cancelled send returns at once", rig.endsWithItsContext)
	t.Run("a result is fit to be shown, whatever the service says", rig.survivesHostility)
	t.Run("a message is only read", rig.onlyReads)
	t.Run("many may send at once", rig.servesMany)
	t.Run("what can be sent passes the checks, and the rest is named", rig.checks)
	t.Run("Close leaves nothing behind", rig.leavesNothing)
}

// open makes a Bench that ends with the test.
func (rig Rig) open(t *testing.T, timeout time.Duration) Bench {
	t.Helper()
	bench := rig.Open(t, timeout)
	t.Cleanup(func() {
		bench.Provider.Close()
		bench.Service.Stop()
	})
	return bench
}

func (rig Rig) delivers(t *testing.T) {
	bench := rig.open(t, patient)
	result := bench.send(t, t.Context())
	require.Equal(t, push.Delivered, result.Outcome, result.Reason)
	require.Equal(t, 2, result.Status/100)
	require.Empty(t, result.Reason)
	taken, err := bench.Service.Await(soon(t), 1)
	require.NoError(t, err)
	require.Len(t, taken, 1)
	require.Contains(t, []string{"", taken[0].ID}, result.MessageID)
	require.NotEmpty(t, taken[0].Payload)

	for _, status := range []int{200, 201, 202, 204, 299} {
		bench.fault(t, simulate.Fault{Status: status})
		result := bench.send(t, t.Context())
		require.Equal(t, push.Delivered, result.Outcome, "%d %s", status, result.Reason)
		require.Equal(t, status, result.Status)
	}
}

func (rig Rig) tellsOutcomes(t *testing.T) {
	bench := rig.open(t, patient)
	throttle := rig.Throttle
	throttle.RetryAfter = 77
	for _, test := range []struct {
		fault simulate.Fault
		want  push.Outcome
	}{
		{rig.Ended, push.Gone},
		{rig.Refused, push.Refused},
		{rig.Rejected, push.Rejected},
		{throttle, push.Retry},
		{simulate.Fault{Status: 500}, push.Retry},
		{simulate.Fault{Status: 502, Body: "<!DOCTYPE html><html><title>Bad Gateway</title>"}, push.Retry},
		{simulate.Fault{Status: 503}, push.Retry},
		{simulate.Fault{Status: 503, RetryAfter: 77}, push.Retry},
	} {
		bench.fault(t, test.fault)
		result := bench.send(t, t.Context())
		require.Equal(t, test.want, result.Outcome, "%+v: %+v", test.fault, result)
		require.Equal(t, test.fault.Status, result.Status)
		require.NotContains(t, result.Reason, "<html>", "it is for a person")
		if test.fault.RetryAfter > 0 {
			require.Equal(t, 77*time.Second, max(result.RetryAfter, result.Pause), "%+v: %+v", test.fault, result)
		}
	}
	bench.Service.ClearFaults()
	require.Equal(t, push.Delivered, bench.send(t, t.Context()).Outcome, "none of it lasts")
}

func (rig Rig) retriesWithoutAnAnswer(t *testing.T) {
	bench := rig.open(t, patient)
	require.Equal(t, push.Delivered, bench.send(t, t.Context()).Outcome)
	for _, fault := range []simulate.Fault{
		{Reset: true},
		{Reset: true, Status: 503},
	} {
		bench.fault(t, fault)
		requireRetry(t, bench.send(t, t.Context()))
	}
	bench.Service.Stop()
	requireRetry(t, bench.send(t, t.Context()))

	impatient := rig.open(t, 100*time.Millisecond)
	impatient.fault(t, simulate.Fault{DelayMillis: int(patient / time.Millisecond)})
	requireRetry(t, impatient.send(t, t.Context()))
}

// requireRetry: nobody knows whether the message was taken.
func requireRetry(t *testing.T, result push.Result) {
	t.Helper()
	require.Equal(t, push.Retry, result.Outcome, "%+v", result)
	require.Zero(t, result.Status, "%+v", result)
}

func (rig Rig) endsWithItsContext(t *testing.T) {
	bench := rig.open(t, patient)
	bench.fault(t, simulate.Fault{DelayMillis: int(patient / time.Millisecond)})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	results := make(chan push.Result, 1)
	go func() { results <- bench.Provider.Send(ctx, bench.Message) }()
	_, err := bench.Service.Await(soon(t), 1)
	require.NoError(t, err)
	cancel()
	select {
	case result := <-results:
		bench.requireSane(t, result)
		requireRetry(t, result)
	case <-soon(t).Done():
		t.Fatal("it waits for an answer that nobody wants any more")
	}

	requireRetry(t, bench.send(t, ctx)) // which has ended already
}

func (rig Rig) survivesHostility(t *testing.T) {
	bench := rig.open(t, patient)
	for _, status := range []int{200, 400, 403, 410, 429, 500, 503} {
		for _, body := range bench.hostile() {
			header := map[string]string{}
			for _, name := range []string{"apns-id", "Location", "X-WNS-Msg-ID", "X-WNS-Status", "X-WNS-Error-Description"} {
				header[name] = strings.Map(headerRune, body[:min(len(body), 1<<10)])
			}
			bench.fault(t, simulate.Fault{Status: status, Body: body, Header: header})
			result := bench.send(t, t.Context())
			require.Equal(t, status, result.Status, "%d %.100q: %+v", status, body, result)
			require.Equal(t, status == 200, result.Outcome == push.Delivered, "%d %.100q: %+v", status, body, result)
		}
	}
	for _, secret := range bench.Told {
		bench.fault(t, simulate.Fault{Status: 400, Reason: secret})
		bench.send(t, t.Context())
	}
}

func (rig Rig) onlyReads(t *testing.T) {
	bench := rig.open(t, patient)
	fields := []*[]byte{
		&bench.Message.Notification.Content, &bench.Message.Notification.Native,
		&bench.Message.Subscription.P256dh, &bench.Message.Subscription.Auth, &bench.Message.Subscription.VAPIDKey,
	}
	for _, s := range fields { // with room behind, which append would use
		if *s != nil {
			*s = append(make([]byte, 0, 2*len(*s)+4096), *s...)
		}
	}
	all := func() []byte {
		var whole [][]byte
		for _, s := range fields {
			whole = append(whole, (*s)[:cap(*s)])
		}
		return bytes.Join(whole, nil)
	}
	before := all()
	require.Equal(t, push.Delivered, bench.send(t, t.Context()).Outcome)
	require.NoError(t, bench.Provider.CheckNotification(bench.Message.Notification))
	require.NoError(t, bench.Provider.CheckSubscription(t.Context(), bench.Message.Subscription))
	require.Equal(t, before, all())
}

func (rig Rig) servesMany(t *testing.T) {
	const senders, each = 16, 8
	bench := rig.open(t, patient)
	var sending sync.WaitGroup
	for range senders {
		sending.Go(func() {
			for range each {
				if result := bench.Provider.Send(t.Context(), bench.Message); result.Outcome != push.Delivered {
					t.Errorf("send: %+v", result)
				}
			}
		})
	}
	sending.Wait()
	taken, err := bench.Service.Await(soon(t), senders*each)
	require.NoError(t, err)
	require.Len(t, taken, senders*each)
}

func (rig Rig) checks(t *testing.T) {
	bench := rig.open(t, patient)
	require.NoError(t, bench.Provider.CheckSubscription(t.Context(), bench.Message.Subscription))
	require.NoError(t, bench.Provider.CheckNotification(bench.Message.Notification))
	unnamed := bench.Message.Notification
	unnamed.ID = push.ID{}
	require.NoError(t, bench.Provider.CheckNotification(unnamed))
	require.Equal(t, push.Delivered, bench.send(t, t.Context()).Outcome)

	require.NotEmpty(t, rig.Wrong)
	for field, change := range rig.Wrong {
		wrong := bench
		change(&wrong.Message.Subscription)
		err := wrong.Provider.CheckSubscription(t.Context(), wrong.Message.Subscription)
		var invalid *push.InvalidError
		require.ErrorAs(t, err, &invalid, field)
		require.Equal(t, field, invalid.Field)
		require.NotEmpty(t, invalid.Detail)
		require.Equal(t, push.Rejected, wrong.send(t, t.Context()).Outcome, field)
		for _, secret := range bench.secrets() {
			require.NotContains(t, err.Error(), secret)
		}
	}

	content, err := push.Content{Title: "Long", Body: strings.Repeat("x", 16<<10)}.Encode()
	require.NoError(t, err)
	bench.Message.Notification.Content = content
	var long *push.TooLargeError
	require.ErrorAs(t, bench.Provider.CheckNotification(bench.Message.Notification), &long)
	require.Equal(t, bench.Message.Subscription.Kind, long.Kind)
	require.Greater(t, long.Bytes, long.Max)
	require.Equal(t, push.Rejected, bench.send(t, t.Context()).Outcome)
	require.Len(t, bench.Service.Log(), 1, "nothing that is known to be wrong is sent")
}

func (rig Rig) leavesNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	bench := rig.Open(t, patient)
	for _, fault := range []simulate.Fault{{}, rig.Ended, {Status: 500}, {Reset: true}} {
		bench.fault(t, fault)
		bench.send(t, t.Context())
	}
	listening := goleak.IgnoreAnyFunction("github.com/belfryhq/belfry/push/simulate.(*station).run.func1")
	var left error // a connection, either end of it
	for range 10 {
		bench.Provider.Close() // what a stream that was reset kept busy is idle a moment later
		if left = goleak.Find(before, listening); left == nil {
			break
		}
	}
	require.NoError(t, left)
	bench.Service.Stop()
	goleak.VerifyNone(t, before)
}
