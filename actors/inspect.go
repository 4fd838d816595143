package actors

import (
	"context"
	"errors"
	"fmt"
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
	pid, restarts := s.root, 0
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if name == "" {
			continue
		}
		found, err := s.inspect(pid, &inspect{child: name})
		if err != nil {
			return Page{}, err
		}
		if found.child == nil {
			return absent(found, path)
		}
		pid, restarts = found.child, found.restarts
	}
	if ctx.Err() != nil {
		return Page{}, ctx.Err()
	}
	found, err := s.inspect(pid, &inspect{after: after, limit: limit})
	if err != nil {
		return Page{}, err
	}
	page := Page{Node: s.located(found, pid, restarts), Children: s.inspectAll(found.children, s.pathOf(pid))}
	if n := len(found.children); found.more {
		page.Next = found.children[n-1].name
	}
	return page, nil
}

// absent describes an actor that its parent knows and that is not there now.
func absent(found *inspected, path string) (Page, error) {
	if found.known == nil {
		return Page{}, fmt.Errorf("%w: %s", ErrNoActor, path)
	}
	return Page{Node: found.known.node("/" + strings.Trim(path, "/"))}, nil
}

// node is what the parent can say in a child's stead.
func (r *childRef) node(path string) Node {
	return Node{Path: path, Kind: r.kind, State: r.state, Restarts: r.restarts, NextAttempt: r.next}
}

func (s *System) inspect(pid *actor.PID, ask *inspect) (*inspected, error) {
	answer, err := s.ask(pid, ask, askTimeout)
	if errors.Is(err, actor.ErrDeadLetter) {
		return nil, fmt.Errorf("%w: %s has just left", ErrNoActor, s.pathOf(pid))
	}
	if err != nil {
		return nil, fmt.Errorf("inspect %s: %w", s.pathOf(pid), err)
	}
	return answer.(*inspected), nil
}

// inspectAll asks all at the same time, and then waits for the answers.
func (s *System) inspectAll(refs []childRef, parent string) []Node {
	futures := make([]actor.Future, len(refs))
	for i, ref := range refs {
		if ref.pid != nil {
			futures[i] = s.actors.Root.RequestFuture(ref.pid, &inspect{}, askTimeout)
		}
	}
	nodes := make([]Node, len(refs))
	for i, ref := range refs {
		nodes[i] = ref.node(strings.TrimSuffix(parent, "/") + "/" + ref.name)
		if futures[i] == nil {
			continue
		}
		nodes[i].State = "not answering"
		if answer, err := futures[i].Result(); err == nil {
			nodes[i] = s.located(answer.(*inspected), ref.pid, ref.restarts)
		} else if errors.Is(err, actor.ErrDeadLetter) {
			nodes[i].State = "leaving"
		}
	}
	return nodes
}

// located completes a node with what the actor itself does not know.
func (s *System) located(found *inspected, pid *actor.PID, restarts int) Node {
	node := found.node
	node.Path, node.Restarts, node.Children = s.pathOf(pid), restarts, found.total
	return node
}

// pathOf is an actor's path as people see it: without the root's name and the
// generations.
func (s *System) pathOf(pid *actor.PID) string {
	segments := strings.Split(pid.Id, "/")[1:]
	for i, segment := range segments {
		guest := segments[0] == "lanes" && i >= 1 || segments[0] == "registry" && i >= 2
		if dot := strings.LastIndexByte(segment, '.'); guest && dot >= 0 {
			segments[i] = segment[:dot]
		}
	}
	return "/" + strings.Join(segments, "/")
}

// describe answers an inspect, for an actor with these children.
func describe(ask *inspect, node Node, children map[string]childRef) *inspected {
	answer := &inspected{node: node, total: len(children)}
	if child, ok := children[ask.child]; ok {
		answer.child, answer.restarts, answer.known = child.pid, child.restarts, &child
	}
	if ask.limit == 0 {
		return answer
	}
	for name, child := range children {
		if ask.after == "" || name > ask.after {
			answer.children = append(answer.children, child)
		}
	}
	slices.SortFunc(answer.children, func(a, b childRef) int { return strings.Compare(a.name, b.name) })
	if len(answer.children) > ask.limit {
		answer.children, answer.more = answer.children[:ask.limit:ask.limit], true
	}
	return answer
}

func outcomeWord(o push.Outcome) string {
	if o == 0 {
		return ""
	}
	return o.String()
}
