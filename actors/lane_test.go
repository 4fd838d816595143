package actors

import (
	"fmt"
	"testing"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/stretchr/testify/require"
)

// refusing subscribes a browser that is refused for so many times, and
// notifies its user.
func (r *rig) refusing(user string, times int) push.ID {
	r.subscribe(user, user)
	no := make([]answer, times)
	for i := range no {
		no[i] = outcome(push.Refused, 403)
	}
	r.service.script(user, no...)
	return r.notifyTTL(24*time.Hour, user)[0]
}

func TestLane_RefusedPausesItAndDeletesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		ids := []push.ID{r.refusing("ann", 1), r.refusing("joe", 1), r.refusing("sue", 1)}
		r.settle()
		r.subscribe("bob", "bob")
		bobs := r.notify("bob")
		time.Sleep(retryBase)
		lane := r.inspect("/lanes").Children[0]
		require.Equal(t, "paused: 403 told so", lane.State)
		require.Equal(t, 4, lane.Queue)
		require.Empty(t, r.service.got("bob"), "the host refuses our credentials, whoever it is for")
		require.Len(t, eventsOf[LanePaused](r), 1)

		time.Sleep(pauseBase)
		require.Len(t, eventsOf[LaneResumed](r), 1)
		for _, id := range append(ids, bobs...) {
			require.Equal(t, []string{"delivered"}, r.states(id))
		}
		require.Equal(t, 2, r.fate(ids[0]).Deliveries[0].Attempts)
		require.Equal(t, 1, r.fate(bobs[0]).Deliveries[0].Attempts, "the probe was for a user who was not refused")
	})
}

func TestLane_PausesGrowWhileProbesForNewUsersAreRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		for i := range 9 {
			r.refusing(fmt.Sprint("user-", i), 1)
			r.settle()
		}
		time.Sleep(3 * time.Hour)
		var pauses []time.Duration
		for i, e := range eventsOf[LanePaused](r) {
			if i > 0 {
				pauses = append(pauses, e.Until.Sub(eventsOf[LanePaused](r)[i-1].Until))
			}
		}
		m := time.Minute
		require.Equal(t, []time.Duration{2 * m, 4 * m, 8 * m, 15 * m, 15 * m, 15 * m}, pauses)
		require.Len(t, eventsOf[LaneResumed](r), 1)
		for i := range 9 {
			require.Len(t, r.service.got(fmt.Sprint("user-", i)), 1)
		}
	})
}

func TestLane_StrangersEndpointsHardlyHoldItUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.refusing("mallory", 1000)
		for i := range 10 {
			browser := fmt.Sprintf("odd-%d", i)
			r.subscribe("mallory", browser)
			r.service.script(browser, make([]answer, 0)...)
		}
		r.subscribe("ann", "laptop")
		time.Sleep(time.Hour)
		require.Empty(t, eventsOf[LanePaused](r), "one user, however often")
		ids := r.notify("ann")
		r.settle()
		require.Equal(t, []string{"delivered"}, r.states(ids[0]))

		r.refusing("mallory-2", 1000)
		r.settle()
		r.refusing("mallory-3", 1000)
		time.Sleep(time.Hour)
		require.NotEmpty(t, eventsOf[LanePaused](r), "three users in a row look like our own fault")
		ids = r.notify("ann")
		time.Sleep(pauseBase)
		require.Equal(t, []string{"delivered"}, r.states(ids[0]), "and its pause has not grown")
	})
}

func TestLane_ExpiresWhatWaitsTooLong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		for _, user := range []string{"joe", "sue", "kim"} {
			r.refusing(user, 1)
		}
		r.settle()
		r.subscribe("ann", "laptop")
		ids := append(r.notifyTTL(20*time.Second, "ann"), r.notifyTTL(30*time.Second, "ann")...)
		time.Sleep(40 * time.Second)
		for _, id := range ids {
			require.Equal(t, []string{"expired"}, r.states(id))
			require.Equal(t, 0, r.fate(id).Deliveries[0].Attempts)
			require.Contains(t, r.fate(id).Deliveries[0].Reason, "before it could be sent")
		}
		require.Empty(t, r.service.attemptsAt("laptop"))
	})
}

func TestLane_BoundsWhatIsInFlight(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.LaneInFlight = 3 })
		r.service.takes(time.Second)
		var users []string
		for i := range 20 {
			user := string(rune('a' + i))
			users = append(users, user)
			r.subscribe(user, user+"-laptop")
		}
		ids := r.notify(users...)
		time.Sleep(10 * time.Second)
		require.Equal(t, 3, r.service.mostOfAll())
		for _, id := range ids {
			require.Equal(t, []string{"delivered"}, r.states(id))
		}
	})
}
