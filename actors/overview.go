package actors

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
)

// Overview is the whole tree in figures.
type Overview struct {
	Since            time.Time        // when the System was started; what the counters count from
	Backlog          int              // see System.Backlog
	WaitingForCommit int              // see System.WaitingForCommit
	Counters         map[string]int64 // accepted, attempts, attempt.<outcome>, delivery.<state>, commits, commit_nanoseconds, restarts, store_failures
	Actors           map[string]int   // by kind
	Lanes            []Node           // those that are not open or have the most to do first, at most 20
	LanesMore        int              // beside these
	Failures         []Failure        // the last 20 panics, the newest first
}

// Failure is a panic of an actor.
type Failure struct {
	At       time.Time
	Path     string
	Reason   string // what it panicked with, in at most 500 bytes
	Restarts int    // how often this child failed so far
}

const (
	lanesShown = 20  // in an Overview
	lanesAsked = 200 // for one
)

// Overview looks at the whole tree, at little cost whatever its size: it asks no
// user, and of the lanes those that are shut or were given the most to carry.
func (s *System) Overview(ctx context.Context) (Overview, error) {
	answer, err := s.ask(s.lanes, &survey{limit: lanesAsked}, askTimeout)
	if err != nil {
		return Overview{}, s.inspectFailed(s.lanes, err)
	}
	if ctx.Err() != nil {
		return Overview{}, ctx.Err()
	}
	lanes := answer.(*inspected)
	seen := Overview{
		Since:            s.figures.since,
		Backlog:          s.Backlog(),
		WaitingForCommit: s.WaitingForCommit(),
		Counters:         s.figures.counters(),
		Actors:           s.countActors(),
		Lanes:            s.inspectAll(spotsOf(lanes.children, s.pathOf(s.lanes))),
		Failures:         s.figures.latest(),
	}
	slices.SortStableFunc(seen.Lanes, func(a, b Node) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.Queue+b.InFlight, a.Queue+a.InFlight))
	})
	seen.Lanes = seen.Lanes[:min(len(seen.Lanes), lanesShown)]
	seen.LanesMore = lanes.total - len(seen.Lanes)
	return seen, nil
}

// rank puts the lanes that are not open before the others.
func rank(lane Node) int {
	if lane.Cause != "" {
		return 0
	}
	return 1
}

// countActors counts by kind. Those of fixed number are as doc.go draws them.
func (s *System) countActors() map[string]int {
	count := map[string]int{
		"supervisor":   2,
		"journal":      1,
		"lanes":        1,
		"lane":         int(s.live.lanes.Load()),
		"shards":       len(s.ranges),
		"user":         int(s.live.users.Load()),
		"subscription": int(s.live.subscriptions.Load()),
		"janitor":      1,
		"webhooks":     1,
		"webhook":      0,
	}
	if s.webhooks != nil {
		if found, err := s.inspect(s.webhooks, &inspect{}); err == nil {
			count["webhook"] = found.total
		}
	}
	return count
}

// Search finds live users and lanes by a part of their name, without regard to
// case: by path, at most limit, and MaxPage. A user's name is the app, a colon,
// and the id.
func (s *System) Search(ctx context.Context, part string, limit int) (found []Node, more bool, err error) {
	ask := &search{part: strings.ToLower(part), limit: min(max(limit, 1), MaxPage)}
	asked := append([]*actor.PID{s.lanes}, s.ranges...)
	futures := make([]actor.Future, len(asked))
	for i, pid := range asked {
		futures[i] = s.actors.Root.RequestFuture(pid, ask, askTimeout)
	}
	var spots []spot
	for i, future := range futures {
		answer, err := future.Result()
		if err != nil {
			return nil, false, s.inspectFailed(asked[i], err)
		}
		answered := answer.(*searched)
		spots = append(spots, spotsOf(answered.found, s.pathOf(asked[i]))...)
		more = more || answered.more
	}
	if ctx.Err() != nil {
		return nil, false, ctx.Err()
	}
	slices.SortFunc(spots, func(a, b spot) int { return strings.Compare(a.path, b.path) })
	if len(spots) > ask.limit {
		spots, more = spots[:ask.limit], true
	}
	return s.inspectAll(spots), more, nil
}

// PathOf is where a user's actor is found while it is in memory.
func (s *System) PathOf(user push.User) string {
	return s.pathOf(s.rangeOf(user)) + "/" + userName(user)
}

// Lane looks at the lane that a subscription's messages go through. ErrNoActor
// if it is not there, and so not paused.
func (s *System) Lane(ctx context.Context, subscription push.Subscription) (Node, error) {
	page, err := s.Inspect(ctx, "/lanes/"+laneOf(subscription).String(), "", 1)
	return page.Node, err
}
