package sqlite

import "database/sql"

// DBs gives the connections, for tests to look at how they were opened.
func (s *Store) DBs() (writer, reader *sql.DB) { return s.writer, s.reader }
