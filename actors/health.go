package actors

import (
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

const (
	healthTimeout = time.Second      // for the journal to answer when it is asked how it is
	commitSlow    = 10 * time.Second // from when on a commit is told of
)

// trouble is that the store does not take records.
type trouble struct {
	since time.Time // of the first of the failures in a row
}

// noteTrouble notes that the store has not taken records.
func (s *System) noteTrouble() {
	s.trouble.CompareAndSwap(nil, &trouble{since: time.Now()})
}

// Health says what keeps the tree from working and what to do, in sentences that
// anybody may see; nothing if it works. It takes a second at most.
func (s *System) Health() []string {
	var ill []string
	if s.Err() != nil {
		ill = append(ill, "The supervision tree gave up, and the process ends: start it again. Its log says why.")
	}
	if s.Draining() {
		ill = append(ill, "It is shutting down: send to another process, or again when this one is back.")
	}
	if trouble := s.trouble.Load(); trouble != nil {
		ill = append(ill, fmt.Sprintf("The store has not taken outcomes since %s: see that the database runs, can be reached and has room on its disk. The log has its error.", trouble.since.UTC().Format(time.RFC3339)))
	}
	if _, oldest := s.committing.look(); oldest > commitSlow {
		ill = append(ill, fmt.Sprintf("A commit has been under way for %d s: see what holds the database up, its disk or a lock.", int(oldest.Seconds())))
	}
	if _, err := s.ask(s.journal, &inspect{}, healthTimeout); errors.Is(err, actor.ErrTimeout) {
		ill = append(ill, fmt.Sprintf("The journal, which accepts and records everything, has not answered within %d s: see whether the machine is short of CPU. If it stays so, start the process again.", int(healthTimeout.Seconds())))
	}
	return ill
}
