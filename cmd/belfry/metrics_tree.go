package main

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/belfryhq/belfry/actors"
)

// scrapeTimeout is when pages of the tree are no longer asked for. Prometheus
// waits for ten seconds.
const scrapeTimeout = 5 * time.Second

// treeCollector reads from the System what it is at the moment.
type treeCollector struct {
	lanes  laneLabels
	system atomic.Pointer[actors.System] // nil between two terms
}

var (
	backlogDesc = prometheus.NewDesc("belfry_backlog",
		"Notifications that were accepted and are not finished, about, with those that are scheduled or wait for a retry. At BELFRY_MAX_BACKLOG, new ones are refused with 429.", nil, nil)
	waitingDesc = prometheus.NewDesc("belfry_waiting_for_commit",
		"Notifications whose senders have no answer yet, because the store has not committed them. Beyond 20,000, new ones are refused with 503.", nil, nil)
	laneQueueDesc = prometheus.NewDesc("belfry_lane_queue",
		"Messages that wait in memory to be sent to a push host.", []string{"lane"}, nil)
	laneInFlightDesc = prometheus.NewDesc("belfry_lane_in_flight",
		"Requests to a push host that are under way.", []string{"lane"}, nil)
	laneOpenDesc = prometheus.NewDesc("belfry_lane_open",
		"1 if messages are sent to a push host; 0 if its lane is paused, or its breaker open, and work for it waits. For \"other\", 1 if all of them are open.", []string{"lane"}, nil)
	windowDesc = prometheus.NewDesc("belfry_window",
		"Notifications that a shard range holds in memory. Its window takes 2,048, and a quarter more of what was parked; the rest waits in the store.", []string{"range"}, nil)
	residentDesc = prometheus.NewDesc("belfry_users_resident",
		"Users who have an actor in memory.", nil, nil)
)

// Describe lists what Collect gives.
func (c *treeCollector) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{backlogDesc, waitingDesc, laneQueueDesc, laneInFlightDesc, laneOpenDesc, windowDesc, residentDesc} {
		to <- desc
	}
}

// Collect reads the tree.
func (c *treeCollector) Collect(to chan<- prometheus.Metric) {
	system := c.system.Load()
	if system == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	gauge(to, backlogDesc, system.Backlog())
	gauge(to, waitingDesc, system.WaitingForCommit())
	c.collectLanes(ctx, system, to)
	c.collectRanges(ctx, system, to)
}

// laneFigures are those of a lane, or of all others together.
type laneFigures struct {
	queue, inFlight int
	shut            bool
}

func (c *treeCollector) collectLanes(ctx context.Context, system *actors.System, to chan<- prometheus.Metric) {
	lanes, err := children(ctx, system, "/lanes")
	if err != nil {
		to <- prometheus.NewInvalidMetric(laneQueueDesc, err)
		return
	}
	all := map[string]*laneFigures{}
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
}

func (c *treeCollector) collectRanges(ctx context.Context, system *actors.System, to chan<- prometheus.Metric) {
	ranges, err := children(ctx, system, "/registry")
	if err != nil {
		to <- prometheus.NewInvalidMetric(windowDesc, err)
		return
	}
	resident := 0
	for _, shards := range ranges {
		if present(shards) {
			gauge(to, windowDesc, shards.Queue, nameOf(shards))
			resident += shards.Children
		}
	}
	gauge(to, residentDesc, resident)
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
