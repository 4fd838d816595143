package main_test

import (
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/pushtest"
	"github.com/belfryhq/belfry/push/simulate"
)

// Somebody who follows what happens sees all of it, through a restart of the service,
// and is told why a notification did not come.
func TestEvents_AreFollowedAndExplained(t *testing.T) {
	service := pushtest.StartWebPush(t)
	d := startDaemon(t, allowing(service)...)
	follower, out, complaints := d.begin(nil, "events", "--follow", "--after", "oldest")
	send := func(user string) string {
		sent, err := d.run("send", "--user", user, "--title", "hello", "--wait")
		require.NoError(t, err)
		id, _, _ := strings.Cut(sent, " ")
		return id
	}
	d.register("ann", simulate.NewBrowser(push.Endpoint(service.NewEndpoint(simulate.Status(410)).URL)))
	gone := send("ann")
	eventually(t, "the follower sees it", func() bool { return strings.Contains(out.String(), "delivery.gone") })

	require.NoError(t, d.stop(), "who follows does not hold it up")
	d.start()
	nowhere := send("ann")
	eventually(t, "the follower sees what came after", func() bool { return strings.Contains(out.String(), "notification "+nowhere) })
	require.Contains(t, out.String(), "notification "+gone)
	require.Equal(t, 1, strings.Count(out.String(), "delivery.gone"), "once")
	require.Equal(t, 1, strings.Count(complaints.String(), "trying again"))
	require.NoError(t, follower.Process.Signal(syscall.SIGINT))
	require.NoError(t, follower.Wait())

	answer, err := d.run("explain", "ann", gone)
	require.NoError(t, err)
	require.Contains(t, strings.Join(strings.Fields(answer), " "), "said that this subscription is over (HTTP 410")
	answer, err = d.run("explain", "ann")
	require.NoError(t, err)
	require.Contains(t, answer, "ann has no subscription now")
	require.Contains(t, answer, nowhere)
}
