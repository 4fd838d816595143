package main

import (
	"context"
	"log/slog"
)

// bounded keeps what is logged of requests from flooding the log: while the store
// is out, or with a bug, everybody who sends some has the same line written.
type bounded struct {
	slog.Handler
	repeats *repeats
}

// newBounded is a log of which only the first lines of a kind are shown as they
// are. A kind is a message and, where the line has one, the request's pattern.
func newBounded(log *slog.Logger) *slog.Logger {
	return slog.New(bounded{Handler: log.Handler(), repeats: newRepeats(log)})
}

// Handle writes a line, if it is not one of too many.
func (b bounded) Handle(ctx context.Context, line slog.Record) error {
	about := ""
	line.Attrs(func(attr slog.Attr) bool {
		if attr.Key == "pattern" {
			about = attr.Value.String()
		}
		return about == ""
	})
	line.Level = b.repeats.at(line.Level, firstOthers, line.Message, about)
	if !b.Enabled(ctx, line.Level) {
		return nil
	}
	return b.Handler.Handle(ctx, line)
}

// WithAttrs gives one whose lines have these, too.
func (b bounded) WithAttrs(attrs []slog.Attr) slog.Handler {
	return bounded{Handler: b.Handler.WithAttrs(attrs), repeats: b.repeats}
}

// WithGroup gives one whose attributes are in a group.
func (b bounded) WithGroup(name string) slog.Handler {
	return bounded{Handler: b.Handler.WithGroup(name), repeats: b.repeats}
}
