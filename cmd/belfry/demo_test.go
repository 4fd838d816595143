package main_test

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// What make demo-apns runs.
func TestDemo_ShowsAnAPNsPushArriving(t *testing.T) {
	path, err := binary()
	require.NoError(t, err)
	out, err := exec.Command("../../.ci/demo-apns", path).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "delivered at apns api.push.apple.com", "what the sender sees")
	require.Contains(t, string(out), `msg=taken status=200 reason="" topic=com.example.app title="The bells are ringing"`, "what the phone got")
}
