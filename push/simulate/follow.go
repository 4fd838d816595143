package simulate

import "context"

// Follow hands over every entry of the log, first those that are there and then
// those that come, until ctx ends.
func (s *station) Follow(ctx context.Context, see func(Entry)) {
	for seen := 0; ctx.Err() == nil; {
		entries, changed := s.journal.after(seen)
		for _, entry := range entries {
			see(entry)
		}
		seen += len(entries)
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}
