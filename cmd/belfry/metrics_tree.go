package main

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/api"
)

// scrapeTimeout is when pages of the tree are no longer asked for. Prometheus
// waits for ten seconds.
const scrapeTimeout = 5 * time.Second

// treeCollector reads from the System, and from the apps' directory, what is at
// the moment.
type treeCollector struct {
	lanes laneLabels
	apps  *labels // with a credential, or a webhook, behind a slash
	from  atomic.Pointer[sources]
	parts []collection
}

// sources are what there is in a term as the active process.
type sources struct {
	system *actors.System
	apps   *api.Directory
	ping   func(context.Context) error // of the store
}

// collection is a part of what is collected. If it fails, the others are there.
type collection struct {
	desc    *prometheus.Desc // one of its own, to say that it failed
	collect func(context.Context, *sources, chan<- prometheus.Metric) error
}

func newTreeCollector(lanes laneLabels) *treeCollector {
	c := &treeCollector{lanes: lanes, apps: newLabels()}
	c.parts = []collection{
		{laneQueueDesc, c.collectLanes},
		{windowDesc, c.collectRanges},
		{actorsDesc, c.collectActors},
		{behindDesc, c.collectWebhooks},
		{expiryDesc, c.collectExpiries},
	}
	return c
}

var (
	backlogDesc = prometheus.NewDesc("belfry_backlog",
		"Notifications that were accepted and are not finished, about, with those that are scheduled or wait for a retry, in memory or in the store. It is not told by push host what they wait for: a notification may wait for several. At BELFRY_MAX_BACKLOG, new ones are refused with 429.", nil, nil)
	waitingDesc = prometheus.NewDesc("belfry_waiting_for_commit",
		"Notifications whose senders have no answer yet, because the store has not committed them. Beyond 20,000, new ones are refused with 503.", nil, nil)
	laneQueueDesc = prometheus.NewDesc("belfry_lane_queue",
		"Messages that wait in memory to be sent to a push host. Those that would wait for longer than BELFRY_REST_AFTER, as at a lane that stays shut, are put off in the store and not counted here; belfry_backlog has them.", []string{"lane"}, nil)
	laneInFlightDesc = prometheus.NewDesc("belfry_lane_in_flight",
		"Requests to a push host that are under way.", []string{"lane"}, nil)
	laneOpenDesc = prometheus.NewDesc("belfry_lane_open",
		"1 if messages are sent to a push host; 0 if its lane is paused, or its breaker open, and work for it waits. For \"other\", 1 if all of them are open.", []string{"lane"}, nil)
	windowDesc = prometheus.NewDesc("belfry_window",
		"Notifications that a shard range holds in memory. Its window takes 2,048, and a quarter more of what was parked; the rest waits in the store, and is counted by belfry_backlog alone.", []string{"range"}, nil)
	residentDesc = prometheus.NewDesc("belfry_users_resident",
		"Users who have an actor in memory.", nil, nil)
	activeDesc = prometheus.NewDesc("belfry_active",
		"1 if this process is the active one on its database; 0 if it starts or stands by.", nil, nil)
	readyDesc = prometheus.NewDesc("belfry_ready",
		"1 if this process is active and nothing keeps it from taking work; GET /readyz says what does.", nil, nil)
	inFlightDesc = prometheus.NewDesc("belfry_in_flight",
		"Requests to push services that are under way, of all lanes.", nil, nil)
	lanesDesc = prometheus.NewDesc("belfry_lanes",
		"Lanes, of which there is one for each app and push host, by state: open, or why they are paused.", []string{"state"}, nil)
	actorsDesc = prometheus.NewDesc("belfry_actors",
		"Actors in memory, by kind.", []string{"kind"}, nil)
	webhooksDesc = prometheus.NewDesc("belfry_webhooks",
		"Webhooks, by state: idle, sending, retrying, or ended by their receiver.", []string{"state"}, nil)
	behindDesc = prometheus.NewDesc("belfry_webhook_behind_seconds",
		"How long ago the first event happened that a webhook has not taken; 0 if it has taken all. For \"other\", the longest of them.", []string{"app", "webhook"}, nil)
	expiryDesc = prometheus.NewDesc("belfry_credential_expiry_timestamp_seconds",
		"When an app's credential ends, in seconds since 1970: APNs certificates do. For \"other\", the first of them.", []string{"app", "credential"}, nil)
)

// laneStates are the states that lanes are counted by. A lane that is probing
// is still paused.
var laneStates = []string{laneIsOpen, "credentials refused", "push host failing", "too many subscriptions ended", "push host asks for rest"}

const laneIsOpen = "open"

// Describe lists what Collect gives.
func (c *treeCollector) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{
		activeDesc, readyDesc, backlogDesc, waitingDesc, inFlightDesc, laneQueueDesc, laneInFlightDesc, laneOpenDesc, lanesDesc,
		windowDesc, residentDesc, actorsDesc, webhooksDesc, behindDesc, expiryDesc,
	} {
		to <- desc
	}
}

// Collect reads the tree.
func (c *treeCollector) Collect(to chan<- prometheus.Metric) {
	from := c.from.Load()
	if from == nil {
		gauge(to, activeDesc, 0)
		gauge(to, readyDesc, 0)
		return
	}
	gauge(to, activeDesc, 1)
	gauge(to, backlogDesc, from.system.Backlog())
	gauge(to, waitingDesc, from.system.WaitingForCommit())
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	gauge(to, readyDesc, from.ready(ctx))
	for _, part := range c.parts {
		if err := part.collect(ctx, from, to); err != nil {
			to <- prometheus.NewInvalidMetric(part.desc, err)
		}
	}
}

const storeWait = 2 * time.Second // for the store to answer a scrape

func (s *sources) ready(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	if s.ping(ctx) != nil || len(s.system.Health()) > 0 {
		return 0
	}
	return 1
}

// laneFigures are those of a lane, or of all others together.
type laneFigures struct {
	queue, inFlight int
	shut            bool
}

func (c *treeCollector) collectLanes(ctx context.Context, from *sources, to chan<- prometheus.Metric) error {
	lanes, err := children(ctx, from.system, "/lanes")
	if err != nil {
		return err
	}
	all, states, inFlight := map[string]*laneFigures{}, map[string]int{}, 0
	for _, lane := range lanes {
		if !present(lane) {
			continue
		}
		label := c.lanes.label(nameOf(lane))
		if all[label] == nil {
			all[label] = &laneFigures{}
		}
		all[label].queue += lane.Queue
		all[label].inFlight += lane.InFlight
		all[label].shut = all[label].shut || lane.State != "running"
		states[cmp.Or(lane.Cause, laneIsOpen)]++
		inFlight += lane.InFlight
	}
	gauge(to, inFlightDesc, inFlight)
	for _, state := range laneStates {
		gauge(to, lanesDesc, states[state], state)
	}
	for label, lane := range all {
		open := 1
		if lane.shut {
			open = 0
		}
		gauge(to, laneQueueDesc, lane.queue, label)
		gauge(to, laneInFlightDesc, lane.inFlight, label)
		gauge(to, laneOpenDesc, open, label)
	}
	return nil
}

func (c *treeCollector) collectRanges(ctx context.Context, from *sources, to chan<- prometheus.Metric) error {
	ranges, err := children(ctx, from.system, "/registry")
	if err != nil {
		return err
	}
	resident := 0
	for _, shards := range ranges {
		if present(shards) {
			gauge(to, windowDesc, shards.Queue, nameOf(shards))
			resident += shards.Children
		}
	}
	gauge(to, residentDesc, resident)
	return nil
}

func (c *treeCollector) collectActors(ctx context.Context, from *sources, to chan<- prometheus.Metric) error {
	seen, err := from.system.Overview(ctx)
	if err != nil {
		return err
	}
	for kind, count := range seen.Actors {
		gauge(to, actorsDesc, count, kind)
	}
	return nil
}

// collectWebhooks asks every webhook how it is.
func (c *treeCollector) collectWebhooks(ctx context.Context, from *sources, to chan<- prometheus.Metric) error {
	webhooks, err := children(ctx, from.system, "/webhooks")
	if errors.Is(err, actors.ErrNoActor) {
		return nil // they are not called
	}
	if err != nil {
		return err
	}
	states, behind := map[string]int{"idle": 0, "sending": 0, "retrying": 0, "ended": 0}, map[string]float64{}
	for i, webhook := range webhooks {
		app, _, _ := strings.Cut(nameOf(webhook), ":")
		if i > 0 && strings.HasPrefix(nameOf(webhooks[i-1]), app+":") {
			continue // asked with the one before
		}
		found, err := from.system.WebhookStates(app)
		if err != nil {
			return err
		}
		for name, state := range found {
			states[state.State]++
			age := 0.0
			if !state.BehindSince.IsZero() {
				age = max(0, time.Since(state.BehindSince).Seconds())
			}
			label := c.apps.label(app + "/" + name)
			behind[label] = max(behind[label], age)
		}
	}
	for state, count := range states {
		gauge(to, webhooksDesc, count, state)
	}
	for label, age := range behind {
		to <- prometheus.MustNewConstMetric(behindDesc, prometheus.GaugeValue, age, splitLabel(label)...)
	}
	return nil
}

func (c *treeCollector) collectExpiries(_ context.Context, from *sources, to chan<- prometheus.Metric) error {
	first := map[string]float64{}
	for _, expiry := range from.apps.Expiries() {
		label, at := c.apps.label(expiry.App+"/"+expiry.Credential), float64(expiry.At.Unix())
		if known, ok := first[label]; !ok || at < known {
			first[label] = at
		}
	}
	for label, at := range first {
		to <- prometheus.MustNewConstMetric(expiryDesc, prometheus.GaugeValue, at, splitLabel(label)...)
	}
	return nil
}

// splitLabel gives the app, and what stands behind it; all others are "other"
// in both.
func splitLabel(label string) []string {
	app, name, ok := strings.Cut(label, "/")
	if !ok {
		return []string{other, other}
	}
	return []string{app, name}
}

// children are all of an actor's, as they are now.
func children(ctx context.Context, system *actors.System, path string) ([]actors.Node, error) {
	var all []actors.Node
	for after := ""; ; {
		page, err := system.Inspect(ctx, path, after, actors.MaxPage)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Children...)
		if after = page.Next; after == "" {
			return all, nil
		}
	}
}

// present tells whether an actor spoke for itself. What its parent says in its
// stead has no figures, and a gap tells more than a false zero.
func present(node actors.Node) bool {
	switch node.State {
	case "leaving", "between generations", "not answering":
		return false
	default:
		return true
	}
}

func nameOf(node actors.Node) string { return node.Path[strings.LastIndexByte(node.Path, '/')+1:] }

func gauge(to chan<- prometheus.Metric, desc *prometheus.Desc, value int, labels ...string) {
	to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value), labels...)
}
