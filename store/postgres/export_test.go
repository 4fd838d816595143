package postgres

import "github.com/jackc/pgx/v5/pgxpool"

// Pool gives the connections, for tests to look at how they were opened.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }
