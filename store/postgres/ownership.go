package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The keys of our advisory locks: "belfry" in ASCII, and the number after it.
// PostgreSQL keeps advisory locks apart by database.
const (
	ownershipKey int64 = 0x62656c667279 // held by the active process, all its life
	commitKey    int64 = ownershipKey + 1
)

const (
	standbyPoll = 500 * time.Millisecond // how often a standby tries
	heartbeat   = time.Second            // how often the owner asks whether its connection lives
	pingTimeout = 3 * time.Second        // how long it waits for the answer

	commitsTimeout = 2 * time.Second // how long a new owner waits for commits of the one before
)

// owner is the connection that holds the ownership lock, and the goroutine that
// watches it.
type owner struct {
	conn *pgx.Conn
	stop context.CancelFunc
	done chan struct{}
}

// Acquire makes this process the active one. It waits as a hot standby while
// another process is, and also while the server cannot be reached, until ctx
// ends; only a refusal that waiting does not cure (a wrong password, no such
// database) is an error at once. A second call has no effect, unless ownership
// was lost: then only a new Store can have it again.
func (s *Store) Acquire(ctx context.Context) error {
	s.mu.Lock()
	held := s.owner != nil
	s.mu.Unlock()
	if held {
		select {
		case <-s.lost:
			return errors.New("acquire postgres: ownership was lost; open the store anew")
		default:
			return nil
		}
	}

	conn, err := s.waitForOwnership(ctx)
	if err != nil {
		return fmt.Errorf("acquire postgres: %w", err)
	}
	watch, stop := context.WithCancel(context.Background())
	o := &owner{conn: conn, stop: stop, done: make(chan struct{})}
	go s.watch(watch, o)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owner = o
	return nil
}

// waitForOwnership tries until it holds the lock, and gives the connection that
// does. Trying again and again, rather than queueing for the lock, notices a
// connection that died while it waited.
func (s *Store) waitForOwnership(ctx context.Context) (*pgx.Conn, error) {
	poll := time.NewTicker(standbyPoll)
	defer poll.Stop()
	var conn *pgx.Conn
	for {
		var err error
		if conn == nil {
			conn, err = pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
		}
		var locked bool
		if err == nil {
			err = conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, ownershipKey).Scan(&locked)
		}
		if locked {
			err = awaitCommits(ctx, conn)
		}
		if locked && err == nil {
			return conn, nil
		}
		if err != nil && conn != nil {
			closeConn(conn)
			conn = nil
		}
		if incurable(err) {
			return nil, err
		}

		select {
		case <-poll.C:
		case <-ctx.Done():
			if conn != nil {
				closeConn(conn)
				err = errors.New("another process is active")
			}
			return nil, errors.Join(ctx.Err(), err)
		}
	}
}

// awaitCommits waits until no Commit of the owner before is under way. Those
// that begin now find that their process does not hold the lock. One whose
// process was cut off in the middle may hold on for hours; it is not waited for.
func awaitCommits(ctx context.Context, conn *pgx.Conn) error {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, fmt.Sprintf(`SET LOCAL lock_timeout = %d`, commitsTimeout.Milliseconds()))
		if err == nil {
			_, err = tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, commitKey)
		}
		return err
	})
	var refusal *pgconn.PgError
	if errors.As(err, &refusal) && refusal.Code == "55P03" { // lock not available
		return nil
	}
	return err
}

// incurable tells whether the server refused us as such: SQLSTATE class 28 is
// "invalid authorization", 3D000 "invalid catalog name".
func incurable(err error) bool {
	var refusal *pgconn.PgError
	return errors.As(err, &refusal) && (strings.HasPrefix(refusal.Code, "28") || refusal.Code == "3D000")
}

// watch closes lost when the connection dies. The server never speaks on it
// unasked, except to say that it ends; so listening notices a server that stops
// at once, and a ping notices one that is silent.
func (s *Store) watch(ctx context.Context, o *owner) {
	defer close(o.done)
	for {
		listen, cancel := context.WithTimeout(ctx, heartbeat)
		_, _ = o.conn.WaitForNotification(listen)
		cancel()
		if ctx.Err() != nil {
			return
		}
		ping, cancel := context.WithTimeout(context.Background(), pingTimeout)
		err := o.conn.Ping(ping)
		cancel()
		if err != nil {
			close(s.lost)
			return
		}
	}
}

// queueFence makes a transaction fail, by a division by zero, if this process
// was the active one and its session no longer holds the lock. An advisory lock
// of one bigint is listed with its halves as classid and objid, and objsubid 1.
func (s *Store) queueFence(batch *pgx.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owner == nil {
		return
	}
	batch.Queue(`SELECT 1 / count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = $1
		AND classid = $2::bigint::oid AND objid = $3::bigint::oid AND objsubid = 1`,
		int32(s.owner.conn.PgConn().PID()), ownershipKey>>32, ownershipKey&0xffffffff)
}

// Lost is closed when the connection that holds the ownership lock broke.
func (s *Store) Lost() <-chan struct{} { return s.lost }

// release gives ownership up: another process has it as soon as this returns.
func (s *Store) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owner == nil {
		return
	}
	s.owner.stop()
	<-s.owner.done
	closeConn(s.owner.conn)
	s.owner = nil
}

// closeConn ends a session and with it its locks. Unlocking first means that
// they are free when it returns; that it may fail does not matter.
func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), pingTimeout)
	defer cancel()
	if !conn.IsClosed() {
		_, _ = conn.Exec(ctx, `SELECT pg_advisory_unlock_all()`)
	}
	_ = conn.Close(ctx)
}
