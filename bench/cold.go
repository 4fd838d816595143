package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

const (
	coldUsers   = 100_000
	draftsACall = 1000 // as many users as a request may name
	coldCallers = 4

	// coldWindow has room for all users at a time: with the default, those who have
	// nothing to do would leave memory before they are to be found there.
	coldWindow = 8192
)

// Figures of cold.
const (
	coldRate       = "cold a second"
	warmRate       = "warm a second"
	usersPerQuery  = "users a query"
	subscriptionMS = "ms a query"
)

type coldSettings struct {
	database
	Users int
}

func runCold(ctx context.Context, b *bench) error {
	return with(func(all ...contender) error { return b.alternate(ctx, all...) }, func() (contender, error) {
		file, err := b.newFile()
		if err != nil {
			return nil, err
		}
		return startWorker(ctx, "Belfry on SQLite", "cold-belfry", coldSettings{file, b.scaled(coldUsers)})
	})
}

// cold sends a mailing to users who are not in memory, and once more when they are.
type cold struct {
	store store.Store
	users []push.User
}

func openCold(ctx context.Context, s coldSettings) (*cold, error) {
	db, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	if err := seedSubscriptions(ctx, s.File, "https://push.example.com", s.Users, make([]byte, 65)); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	c := &cold{store: db}
	for i := range s.Users {
		c.users = append(c.users, userNumber(i))
	}
	return c, nil
}

func (c *cold) ready() map[string]string { return nil }

// round takes as long as it takes.
func (c *cold) round(ctx context.Context, _ time.Duration) (found sample, err error) {
	ended, reads := newTally(), &reads{Store: c.store}
	system, err := actors.Start(ctx, actors.Config{
		Store: finishing{reads, ended}, Window: coldWindow, IdleAfter: time.Hour,
		Providers: map[push.Kind]push.Provider{push.WebPush: noService{}},
	})
	if err != nil {
		return sample{}, err
	}
	defer func() { err = errors.Join(err, system.Abandon()) }()
	mail := func(upTo int) (float64, error) {
		began := time.Now()
		if err := mailing(system, c.users); err != nil {
			return 0, err
		}
		err := ended.await(ctx, upTo)
		return float64(len(c.users)) / time.Since(began).Seconds(), err
	}
	cold, err := mail(len(c.users))
	if err != nil {
		return sample{}, err
	}
	queries, took := reads.queries.Load(), time.Duration(reads.took.Load())
	warm, err := mail(2 * len(c.users))
	if err != nil {
		return sample{}, err
	}
	return sample{More: map[string]float64{
		coldRate: cold, warmRate: warm, usersPerQuery: float64(len(c.users)) / float64(queries), subscriptionMS: millis(took) / float64(queries),
	}}, nil
}

func (c *cold) close() error { return c.store.Close() }

// mailing accepts one notification for each user.
func mailing(system *actors.System, users []push.User) error {
	var next atomic.Int64
	var all sync.WaitGroup
	failed := make([]error, coldCallers)
	for caller := range coldCallers {
		all.Go(func() {
			for {
				from := int(next.Add(draftsACall)) - draftsACall
				if from >= len(users) {
					return
				}
				if _, err := system.Notify(draftFor(users[from:min(from+draftsACall, len(users))]...)); err != nil {
					failed[caller] = err
					return
				}
			}
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

// reads counts the queries for subscriptions.
type reads struct {
	store.Store
	queries, took atomic.Int64
}

// ListSubscriptions is store.Store's.
func (r *reads) ListSubscriptions(ctx context.Context, users []push.User) (map[push.User][]push.Subscription, error) {
	began := time.Now()
	defer func() {
		r.queries.Add(1)
		r.took.Add(int64(time.Since(began)))
	}()
	return r.Store.ListSubscriptions(ctx, users)
}
