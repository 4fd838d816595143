package main

import (
	"runtime"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// metrics are what the process counts for GET /metrics. A System ends with a
// term as the active process; they go on.
type metrics struct {
	registry *prometheus.Registry
	hosts    *labels
	lanes    laneLabels
	tree     *treeCollector
	*requestMetrics
	*webhookMetrics

	limit      prometheus.Gauge
	accepted   prometheus.Counter
	attempts   *cached[attemptKey, attemptMetrics]
	deliveries *cached[deliveryKey, prometheus.Counter]
	delivery   prometheus.Histogram
	commit     prometheus.Histogram
	failed     prometheus.Counter
	rows       prometheus.Histogram
	events     *cached[push.EventType, prometheus.Counter]
	receipts   *cached[push.ReceiptType, prometheus.Counter]
	pauses     *prometheus.CounterVec
	actors     *prometheus.CounterVec
	store      *prometheus.CounterVec
	rejoined   prometheus.Counter
	unused     prometheus.Counter
}

func newMetrics() *metrics {
	registry := prometheus.NewRegistry()
	factory := promauto.With(registry)
	lanes := newLaneLabels()
	m := &metrics{
		registry:       registry,
		hosts:          newLabels(wellKnownHosts...),
		lanes:          lanes,
		tree:           newTreeCollector(lanes),
		requestMetrics: newRequestMetrics(factory),
		webhookMetrics: newWebhookMetrics(factory),
		attempts:       newAttempts(factory),
		deliveries:     newDeliveries(factory),
		events:         newEventCounters(factory),
		receipts:       newReceiptCounters(factory),
		limit: factory.NewGauge(prometheus.GaugeOpts{
			Name: "belfry_backlog_limit",
			Help: "BELFRY_MAX_BACKLOG: at how many notifications in the backlog new ones are refused with 429.",
		}),
		accepted: factory.NewCounter(prometheus.CounterOpts{
			Name: "belfry_accepted_total",
			Help: "Notifications that were accepted: they are durable, and will be delivered, expire or be explained.",
		}),
		delivery: factory.NewHistogram(prometheus.HistogramOpts{
			Name:    "belfry_delivery_seconds",
			Help:    "Time from when a notification was accepted, or was to be sent (send_at), until a push service took it.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300, 1800, 3600, 6 * 3600, 24 * 3600},
		}),
		commit: factory.NewHistogram(prometheus.HistogramOpts{
			Name:    "belfry_commit_seconds",
			Help:    "Time the store took for one group commit, or to fail. Nothing is accepted without one: if they are slow, look at the database and its disk.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15},
		}),
		failed: factory.NewCounter(prometheus.CounterOpts{
			Name: "belfry_commit_failures_total",
			Help: "Group commits that the store did not take. Notifications in them were refused with 503; what became of others is committed again.",
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
		store: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "belfry_store_failures_total",
			Help: "Times that the store failed, by what it was to do. It is tried again; the log says why it failed. While it goes on, new notifications may be refused with 503.",
		}, []string{"what"}),
		rejoined: factory.NewCounter(prometheus.CounterOpts{
			Name: "belfry_work_rejoined_total",
			Help: "Pending notifications that no actor held, which the sweep found and handed out. They are late and not lost, but each is a bug.",
		}),
		unused: factory.NewCounter(prometheus.CounterOpts{
			Name: "belfry_subscriptions_unused_total",
			Help: "Subscriptions that were removed, because there was no sign of life of them for BELFRY_UNUSED_AFTER.",
		}),
	}
	// At 0, so that the first failure is an increase.
	for _, kind := range actorKinds {
		m.actors.WithLabelValues(kind)
	}
	for _, what := range storeTasks {
		m.store.WithLabelValues(what)
	}
	factory.NewGaugeVec(prometheus.GaugeOpts{
		Name: "belfry_build_info",
		Help: "1, for the program that runs.",
	}, []string{"version", "goversion"}).WithLabelValues(versionString(), runtime.Version()).Set(1)
	registry.MustRegister(m.tree, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// watch has the metrics that are read when asked for read from this System, its
// apps and its store from now on, until done is called: then from none.
func (m *metrics) watch(system *actors.System, apps *api.Directory, db store.Store) (done func()) {
	m.tree.from.Store(&sources{system: system, apps: apps, ping: db.Ping})
	return func() { m.tree.from.Store(nil) }
}

// observe counts an event. It is called for every attempt and delivery, so
// those do not allocate.
func (m *metrics) observe(event actors.Event) {
	switch e := event.(type) {
	case actors.AttemptMade:
		m.onAttempt(e)
	case actors.DeliveryConcluded:
		m.onDelivery(e)
	case actors.GroupCommitted:
		m.onCommit(e)
	case actors.ReceiptTaken:
		m.receipts.get(e.Receipt.Type).Inc()
	case actors.LanePaused:
		m.pauses.WithLabelValues(m.lanes.label(e.Lane), e.Cause).Inc()
	case actors.ActorFailed:
		m.actors.WithLabelValues(actorKind(e.Path)).Inc()
	case actors.StoreFailed:
		m.store.WithLabelValues(storeTask(e.What)).Inc()
	case actors.WebhookGaveUp:
		m.givenUp.Add(float64(e.Events))
	case actors.WorkRejoined:
		m.rejoined.Inc()
	case actors.SubscriptionUnused:
		m.unused.Inc()
	}
}

func (m *metrics) onCommit(e actors.GroupCommitted) {
	m.commit.Observe(e.Took.Seconds())
	if e.Err != nil {
		m.failed.Inc()
		return
	}
	m.rows.Observe(float64(e.Notifications + e.Records))
	m.accepted.Add(float64(e.Notifications))
	for i := range e.Events {
		m.events.get(e.Events[i].Type).Inc()
	}
}

func newEventCounters(factory promauto.Factory) *cached[push.EventType, prometheus.Counter] {
	total := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "belfry_events_total",
		Help: "Events that were recorded in the apps' feeds, by type. With BELFRY_EVENT_RETENTION at 0 there are none.",
	}, []string{"type"})
	for _, kind := range push.EventTypes() {
		total.WithLabelValues(kind.String())
	}
	return newCached(func(kind push.EventType) prometheus.Counter { return total.WithLabelValues(kind.String()) })
}

func newReceiptCounters(factory promauto.Factory) *cached[push.ReceiptType, prometheus.Counter] {
	total := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "belfry_receipts_total",
		Help: "What browsers told of notifications, by type: shown, clicked or closed. They are asked to by \"receipts\" of a notification.",
	}, []string{"type"})
	for _, kind := range []push.ReceiptType{push.ReceiptShown, push.ReceiptClicked, push.ReceiptClosed} {
		total.WithLabelValues(kind.String())
	}
	return newCached(func(kind push.ReceiptType) prometheus.Counter { return total.WithLabelValues(kind.String()) })
}

// storeTasks are what the store fails at: actors.StoreFailed.What.
var storeTasks = []string{
	"accept notifications", "record outcomes", "read subscriptions", "read pending notifications", "read who has work that is due", "read what is due",
	"read what was left of a user", "read a crashed user's work", "sweep pending notifications", "remove finished notifications",
	"count pending work and remove unused subscriptions", "read the webhooks", "read events for a webhook",
}

func storeTask(what string) string {
	if slices.Contains(storeTasks, what) {
		return what
	}
	return other
}
