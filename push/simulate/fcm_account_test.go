package simulate

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFCM_GoesOnWithAServiceAccount(t *testing.T) {
	authority, err := NewAuthority()
	require.NoError(t, err)
	open := func(config FCMConfig) *FCM {
		config.Authority = authority
		service, err := OpenFCM(config)
		require.NoError(t, err)
		t.Cleanup(service.Stop)
		return service
	}
	first := open(FCMConfig{Project: "tea-and-cake"})
	again := open(FCMConfig{ServiceAccount: first.ServiceAccount()})
	require.Equal(t, "tea-and-cake", again.Project())
	require.Equal(t, first.account, again.account)
	require.NotEqual(t, first.account, open(FCMConfig{Project: "tea-and-cake"}).account)

	for _, file := range []string{"", "{", "{}", `{"project_id":"p","private_key_id":"k","client_email":"e","private_key":"no PEM"}`} {
		_, err := OpenFCM(FCMConfig{Config: Config{Authority: authority}, ServiceAccount: []byte(file)})
		require.ErrorContains(t, err, "service account", file)
	}
}
