package main

import (
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/belfryhq/belfry/push"
)

// cached remembers what was made for a key. A vector's own lookup takes all
// labels as strings, which would have to be made for every event.
type cached[K comparable, V any] struct {
	produce func(K) V // makes the same for the same key
	mu      sync.RWMutex
	made    map[K]V
}

func newCached[K comparable, V any](produce func(K) V) *cached[K, V] {
	return &cached[K, V]{produce: produce, made: map[K]V{}}
}

func (c *cached[K, V]) get(key K) V {
	c.mu.RLock()
	value, ok := c.made[key]
	c.mu.RUnlock()
	if ok {
		return value
	}
	value = c.produce(key)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made[key] = value
	return value
}

const (
	labelsMax = 100     // push hosts, and lanes, that have labels of their own
	other     = "other" // the label of all others
)

// labels bounds how many values become labels: push hosts stand in URLs that
// strangers gave, and lanes have names that apps gave.
type labels struct {
	mu    sync.RWMutex
	known map[string]bool
}

// newLabels knows some values from the start.
func newLabels(known ...string) *labels {
	l := &labels{known: make(map[string]bool, labelsMax)}
	for _, value := range known {
		l.known[value] = true
	}
	return l
}

// wellKnownHosts have labels of their own, whoever was there before.
var wellKnownHosts = []string{
	push.FCMHost, push.Production.Host(), push.Sandbox.Host(), "updates.push.services.mozilla.com", "web.push.apple.com",
}

// label is the value if it is among the first that were seen.
func (l *labels) label(value string) string {
	l.mu.RLock()
	known, full := l.known[value], len(l.known) >= labelsMax
	l.mu.RUnlock()
	switch {
	case known:
		return value
	case full || !utf8.ValidString(value): // which no label may be
		return other
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.known) < labelsMax {
		l.known[value] = true
	}
	if l.known[value] {
		return value
	}
	return other
}

// laneLabels bounds the lanes of browsers and of phones by themselves: strangers
// make the first, an app's credentials the others. Those of browsers that lead to
// the push services that everybody uses have room of their own too: as many as
// there are apps, and strangers make none.
type laneLabels struct{ web, great, phones *labels }

func newLaneLabels() laneLabels {
	return laneLabels{web: newLabels(), great: newLabels(), phones: newLabels()}
}

func (l laneLabels) label(lane string) string {
	switch kind, host := splitLane(lane); {
	case kind != push.WebPush.String():
		return l.phones.label(lane)
	case slices.Contains(wellKnownHosts, host):
		return l.great.label(lane)
	default:
		return l.web.label(lane)
	}
}

// splitLane takes a lane's name, app:kind:host or app:kind:account@host, apart.
func splitLane(lane string) (kind, host string) {
	_, rest, _ := strings.Cut(lane, ":")
	kind, host, _ = strings.Cut(rest, ":")
	if _, after, ok := strings.Cut(host, "@"); ok {
		host = after
	}
	return kind, host
}

var actorKinds = []string{"journal", "lanes", "lane", "registry", "shards", "user", "subscription", "janitor", "webhooks", "webhook"}

// actorKind tells what sort of actor stands at a path.
func actorKind(path string) string {
	top, below, deep := strings.Cut(strings.Trim(path, "/"), "/")
	switch {
	case top == "lanes" && deep:
		return "lane"
	case top == "webhooks" && deep:
		return "webhook"
	case top == "registry" && deep:
		return []string{"shards", "user", "subscription"}[min(strings.Count(below, "/"), 2)]
	default:
		return top
	}
}
