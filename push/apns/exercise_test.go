package apns

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/pushtest"
	"github.com/belfryhq/belfry/push/simulate"
)

func TestProvider_KeepsItsContract(t *testing.T) {
	pushtest.Exercise(t, pushtest.Rig{
		Open:     openBench,
		Ended:    simulate.Fault{Status: 410, Reason: "Unregistered"},
		Refused:  simulate.Fault{Status: 403, Reason: "InvalidProviderToken"},
		Rejected: simulate.Fault{Status: 400, Reason: "BadCollapseId"},
		Throttle: simulate.Fault{Status: 429, Reason: "TooManyRequests"},
		Wrong: map[string]func(*push.Subscription){
			"token":       func(s *push.Subscription) { s.Endpoint = "no-hexadecimal-digits" },
			"environment": func(s *push.Subscription) { s.Environment = 0 },
			"topic":       func(s *push.Subscription) { s.Topic = "" },
		},
	})
}

func openBench(t *testing.T, timeout time.Duration) pushtest.Bench {
	t.Helper()
	authority, err := simulate.NewAuthority()
	require.NoError(t, err)
	p8, key := simulate.NewAPNsKey()
	service, err := simulate.OpenAPNs(simulate.APNsConfig{Config: simulate.Config{Authority: authority}, Keys: []simulate.APNsKey{key}})
	require.NoError(t, err)
	credential := parseToken(t, p8, Settings{TeamID: key.TeamID, KeyID: key.KeyID, Topics: []string{bundle}, Host: service.URL()})
	provider, err := New(Config{
		Credential: func(context.Context, string, string) (*Credential, error) { return credential, nil },
		RootCAs:    authority.Pool(),
		Timeout:    timeout,
	})
	require.NoError(t, err)
	message := messageOf(t)
	message.Subscription.CreatedAt = time.Now().Add(-time.Hour) // before Apple says that it is over
	return pushtest.Bench{
		Provider: provider, Service: service, Message: message,
		Told: []string{tokenHex},
		Kept: []string{strings.Split(string(p8), "\n")[1]},
	}
}
