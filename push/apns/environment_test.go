package apns

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/simulate"
)

func TestSend_TriesTheOtherEnvironmentOnceAndRemembersIt(t *testing.T) {
	r := newRig(t)
	r.production.Disown(tokenHex)
	for i := range 3 {
		require.Equal(t, push.Delivered, r.send().Outcome)
		require.Len(t, r.production.Log(), 1, "asked once")
		require.Len(t, r.sandbox.Log(), i+1)
	}
	require.Equal(t, push.Delivered, r.send(device(numbered(1))).Outcome)
	require.Len(t, r.production.Log(), 2, "another device is another matter")

	// The app came from the App Store meanwhile, with the same token.
	r.production.Register(tokenHex)
	r.sandbox.Disown(tokenHex)
	require.Equal(t, push.Gone, r.send().Outcome)
}

func TestSend_ForgetsTheOtherEnvironmentWhenItIsWrong(t *testing.T) {
	r := newRig(t)
	message := messageOf(t)
	r.environments.remember(message.Subscription, push.Sandbox)
	r.sandbox.Disown(tokenHex)
	require.Equal(t, push.Delivered, r.send().Outcome)
	require.Equal(t, push.Production, r.environments.of(message.Subscription))
	require.Equal(t, push.Delivered, r.send().Outcome)
	require.Len(t, r.sandbox.Log(), 1)
}

func TestSend_IsGoneWhenNeitherEnvironmentKnowsTheToken(t *testing.T) {
	r := newRig(t)
	r.production.Disown(tokenHex)
	r.sandbox.Disown(tokenHex)
	result := r.send()
	require.Equal(t, push.Gone, result.Outcome)
	require.Equal(t, 400, result.Status)
	require.Equal(t, "BadDeviceToken in production and in the sandbox", result.Reason)
	require.Len(t, r.production.Log(), 1)
	require.Len(t, r.sandbox.Log(), 1)
}

// What the other environment says of the credential is no word about the lane that
// the message came from.
func TestSend_TakesTheOtherEnvironmentsAnswerForWhatItIs(t *testing.T) {
	for name, test := range map[string]struct {
		fault simulate.Fault
		want  push.Outcome
		says  string
	}{
		"the key is for production alone":         {simulate.Fault{Status: 403, Reason: "BadEnvironmentKeyIdInToken"}, push.Gone, "BadDeviceToken in production, the only one that the credential is for"},
		"as APNs spells it":                       {simulate.Fault{Status: 403, Reason: "BadEnvironmentKeyInToken"}, push.Gone, "BadDeviceToken in production, the only one that the credential is for"},
		"the certificate is for production alone": {simulate.Fault{Status: 403, Reason: "BadCertificateEnvironment"}, push.Gone, "BadDeviceToken in production, the only one that the credential is for"},
		"the key is not known there":              {simulate.Fault{Status: 403, Reason: "InvalidProviderToken"}, push.Rejected, "BadDeviceToken in production, and the other environment refuses the credential: InvalidProviderToken"},
		"it cannot say now":                       {simulate.Fault{Status: 503, Reason: "ServiceUnavailable", RetryAfter: 9}, push.Retry, "BadDeviceToken in production, and from the other environment: ServiceUnavailable"},
		"it is busy with tokens":                  {simulate.Fault{Status: 429, Reason: "TooManyProviderTokenUpdates"}, push.Retry, "BadDeviceToken in production, and from the other environment: TooManyProviderTokenUpdates"},
		"it does not answer":                      {simulate.Fault{Reset: true}, push.Retry, "BadDeviceToken in production, and from the other environment: the connection to the push service broke"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.production.Disown(tokenHex)
			require.NoError(t, r.sandbox.Fault(test.fault))
			result := r.send()
			require.Equal(t, test.want, result.Outcome)
			require.Equal(t, test.says, result.Reason)
			require.Equal(t, 400, result.Status)
			require.Zero(t, result.Pause, "there is nothing wrong with the credential here")
			require.Equal(t, time.Duration(test.fault.RetryAfter)*time.Second, result.RetryAfter)
			require.Equal(t, test.fault.Reason == tooManyProviderTokenUpdates, result.AtLeast == tokenRest)
		})
	}

	r := newRig(t)
	r.production.Disown(tokenHex)
	r.sandbox.Unregister(tokenHex, noon)
	result := r.send()
	require.Equal(t, push.Gone, result.Outcome)
	require.Equal(t, 410, result.Status)
	require.Equal(t, "Unregistered", result.Reason)
}

// A token that turned out to be the sandbox's stands in the lane of production.
func TestSend_HoldsUpNoLaneForWhatAnotherEnvironmentSays(t *testing.T) {
	for reason, want := range map[string]push.Result{
		"InvalidProviderToken":       {Outcome: push.Retry, Status: 403},
		"TopicDisallowed":            {Outcome: push.Retry, Status: 403},
		"BadEnvironmentKeyIdInToken": {Outcome: push.Retry, Status: 403},
		tooManyProviderTokenUpdates:  {Outcome: push.Retry, Status: 403, AtLeast: tokenRest},
	} {
		t.Run(reason, func(t *testing.T) {
			r := newRig(t)
			r.production.Disown(tokenHex)
			require.Equal(t, push.Delivered, r.send().Outcome)
			require.NoError(t, r.sandbox.Fault(simulate.Fault{Times: 1, Status: 403, Reason: reason}))
			result := r.send()
			want.Reason, want.MessageID = reason, result.MessageID
			require.Equal(t, want, result)
			require.Len(t, r.production.Log(), 1)

			require.NoError(t, r.sandbox.Fault(simulate.Fault{Times: 1, Status: 403, Reason: "InvalidProviderToken"}))
			own := r.send(func(m *push.Message) { m.Subscription.Environment = push.Sandbox })
			require.Equal(t, push.Refused, own.Outcome, "in its own lane it is a word about all")
		})
	}
}

// The key was replaced by one for production alone.
func TestSend_ForgetsTheOtherEnvironmentWhenTheCredentialIsNotForIt(t *testing.T) {
	r := newRig(t)
	r.production.Disown(tokenHex)
	require.Equal(t, push.Delivered, r.send().Outcome)
	require.NoError(t, r.sandbox.Fault(simulate.Fault{Status: 403, Reason: "BadEnvironmentKeyIdInToken"}))
	require.Equal(t, push.Retry, r.send().Outcome)
	result := r.send()
	require.Equal(t, push.Gone, result.Outcome)
	require.Equal(t, "BadDeviceToken in production, the only one that the credential is for", result.Reason)
}

func TestSend_HasOneEnvironmentWithAHostAlone(t *testing.T) {
	r := newRig(t)
	settings := r.credential.Settings()
	settings.SandboxHost = ""
	r.credential = parseToken(t, r.credential.Secret(), settings)
	require.Equal(t, push.Delivered, r.send(func(m *push.Message) { m.Subscription.Environment = push.Sandbox }).Outcome)
	r.production.Disown(tokenHex)
	result := r.send()
	require.Equal(t, push.Gone, result.Outcome)
	require.Equal(t, "BadDeviceToken", result.Reason)
	require.Len(t, r.production.Log(), 2)
	require.Empty(t, r.sandbox.Log())
}

func TestEnvironments_AreRememberedInBounds(t *testing.T) {
	e := newEnvironments()
	for i := range maxEnvironments + 10 {
		e.remember(push.Subscription{Digest: push.DigestOf(push.Endpoint(numbered(i))), Environment: push.Production}, push.Sandbox)
	}
	require.Len(t, e.kept, maxEnvironments)
	last := push.Subscription{Digest: push.DigestOf(push.Endpoint(numbered(maxEnvironments + 9))), Environment: push.Production}
	require.Equal(t, push.Sandbox, e.of(last))
	e.forget(last)
	require.Equal(t, push.Production, e.of(last))
}

func TestCredential_LeadsToApple(t *testing.T) {
	credential := &Credential{}
	require.Equal(t, "https://api.push.apple.com", credential.base(push.Production))
	require.Equal(t, "https://api.sandbox.push.apple.com", credential.base(push.Sandbox))
}
