package fcm

import (
	"context"
	"encoding/json"
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
		Ended:    simulate.Fault{Status: 404, Reason: "UNREGISTERED"},
		Refused:  simulate.Fault{Status: 403, Reason: "PERMISSION_DENIED"},
		Rejected: simulate.Fault{Status: 400, Body: `{"error":{"code":400,"message":"The message is too big.","status":"INVALID_ARGUMENT"}}`},
		Throttle: simulate.Fault{Status: 429, Reason: "QUOTA_EXCEEDED"},
		Wrong: map[string]func(*push.Subscription){
			"token":   func(s *push.Subscription) { s.Endpoint = "with a space" },
			"project": func(s *push.Subscription) { s.Project = "" },
		},
	})
}

func openBench(t *testing.T, timeout time.Duration) pushtest.Bench {
	t.Helper()
	authority, err := simulate.NewAuthority()
	require.NoError(t, err)
	service, err := simulate.OpenFCM(simulate.FCMConfig{Config: simulate.Config{Authority: authority}, Project: project})
	require.NoError(t, err)
	credential, err := Parse(service.ServiceAccount(), service.URL())
	require.NoError(t, err)
	provider, err := New(Config{
		Credential: func(context.Context, string, string) (*Credential, error) { return credential, nil },
		RootCAs:    authority.Pool(),
		Timeout:    timeout,
	})
	require.NoError(t, err)
	var account struct {
		Key string `json:"private_key"`
	}
	require.NoError(t, json.Unmarshal(service.ServiceAccount(), &account))
	return pushtest.Bench{
		Provider: provider, Service: service, Message: messageTo(t, registrationToken),
		Told: []string{registrationToken},
		Kept: []string{strings.Split(account.Key, "\n")[1]},
	}
}
