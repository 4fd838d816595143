package main

import "fmt"

// goal is what a ratio of medians is to be.
type goal struct {
	what  string
	least bool // limit is the least rather than the most
	limit float64
	ratio func(of medians) float64 // zero if something that it needs was not measured

	limits string // what stands in the way where it does not hold
}

func (g goal) limitedBy(what string) goal {
	g.limits = what
	return g
}

// medians looks up the median of a contender's figure; zero if there is none.
type medians func(scenario, contender, figure string) float64

// over divides one median by another.
func over(scenario, contender, figure, otherScenario, other, otherFigure string) func(medians) float64 {
	return func(of medians) float64 {
		if below := of(otherScenario, other, otherFigure); below > 0 {
			return of(scenario, contender, figure) / below
		}
		return 0
	}
}

// within is over within one scenario and figure.
func within(scenario, contender, other, figure string) func(medians) float64 {
	return over(scenario, contender, figure, scenario, other, figure)
}

// plain is a figure itself.
func plain(scenario, contender, figure string) func(medians) float64 {
	return func(of medians) float64 { return of(scenario, contender, figure) }
}

func atMost(limit float64, what string, ratio func(medians) float64) goal {
	return goal{what: what, limit: limit, ratio: ratio}
}

func atLeast(limit float64, what string, ratio func(medians) float64) goal {
	return goal{what: what, least: true, limit: limit, ratio: ratio}
}

const (
	pgFew, pgMany       = "Belfry on PostgreSQL, 64", "Belfry on PostgreSQL, 1,024"
	liteFew, liteMany   = "Belfry on SQLite, 64", "Belfry on SQLite, 1,024"
	fileFew, fileMany   = "file, append and sync, 64", "file, append and sync, 1,024"
	bare                = "bare unnest, 2 connections"
	bareOwn             = "the same into Belfry's tables"
	eachOnPg, eachOnSQL = "PostgreSQL, a row each, 1,024", "SQLite, a row each, 64"
)

// What stands in the way of several goals.
const (
	byHTTP2       = "net/http's HTTP/2: a goroutine for each request, its header encoding, and two writes"
	byRows        = "the rows: a notification is two, in two tables with four indexes, and not one in a table with one"
	byInterpreter = "SQLite: two rows by its interpreter, into trees with three keys, and not an append"
	byPath        = "HTTP in front, which is a fifth of it, and five rows for each notification, which are another"
)

// goals are in the order of the scenarios.
var goals = []goal{
	atMost(1.10, "encode: Belfry / its primitives", within("encode", "Belfry", "primitives alone", elapsed)).limitedBy("noise: the same code was at 0.93, 1.14 and 1.29 on one day"),
	atLeast(2.5, "encode: webpush-go / Belfry", within("encode", "webpush-go", "Belfry", elapsed)).limitedBy("its primitives, of which both make the same two multiplications"),
	atMost(1.35, "send: CPU / that of encode", over("send", "Belfry", cpu, "encode", "Belfry", elapsed)).limitedBy(byHTTP2),
	atLeast(2.3, "send: CPU of webpush-go / Belfry's", within("send", "webpush-go, pooled", "Belfry", cpu)).limitedBy(byHTTP2),
	atMost(4, "send: connections", plain("send", "Belfry", connections)),
	atLeast(0.8, "apns: rate / one connection's streams in 50 ms", func(of medians) float64 {
		return of("apns", "Belfry", rate) / (apnsStreams / sendDelay.Seconds())
	}).limitedBy("two cores, one of which the simulator has: the rate is the other core's, whatever is in flight"),
	atMost(2, "apns: connections", plain("apns", "Belfry", connections)),
	atLeast(0.6, "accept, PostgreSQL: rate / bare unnest, 1,024 callers", within("accept", pgMany, bare, rate)).limitedBy(byRows),
	atLeast(0.6, "accept, PostgreSQL: rate / bare unnest, 64 callers", within("accept", pgFew, bare, rate)).limitedBy(byRows),
	atLeast(0.6, "accept, PostgreSQL: rate / bare unnest of the same rows, 1,024 callers", within("accept", pgMany, bareOwn, rate)).limitedBy("the processors: a message to the journal and an answer for each, and smaller groups"),
	atLeast(0.5, "accept, SQLite: rate / bare file, 1,024 callers", within("accept", liteMany, fileMany, rate)).limitedBy(byInterpreter),
	atLeast(0.5, "accept, SQLite: rate / bare file, 64 callers", within("accept", liteFew, fileFew, rate)).limitedBy(byInterpreter),
	atLeast(5, "accept, PostgreSQL: rate / a row each, 1,024 callers", within("accept", pgMany, eachOnPg, rate)).limitedBy(byRows),
	atLeast(5, "accept, SQLite: rate / a row each, 64 callers", within("accept", liteFew, eachOnSQL, rate)),
	atLeast(4, "lifecycle: rate / River's", within("lifecycle", "Belfry", "River", rate)),
	atMost(0.3, "lifecycle: CPU / River's", within("lifecycle", "Belfry", "River", cpu)),
	atMost(0.6, "lifecycle, idle: p50 / River's", within("lifecycle", "Belfry, idle", "River, idle", p50)).limitedBy("two commits one after the other, each synced to the disk. River's figure ends when the work begins, and has two before that"),
	atLeast(500, "cold: users in a query", plain("cold", "Belfry on SQLite", usersPerQuery)),
	atLeast(0.8, "cold: rate / warm rate", over("cold", "Belfry on SQLite", coldRate, "cold", "Belfry on SQLite", warmRate)),
	atMost(1.6, "path, SQLite: CPU / that of the sender alone", within("path", "Belfry on SQLite", senderAlone, cpu)).limitedBy(byPath),
	atMost(1.8, "path, PostgreSQL: CPU / that of the sender alone", within("path", "Belfry on PostgreSQL", senderAlone, cpu)).limitedBy(byPath),
	atMost(3, "latency: p50, ms", plain("latency", "Belfry on SQLite", p50)).limitedBy("the disk: a commit and its sync are in it"),
	atMost(15, "latency: p99, ms", plain("latency", "Belfry on SQLite", p99)),
	atMost(1.2, "memory: KB of a user's actor, beyond its data", func(of medians) float64 { return of("memory", "a user's actor", bytesEach) / 1000 }).limitedBy("what the actor library keeps of each actor, its registry entry and list of children, and the records of the user and its range"),
	atMost(600, "memory: MB with a million users, at most", plain("memory", "Belfry on SQLite", peakRSS)),
}

// verdict is a goal and what was found.
type verdict struct {
	Goal     string  `json:"goal"`
	Wanted   string  `json:"wanted"`
	Measured float64 `json:"measured"`
	Holds    bool    `json:"holds"`
	Limits   string  `json:"limits,omitempty"` // what stands in the way, if it does not hold
}

// judge holds what was found to the goals that it says something about.
func (b *bench) judge() (all []verdict) {
	of := func(scenario, contender, figure string) float64 {
		found, ran := b.found[scenario]
		for _, s := range found {
			if s.Contender == contender && len(s.Rounds[figure]) > 0 {
				return s.median(figure)
			}
		}
		if ran {
			b.notes = append(b.notes, fmt.Sprintf("%s: there is no %q of %q, which a goal needs", scenario, figure, contender))
		}
		return 0
	}
	for _, g := range goals {
		measured := g.ratio(of)
		if measured == 0 {
			continue
		}
		v := verdict{Goal: g.what, Measured: measured, Wanted: fmt.Sprintf("≤ %.4g", g.limit), Holds: measured <= g.limit}
		if g.least {
			v.Wanted, v.Holds = fmt.Sprintf("≥ %.4g", g.limit), measured >= g.limit
		}
		if !v.Holds {
			v.Limits = g.limits
		}
		all = append(all, v)
	}
	return all
}
