package main

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	repeatsEvery = time.Minute // between two summaries
	repeatsMax   = 200         // kinds of line that are told apart
)

// repeats keeps what happens again and again from flooding the log: the first
// lines of a kind are shown as they are, and what follows is counted and summed
// up once a minute, until there is a minute without any.
type repeats struct {
	log *slog.Logger

	mu    sync.Mutex
	known map[repeatKey]*repeated
}

// repeatKey is a kind of line.
type repeatKey struct{ message, about string }

type repeated struct {
	level slog.Level
	shown int
	more  int // since the last summary
}

func newRepeats(log *slog.Logger) *repeats {
	return &repeats{log: log, known: make(map[repeatKey]*repeated)}
}

// at gives the level for a line of this message about something, which may be
// empty: the wanted one for so many of them, and slog.LevelDebug for the others.
// It does not allocate for these.
func (r *repeats) at(wanted slog.Level, first int, message, about string) slog.Level {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := repeatKey{message, about}
	if r.known[key] == nil && len(r.known) >= repeatsMax {
		key.about = "others"
	}
	line := r.known[key]
	if line == nil {
		line = &repeated{level: wanted}
		r.known[key] = line
		time.AfterFunc(repeatsEvery, func() { r.sumUp(key) })
	}
	if line.shown < first {
		line.shown++
		return wanted
	}
	line.more++
	return slog.LevelDebug
}

func (r *repeats) sumUp(key repeatKey) {
	r.mu.Lock()
	line := r.known[key]
	level, more := line.level, line.more
	if more == 0 {
		delete(r.known, key)
	} else {
		line.more = 0
		time.AfterFunc(repeatsEvery, func() { r.sumUp(key) })
	}
	r.mu.Unlock()
	if more == 0 {
		return
	}
	attrs := []slog.Attr{slog.Int("times", more), slog.Duration("in", repeatsEvery)}
	if key.about != "" {
		attrs = append(attrs, slog.String("about", key.about))
	}
	r.log.LogAttrs(context.Background(), level, "more of the same: "+key.message, attrs...)
}
