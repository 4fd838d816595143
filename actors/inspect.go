package actors

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/belfryhq/belfry/push"
)

// Node is one actor as it is at the moment of asking.
type Node struct {
	Path        string    // from the root, "/" being the root itself; a segment's generation is left out
	Kind        string    // supervisor, journal, lanes, lane, shards, user, subscription, janitor
	State       string    // what it is doing, in a few words
	Queue       int       // work that waits in it
	InFlight    int       // work that it has begun and not finished
	Restarts    int       // how often it failed and was started anew, as its parent counts
	Cause       string    // lane: why it is paused; empty if it is not
	Reason      string    // lane: what the push host said; webhook: what came of its last call that was not taken
	Failure     string    // what it panicked with last, as its parent knows; empty if it never did
	FailedAt    time.Time // and when
	LastOutcome string    // of its last send; empty if it makes none
	NextAttempt time.Time // when it tries again; zero if it is not waiting
	Children    int
}

// Page is an actor and some of its children, by name.
type Page struct {
	Node     Node
	Children []Node
	Next     string // ask for the children after this name; empty on the last page
}

// MaxPage is the largest number of children in a Page.
const MaxPage = 500

// Inspect looks at the actor at a path and at up to limit of its children whose names
// come after the given one. Each actor answers for itself; one that has just
// left, or is too busy to answer, is listed with that state. ErrNoActor if the
// path leads nowhere.
func (s *System) Inspect(ctx context.Context, path, after string, limit int) (Page, error) {
	limit = min(max(limit, 1), MaxPage)
	pid, known := s.root, childRef{}
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if name == "" {
			continue
		}
		found, err := s.inspect(pid, &inspect{child: name})
		if err != nil {
			return Page{}, err
		}
		switch {
		case found.child == nil:
			return Page{}, fmt.Errorf("%w: %s", ErrNoActor, path)
		case found.child.pid == nil:
			return Page{Node: found.child.node("/" + strings.Trim(path, "/"))}, nil
		}
		pid, known = found.child.pid, *found.child
	}
	if ctx.Err() != nil {
		return Page{}, ctx.Err()
	}
	found, err := s.inspect(pid, &inspect{after: after, limit: limit})
	if err != nil {
		return Page{}, err
	}
	page := Page{Node: s.located(found, pid, known), Children: s.inspectAll(spotsOf(found.children, s.pathOf(pid)))}
	if n := len(found.children); found.more {
		page.Next = found.children[n-1].name
	}
	return page, nil
}

// node is what the parent can say in a child's stead.
func (r *childRef) node(path string) Node {
	return Node{Path: path, Kind: r.kind, State: r.state, Restarts: r.restarts, Failure: r.failure, FailedAt: r.failedAt, NextAttempt: r.next}
}

func (s *System) inspect(pid *actor.PID, ask *inspect) (*inspected, error) {
	answer, err := s.ask(pid, ask, askTimeout)
	if err != nil {
		return nil, s.inspectFailed(pid, err)
	}
	return answer.(*inspected), nil
}

func (s *System) inspectFailed(pid *actor.PID, err error) error {
	if errors.Is(err, actor.ErrDeadLetter) {
		return fmt.Errorf("%w: %s has just left", ErrNoActor, s.pathOf(pid))
	}
	return fmt.Errorf("inspect %s: %w", s.pathOf(pid), err)
}

// spot is where a child stands in the tree.
type spot struct {
	path  string
	child childRef
}

func spotsOf(children []childRef, parent string) []spot {
	spots := make([]spot, len(children))
	for i, child := range children {
		spots[i] = spot{path: strings.TrimSuffix(parent, "/") + "/" + child.name, child: child}
	}
	return spots
}

// inspectAll asks all at the same time, and then waits for the answers.
func (s *System) inspectAll(spots []spot) []Node {
	futures := make([]actor.Future, len(spots))
	for i, spot := range spots {
		if spot.child.pid != nil {
			futures[i] = s.actors.Root.RequestFuture(spot.child.pid, &inspect{}, askTimeout)
		}
	}
	nodes := make([]Node, len(spots))
	for i, spot := range spots {
		nodes[i] = spot.child.node(spot.path)
		if futures[i] == nil {
			continue
		}
		nodes[i].State = "not answering"
		if answer, err := futures[i].Result(); err == nil {
			nodes[i] = s.located(answer.(*inspected), spot.child.pid, spot.child)
		} else if errors.Is(err, actor.ErrDeadLetter) {
			nodes[i].State = "leaving"
		}
	}
	return nodes
}

// located completes a node with what its parent knows, and not the actor itself.
func (s *System) located(found *inspected, pid *actor.PID, known childRef) Node {
	node := found.node
	node.Path, node.Children = s.pathOf(pid), found.total
	node.Restarts, node.Failure, node.FailedAt = known.restarts, known.failure, known.failedAt
	return node
}

// pathOf is an actor's path as people see it: without the root's name and the
// generations.
func (s *System) pathOf(pid *actor.PID) string {
	segments := strings.Split(pid.Id, "/")[1:]
	for i, segment := range segments {
		guest := segments[0] == "lanes" && i >= 1 || segments[0] == "registry" && i >= 2 || segments[0] == "webhooks" && i >= 1
		if dot := strings.LastIndexByte(segment, '.'); guest && dot >= 0 {
			segments[i] = segment[:dot]
		}
	}
	return "/" + strings.Join(segments, "/")
}

// describe answers an inspect, for an actor with these children.
func describe(ask *inspect, node Node, children map[string]childRef) *inspected {
	return describeMany(ask, node, len(children), maps.All(children), func(_ string, ref childRef) childRef { return ref })
}

// describeMany is describe for an actor that may have so many children that a
// reference to each of them is too dear: they are made of those that are asked for.
func describeMany[T any](ask *inspect, node Node, total int, children iter.Seq2[string, T], ref func(name string, child T) childRef) *inspected {
	answer := &inspected{node: node, total: total}
	switch {
	case ask.child != "":
		for name, child := range children {
			if name == ask.child {
				found := ref(name, child)
				answer.child = &found
			}
		}
	case ask.limit > 0:
		answer.children, answer.more = firstByName(children, ask.after, ask.limit, ref)
	}
	return answer
}

// firstByName gives references to the first children whose names come after
// the given one, at most limit, and tells whether there are more.
func firstByName[T any](children iter.Seq2[string, T], after string, limit int, ref func(name string, child T) childRef) (first []childRef, more bool) {
	later := func(yield func(string, T) bool) {
		for name, child := range children {
			if (after == "" || name > after) && !yield(name, child) {
				return
			}
		}
	}
	byName := func(a, b named[T]) int { return strings.Compare(a.name, b.name) }
	list, more := firstOf(later, limit, byName)
	for _, n := range list {
		first = append(first, ref(n.name, n.child))
	}
	return first, more
}

// named is a child with its name.
type named[T any] struct {
	name  string
	child T
}

// firstOf gives the first children by an order, at most limit, and tells whether
// there are more.
func firstOf[T any](children iter.Seq2[string, T], limit int, order func(a, b named[T]) int) (list []named[T], more bool) {
	var last named[T] // once there were enough: what comes after it is not among them
	cut := func() {
		slices.SortFunc(list, order)
		if len(list) > limit {
			list, more = list[:limit], true
			last = list[limit-1]
		}
	}
	for name, child := range children {
		next := named[T]{name, child}
		if more && order(next, last) > 0 {
			continue
		}
		if list = append(list, next); len(list) > 2*limit {
			cut()
		}
	}
	cut()
	return list, more
}

func outcomeWord(o push.Outcome) string {
	if o == 0 {
		return ""
	}
	return o.String()
}
