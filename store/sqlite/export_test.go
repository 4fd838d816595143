package sqlite

import (
	"context"
	"database/sql"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// DBs gives the connections, for tests to look at how they were opened.
func (s *Store) DBs() (writer, reader *sql.DB) { return s.writer, s.reader }

// ListRecentOf is ListRecent of fewer than the newest 200,000.
func (s *Store) ListRecentOf(ctx context.Context, window int, user push.User, limit int) (store.Recent, error) {
	return s.listRecent(ctx, user, limit, window)
}

// Plan says how SQLite goes about ListSubscriptions.
func (s *Store) Plan(ctx context.Context) (steps []string, err error) {
	rows, err := s.reader.QueryContext(ctx, `EXPLAIN QUERY PLAN `+listSubscriptions, `[]`)
	return collect(rows, err, func(r row) (step string, err error) {
		var id, parent, unused int
		err = r.Scan(&id, &parent, &unused, &step)
		return step, err
	})
}
