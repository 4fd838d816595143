package guard

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A host has one spelling, in which it is read again.
func FuzzParseHost(f *testing.F) {
	for _, seed := range []string{"push.lan", "PUSH.lan:443", "[::1]:80", "::1", "[0:0::1]", "a:b:c", "10.0.0.1:0", "fe80::1%eth0", "fe80::% ", "a..b", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		host, err := ParseHost(entry)
		if err != nil {
			return
		}
		again, err := ParseHost(host)
		require.NoError(t, err)
		require.Equal(t, host, again)
		require.Equal(t, strings.ToLower(host), host)
		require.False(t, strings.ContainsAny(host, "/@?#\\ \r\n\x00"))
	})
}
