package actors

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
	"github.com/stretchr/testify/require"
)

func (r *rig) overview() Overview {
	r.t.Helper()
	seen, err := r.Overview(r.t.Context())
	require.NoError(r.t, err)
	return seen
}

func TestOverview_CountsWhatHappened(t *testing.T) {
	bubble(t, func(t *testing.T) {
		began := time.Now()
		r, flaky := newFlakyRig(t)
		r.subscribe("ann", "laptop")
		r.subscribe("ann", "phone")
		r.service.script("laptop", outcome(push.Retry, 503), answer{}, outcome(push.Rejected, 413))
		r.service.script("phone", outcome(push.Gone, 410))
		r.notify("ann", "ann", "nobody")
		time.Sleep(time.Minute)
		flaky.failing.Store(true)
		_, err := r.Notify([]Draft{{User: userNamed("ann"), Content: []byte("{}"), TTL: time.Hour}})
		require.ErrorIs(t, err, ErrUnavailable)
		flaky.failing.Store(false)

		seen := r.overview()
		require.Equal(t, began, seen.Since)
		require.Zero(t, seen.Backlog)
		require.Zero(t, seen.WaitingForCommit)
		commits, took := 0, time.Duration(0)
		for _, e := range eventsOf[GroupCommitted](r) {
			if e.Err == nil {
				commits++
				took += e.Took
			}
		}
		require.Equal(t, map[string]int64{
			"accepted": 3, "restarts": 0, "store_failures": 1,
			"commits": int64(commits), "commit_nanoseconds": int64(took),
			"attempts": 4, "attempt.delivered": 1, "attempt.retry": 1, "attempt.gone": 1, "attempt.rejected": 1, "attempt.refused": 0,
			"delivery.delivered": 1, "delivery.gone": 2, "delivery.rejected": 1, "delivery.no_subscription": 1,
			"delivery.expired": 0, "delivery.unsubscribed": 0, "delivery.superseded": 0, "delivery.cancelled": 0,
		}, seen.Counters)
	})
}

// The gauges agree with the tree, whatever came, failed and left.
func TestOverview_CountsTheActorsThatLive(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.bugs = true
		agrees := func() {
			t.Helper()
			r.settle()
			want := map[string]int{"lane": 0, "user": 0, "subscription": 0, "webhook": 0}
			countKinds(r, "/", want)
			require.Equal(t, want, r.overview().Actors)
		}
		agrees()
		hold := make(chan struct{})
		for _, user := range []string{"ann", "bob", "carl"} {
			r.subscribe(user, user)
			r.service.script(user, answer{hold: hold})
		}
		r.register(phoneAt("ann", "token-1", "org.example", push.Production))
		r.notify("ann", "bob", "carl", "nobody")
		agrees()
		require.Equal(t, 3, r.overview().Actors["subscription"], "the phone has its message")
		require.Equal(t, 4, r.overview().Actors["user"])
		require.Equal(t, 2, r.overview().Actors["lane"])
		r.service.script("ann", answer{panics: true})
		close(hold)
		agrees()
		r.notify("ann")
		time.Sleep(time.Minute)
		agrees()
		r.failOnce(func(e Event) bool { _, ok := e.(DeliveryConcluded); return ok })
		r.notify("bob") // the user's actor panics
		agrees()
		time.Sleep(time.Second)
		agrees()
		r.send(r.lanePID(t), (*carry)(nil)) // a lane panics
		time.Sleep(time.Second)
		agrees()
		r.notify("bob", "carl")
		r.send(r.lanes, (*carry)(nil)) // the lanes panic, and what depends on them starts anew
		time.Sleep(2 * time.Second)
		agrees()
		time.Sleep(time.Hour)
		require.Zero(t, r.overview().Actors["user"]+r.overview().Actors["subscription"]+r.overview().Actors["lane"])
		agrees()
	})
}

// lanePID is the lane to push.example.
func (r *rig) lanePID(t *testing.T) *actor.PID {
	t.Helper()
	return r.childOf(t, r.lanes, "default:webpush:push.example")
}

// childOf is an actor as its parent knows it.
func (r *rig) childOf(t *testing.T, parent *actor.PID, name string) *actor.PID {
	t.Helper()
	found, err := r.System.inspect(parent, &inspect{child: name})
	require.NoError(t, err)
	return found.child.pid
}

// countKinds counts the live actors from a path on.
func countKinds(r *rig, path string, count map[string]int) {
	page := r.inspect(path)
	count[page.Node.Kind]++
	for _, child := range page.Children {
		if child.State != "resting" && child.State != "crashed" {
			countKinds(r, child.Path, count)
		}
	}
}

func TestOverview_ShowsTheLanesToLookAtFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		hold := make(chan struct{})
		const lanes = 30
		for i := range lanes {
			sub := phoneAt("ann", fmt.Sprint("token-", i), fmt.Sprintf("topic-%02d", i), push.Production)
			r.register(sub)
			switch i {
			case 17:
				r.service.script(fmt.Sprint("token-", i), outcome(push.Refused, 403))
			case 23:
				r.service.script(fmt.Sprint("token-", i), answer{hold: hold})
			}
		}
		r.notify("ann")
		r.settle()
		seen := r.overview()
		require.Len(t, seen.Lanes, lanesShown)
		require.Equal(t, lanes-lanesShown, seen.LanesMore)
		paused := seen.Lanes[0]
		require.Equal(t, "/lanes/default:apns:topic-17@api.push.apple.com", paused.Path)
		require.Equal(t, "credentials refused", paused.Cause)
		require.Equal(t, "403 told so", paused.Reason)
		require.Equal(t, "/lanes/default:apns:topic-23@api.push.apple.com", seen.Lanes[1].Path)
		require.Equal(t, 1, seen.Lanes[1].InFlight)
		require.Equal(t, "/lanes/default:apns:topic-00@api.push.apple.com", seen.Lanes[2].Path)
		require.Empty(t, seen.Lanes[2].Cause)
		close(hold)
	})
}

// browserAt is a browser's subscription at a push host. The service knows it by
// its user.
func browserAt(user, host string) push.Subscription {
	sub := subscriptionAt(user, user)
	sub.Endpoint = push.Endpoint("https://" + host + "/" + user)
	sub.Digest = push.DigestOf(sub.Endpoint)
	return sub
}

// A stranger can have as many lanes as he has host names, all of them before any
// other by name.
func TestOverview_ShowsAShutLaneBesideAnyNumberOfOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		const strange = MaxPage + 50
		for i := range strange {
			r.register(browserAt("stranger", fmt.Sprintf("a%03d.example", i)))
		}
		r.register(browserAt("ann", "zulu.example"), browserAt("bob", "zulu.example"), browserAt("carl", "zulu.example"), browserAt("dora", "yankee.example"))
		r.notify("stranger", "dora", "dora")
		r.settle()
		for _, user := range []string{"ann", "bob", "carl"} {
			r.service.script(user, outcome(push.Refused, 403))
		}
		r.notify("ann", "bob", "carl")
		r.settle()

		seen := r.overview()
		require.Len(t, seen.Lanes, lanesShown)
		require.Equal(t, strange+2-lanesShown, seen.LanesMore)
		require.Equal(t, "/lanes/default:webpush:zulu.example", seen.Lanes[0].Path)
		require.Equal(t, "credentials refused", seen.Lanes[0].Cause)

		time.Sleep(3 * time.Minute) // the probe does well
		require.Empty(t, r.overview().Lanes[0].Cause)
		require.Zero(t, shutLanes(r), "and nothing is kept of it")
	})
}

// Of those that are open, the ones that carry most are looked at.
func TestOverview_ShowsABusyLaneBesideAnyNumberOfOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		for i := range MaxPage + 50 {
			r.register(browserAt("stranger", fmt.Sprintf("a%03d.example", i)))
		}
		r.register(browserAt("ann", "zulu.example"), browserAt("bob", "zulu.example"))
		r.notify("stranger")
		r.settle()
		hold := make(chan struct{})
		r.service.script("ann", answer{hold: hold})
		r.service.script("bob", answer{hold: hold})
		r.notify("ann", "bob")
		r.settle()
		busiest := r.overview().Lanes[0]
		require.Equal(t, "/lanes/default:webpush:zulu.example", busiest.Path)
		require.Equal(t, 2, busiest.InFlight)
		close(hold)
	})
}

// What says which lanes are shut agrees with the lanes, whatever became of them.
func TestOverview_ForgetsAShutLaneThatFailedOrLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.bugs = true
		shut := func() {
			t.Helper()
			r.service.script("token-1", outcome(push.Refused, 403))
			r.notifyTTL(30*time.Second, "ann")
			r.settle()
			require.Equal(t, "credentials refused", r.overview().Lanes[0].Cause)
			require.Equal(t, 1, shutLanes(r))
		}
		r.register(phoneAt("ann", "token-1", "org.example", push.Production))
		shut()
		r.send(r.childOf(t, r.lanes, "default:apns:org.example@api.push.apple.com"), (*carry)(nil)) // the lane panics
		time.Sleep(5 * time.Second)
		require.Zero(t, shutLanes(r))
		shut()
		r.send(r.lanes, (*carry)(nil)) // the lanes panic
		time.Sleep(5 * time.Second)
		require.Zero(t, shutLanes(r))
		shut()
		time.Sleep(time.Hour) // what it would have sent has expired
		require.Empty(t, r.overview().Lanes)
		require.Zero(t, shutLanes(r))
	})
}

func shutLanes(r *rig) (n int) {
	r.figures.shut.Range(func(any, any) bool { n++; return true })
	return n
}

func TestOverview_RemembersTheLastFailures(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.bugs = true
		r.subscribe("ann", "laptop")
		long := strings.Repeat("ä", 400)
		var f figures
		for i := range failuresShown + 5 {
			f.add(ActorFailed{Path: fmt.Sprint("/", i), Reason: long, Restarts: i})
		}
		failures := f.latest()
		require.Len(t, failures, failuresShown)
		require.Equal(t, "/24", failures[0].Path)
		require.Equal(t, "/5", failures[failuresShown-1].Path)
		require.LessOrEqual(t, len(failures[0].Reason), failureBytes)
		require.True(t, strings.HasPrefix(long, strings.TrimSuffix(failures[0].Reason, "…")))

		r.service.script("laptop", answer{panics: true}, retryAfter(50*time.Second))
		r.notify("ann")
		r.settle()
		failedAt := time.Now()
		time.Sleep(time.Second)
		seen := r.overview().Failures
		require.Len(t, seen, 1)
		sub := r.inspect(r.pathOfUser("ann")).Children[0]
		require.Equal(t, Failure{At: failedAt, Path: sub.Path, Reason: "the provider has a bug", Restarts: 1}, seen[0])
		require.Equal(t, "the provider has a bug", sub.Failure)
		require.Equal(t, failedAt, sub.FailedAt)
		require.Equal(t, sub, r.inspect(sub.Path).Node, "it is the same for who looks at it alone")
		require.Equal(t, int64(1), r.overview().Counters["restarts"])
	})
}

// Each parent tells of the failures of its children.
func TestInspect_ShowsWhatAnActorPanickedWith(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.bugs = true
		r.subscribe("ann", "laptop")
		r.service.script("laptop", retryAfter(50*time.Second))
		r.notify("ann")
		r.settle()
		for _, path := range []string{"/lanes/default:webpush:push.example", r.pathOfUser("ann"), "/journal"} {
			require.Empty(t, r.inspect(path).Node.Failure)
			require.Zero(t, r.inspect(path).Node.FailedAt)
		}
		ann := userNamed("ann")
		r.send(r.childOf(t, r.rangeOf(ann), userName(ann)), (*deliver)(nil))
		r.send(r.lanePID(t), (*carry)(nil))
		r.settle()
		failedAt := time.Now()
		require.Contains(t, r.inspect(r.pathOfUser("ann")).Node.Failure, "nil pointer")
		time.Sleep(5 * time.Second) // they are back
		for _, path := range []string{"/lanes/default:webpush:push.example", r.pathOfUser("ann")} {
			require.Contains(t, r.inspect(path).Node.Failure, "nil pointer", path)
			require.Equal(t, failedAt, r.inspect(path).Node.FailedAt, path)
		}
		r.send(r.journal, (*record)(nil))
		time.Sleep(time.Second)
		require.Contains(t, r.inspect("/journal").Node.Failure, "nil pointer")
		require.Equal(t, 1, r.inspect("/journal").Node.Restarts)
	})
}

func TestSearch_FindsUsersAndLanesByAPartOfTheirName(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		for _, user := range []string{"Ann", "joANNa", "bob", "an/ünn"} {
			r.notify(user)
		}
		r.register(phoneAt("carl", "token-1", "org.Anna.app", push.Production))
		r.notify("carl")
		r.settle()
		search := func(part string, limit int) (paths []string, more bool) {
			found, more, err := r.Search(t.Context(), part, limit)
			require.NoError(t, err)
			for _, node := range found {
				require.NotEmpty(t, node.Kind)
				require.NotEqual(t, "leaving", node.State)
				paths = append(paths, node.Path)
			}
			return paths, more
		}
		all, more := search("ann", 10)
		require.False(t, more)
		require.ElementsMatch(t, []string{"/lanes/default:apns:org.Anna.app@api.push.apple.com", r.pathOfUser("Ann"), r.pathOfUser("joANNa")}, all)
		require.IsIncreasing(t, all)
		first, more := search("ann", 2)
		require.True(t, more)
		require.Equal(t, all[:2], first)
		for part, want := range map[string][]string{
			"N/Ü":         {r.pathOfUser("an/ünn")},
			"default:bob": {r.pathOfUser("bob")},
			"%2F":         nil,
			"APPLE.com":   all[:1],
		} {
			found, more := search(part, 10)
			require.Equal(t, want, found, part)
			require.False(t, more)
		}
	})
}

func TestSearch_PagesOfManyAreTheFirstByPath(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		var users []string
		for i := range 200 {
			users = append(users, fmt.Sprint("user-", i))
		}
		r.notify(users...)
		r.settle()
		all, more, err := r.Search(t.Context(), "user-", 300)
		require.NoError(t, err)
		require.False(t, more)
		require.Len(t, all, 200)
		some, more, err := r.Search(t.Context(), "user-", 30)
		require.NoError(t, err)
		require.True(t, more)
		require.Equal(t, all[:30], some)
	})
}

func TestLane_IsFoundByItsSubscription(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		sub := phoneAt("ann", "token-1", "org.example", push.Production)
		r.register(sub)
		_, err := r.Lane(t.Context(), sub)
		require.ErrorIs(t, err, ErrNoActor)
		r.service.script("token-1", outcome(push.Refused, 403))
		r.notify("ann")
		r.settle()
		lane, err := r.Lane(t.Context(), sub)
		require.NoError(t, err)
		require.Equal(t, "/lanes/default:apns:org.example@api.push.apple.com", lane.Path)
		require.Equal(t, "credentials refused", lane.Cause)
		require.Equal(t, time.Now().Add(pauseBase), lane.NextAttempt)
	})
}
