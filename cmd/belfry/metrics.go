package main

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
)

// metrics are what the process counts for GET /metrics. A System ends with a
// term as the active process; they go on.
type metrics struct {
	registry *prometheus.Registry
	hosts    *labels
	lanes    laneLabels
	tree     *treeCollector

	accepted   prometheus.Counter
	attempts   *cached[attemptKey, attemptMetrics]
	deliveries *cached[deliveryKey, prometheus.Counter]
	delivery   prometheus.Histogram
	commit     prometheus.Histogram
	rows       prometheus.Histogram
	pauses     *prometheus.CounterVec
	actors     *prometheus.CounterVec
	store      prometheus.Counter
	rejoined   prometheus.Counter
	unused     prometheus.Counter
}

func newMetrics() *metrics {
	registry := prometheus.NewRegistry()
	factory := promauto.With(registry)
	lanes := laneLabels{web: newLabels(), phones: newLabels()}
	m := &metrics{
		registry:   registry,
		hosts:      newLabels(wellKnownHosts...),
		lanes:      lanes,
		tree:       &treeCollector{lanes: lanes},
		attempts:   newAttempts(factory),
		deliveries: newDeliveries(factory),
		accepted: factory.NewCounter(prometheus.CounterOpts{
			Name: "belfry_accepted_total",
			Help: "Notifications that were accepted: they are durable, and will be delivered, expire or be explained.",
		}),
		delivery: factory.NewHistogram(prometheus.HistogramOpts{
			Name:    "belfry_delivery_seconds",
			Help:    "Time from when a notification was accepted until a push service took it. That of a scheduled one (send_at) includes its waiting.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300, 1800, 3600, 6 * 3600, 24 * 3600},
		}),
		commit: factory.NewHistogram(prometheus.HistogramOpts{
			Name:    "belfry_commit_seconds",
			Help:    "Time the store took for one group commit, or to fail. Nothing is accepted without one: if they are slow, look at the database and its disk.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15},
		}),
		rows: factory.NewHistogram(prometheus.HistogramOpts{
			Name:    "belfry_commit_rows",
			Help:    "Notifications, and records of what became of others, in one group commit that succeeded. The more waits for the store, the larger the groups; 512 of each is a full one.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 11),
		}),
		pauses: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "belfry_lane_pauses_total",
			Help: "How often sending to a push host was stopped, by cause. The log has what the push host said.",
		}, []string{"lane", "cause"}),
		actors: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "belfry_actor_failures_total",
			Help: "Actors that panicked and were started anew. Each is a bug; nothing accepted is lost. The log has the stack.",
		}, []string{"kind"}),
		store: factory.NewCounter(prometheus.CounterOpts{
			Name: "belfry_store_failures_total",
			Help: "Times that the store failed. It is tried again; the log says what failed and why. While it goes on, new notifications may be refused with 503.",
		}),
		rejoined: factory.NewCounter(prometheus.CounterOpts{
			Name: "belfry_work_rejoined_total",
			Help: "Pending notifications that no actor held, which the sweep found and handed out. They are late and not lost, but each is a bug.",
		}),
		unused: factory.NewCounter(prometheus.CounterOpts{
			Name: "belfry_subscriptions_unused_total",
			Help: "Subscriptions that were removed, because there was no sign of life of them for BELFRY_UNUSED_AFTER.",
		}),
	}
	for _, kind := range actorKinds {
		m.actors.WithLabelValues(kind) // at 0, so that the first failure is an increase
	}
	registry.MustRegister(m.tree, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// watch has the metrics that are read when asked for read from this System
// from now on, or from none.
func (m *metrics) watch(system *actors.System) { m.tree.system.Store(system) }

// observe counts an event. It is called for every attempt and delivery, so
// those do not allocate.
func (m *metrics) observe(event actors.Event) {
	switch e := event.(type) {
	case actors.AttemptMade:
		m.onAttempt(e)
	case actors.DeliveryConcluded:
		m.onDelivery(e.Delivery)
	case actors.GroupCommitted:
		m.onCommit(e)
	case actors.LanePaused:
		m.pauses.WithLabelValues(m.lanes.label(e.Lane), e.Cause).Inc()
	case actors.ActorFailed:
		m.actors.WithLabelValues(actorKind(e.Path)).Inc()
	case actors.StoreFailed:
		m.store.Inc()
	case actors.WorkRejoined:
		m.rejoined.Inc()
	case actors.SubscriptionUnused:
		m.unused.Inc()
	}
}

func (m *metrics) onAttempt(e actors.AttemptMade) {
	kind, host := splitLane(e.Lane)
	of := m.attempts.get(attemptKey{kind: kind, host: m.hosts.label(host), outcome: e.Result.Outcome, status: boundedStatus(e.Result.Status)})
	of.total.Inc()
	of.seconds.Observe(e.Took.Seconds())
}

func (m *metrics) onDelivery(d push.Delivery) {
	key := deliveryKey{kind: d.Kind, state: d.State}
	if d.Host != "" {
		key.host = m.hosts.label(d.Host)
	}
	m.deliveries.get(key).Inc()
	if d.State == push.StateDelivered {
		m.delivery.Observe(max(0, d.DoneAt.Sub(d.Notification.Time()).Seconds()))
	}
}

func (m *metrics) onCommit(e actors.GroupCommitted) {
	m.commit.Observe(e.Took.Seconds())
	if e.Err == nil {
		m.rows.Observe(float64(e.Notifications + e.Records))
		m.accepted.Add(float64(e.Notifications))
	}
}

// none is the label for what there is not: an answer, or a push host.
const none = "none"

type attemptKey struct {
	kind, host string
	outcome    push.Outcome
	status     int
}

type attemptMetrics struct {
	total   prometheus.Counter
	seconds prometheus.Observer
}

func newAttempts(factory promauto.Factory) *cached[attemptKey, attemptMetrics] {
	total := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "belfry_attempts_total",
		Help: "Requests to push services, by what came of them. With outcome=\"retry\" it is tried again, with \"refused\" our credentials were not taken; status=\"none\" means no answer.",
	}, []string{"kind", "host", "outcome", "status"})
	seconds := factory.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "belfry_attempt_seconds",
		Help:    "Time a push service took for one request, or until it was given up.",
		Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"kind", "host"})
	return newCached(func(k attemptKey) attemptMetrics {
		return attemptMetrics{
			total:   total.WithLabelValues(k.kind, k.host, k.outcome.String(), statusLabel(k.status)),
			seconds: seconds.WithLabelValues(k.kind, k.host),
		}
	})
}

type deliveryKey struct {
	kind  push.Kind
	host  string // empty if there is none
	state push.State
}

func newDeliveries(factory promauto.Factory) *cached[deliveryKey, prometheus.Counter] {
	total := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "belfry_deliveries_total",
		Help: "Deliveries that are final, one for each notification and subscription, by how they ended. A user without subscriptions counts as one with kind and host \"none\".",
	}, []string{"kind", "host", "state"})
	return newCached(func(k deliveryKey) prometheus.Counter {
		kind, host := none, none
		if k.kind != 0 {
			kind, host = k.kind.String(), k.host
		}
		return total.WithLabelValues(kind, host, k.state.String())
	})
}

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
// make the first, an app's credentials the others.
type laneLabels struct{ web, phones *labels }

func (l laneLabels) label(lane string) string {
	if kind, _ := splitLane(lane); kind == push.WebPush.String() {
		return l.web.label(lane)
	}
	return l.phones.label(lane)
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

// boundedStatus is a status that has a name, or else its class: a push host
// may answer with any.
func boundedStatus(status int) int {
	if http.StatusText(status) == "" {
		return status / 100
	}
	return status
}

func statusLabel(bounded int) string {
	switch {
	case bounded == 0:
		return none
	case bounded < 100:
		return strconv.Itoa(bounded) + "xx"
	default:
		return strconv.Itoa(bounded)
	}
}

var actorKinds = []string{"journal", "lanes", "lane", "registry", "shards", "user", "subscription", "janitor"}

// actorKind tells what sort of actor stands at a path.
func actorKind(path string) string {
	top, below, deep := strings.Cut(strings.Trim(path, "/"), "/")
	switch {
	case top == "lanes" && deep:
		return "lane"
	case top == "registry" && deep:
		return []string{"shards", "user", "subscription"}[min(strings.Count(below, "/"), 2)]
	default:
		return top
	}
}
