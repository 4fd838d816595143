package store

import "time"

// Condition is how a database is, as far as can be seen without changing
// anything in it.
type Condition struct {
	Server string        // what it is, with its version, as "PostgreSQL 17.2"
	Schema int64         // the migration that was applied last; 0 if none was
	Newest int64         // the last one that this program knows
	Active string        // who is active on it, for a person; empty if nobody is seen
	Clock  time.Duration // how far its clock is ahead of ours; 0 if it has none of its own
	Wrong  []string      // what keeps Belfry from working on it, and what to do, in sentences
	Risky  []string      // what may lose what was accepted, and what to do, in sentences
}
