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

	commitsTimeout = 2 * time.Second // how long a new owner waits for Commits of the one before
)

// owner is the connection that holds the ownership lock, and the goroutine that
// watches it.
type owner struct {
	conn  *pgx.Conn
	stop  context.CancelFunc
	done  chan struct{}
	epoch int64 // in which nobody else may commit; 0 before it has begun
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

// takeOver begins this owner's epoch, if it is the owner: Commits of the one
// before fail from here on. It waits until none is under way, except for one
// whose process was cut off in the middle, which may hold on for hours.
func (s *Store) takeOver(ctx context.Context) error {
	s.mu.Lock()
	o := s.owner
	s.mu.Unlock()
	if o == nil {
		return nil
	}
	err := s.lockCommits(ctx)
	if err != nil && !isLockTimeout(err) {
		return err
	}
	var epoch int64
	if err := s.pool.QueryRow(ctx, `SELECT nextval('ownership_epoch')`).Scan(&epoch); err != nil {
		return err
	}
	s.mu.Lock()
	o.epoch = epoch
	s.mu.Unlock()
	return nil
}

// lockCommits returns once no Commit is under way.
func (s *Store) lockCommits(ctx context.Context) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, fmt.Sprintf(`SET LOCAL lock_timeout = %d`, commitsTimeout.Milliseconds())); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, commitKey)
		return err
	})
}

func isLockTimeout(err error) bool {
	var refusal *pgconn.PgError
	return errors.As(err, &refusal) && refusal.Code == "55P03" // lock not available
}

// queueFence makes a transaction fail, by a division by zero, if this process
// was the active one and another one's epoch has begun.
func (s *Store) queueFence(batch *pgx.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owner != nil && s.owner.epoch != 0 {
		batch.Queue(`SELECT 1 / count(*) FROM ownership_epoch WHERE last_value = $1`, s.owner.epoch)
	}
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
