package pool

import (
	"sync"
	"time"
)

// Set is the pools of many hosts, by whatever tells them apart. When another one is
// made, those are closed that nobody has used for Idle, and the one that was used
// longest ago if there are Max.
type Set[K comparable] struct {
	Idle time.Duration
	Max  int // pools that are kept; those in use may be more. 0 for no bound

	mu   sync.Mutex
	kept map[K]*Member[K]
}

// Member is a Pool in a Set.
type Member[K comparable] struct {
	*Pool
	set      *Set[K]
	usedAt   time.Time // guarded by the set's mutex, as are:
	requests int       // that have it
	retired  bool      // it gets no more, and is closed after the last
}

// Take gives the pool of a key for one request, to be given back, and makes it if
// need be. One that is not to be kept is closed after the request.
func (s *Set[K]) Take(key K, keep bool, now time.Time, open func() (*Pool, error)) (*Member[K], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.kept[key]
	if m == nil {
		s.closeIdle(now)
		pool, err := open()
		if err != nil {
			return nil, err
		}
		m = &Member[K]{Pool: pool, set: s, retired: !keep}
		if keep {
			if s.kept == nil {
				s.kept = make(map[K]*Member[K])
			}
			s.kept[key] = m
		}
	}
	m.usedAt = now
	m.requests++
	return m, nil
}

// Give takes a pool back after a request.
func (m *Member[K]) Give() {
	m.set.mu.Lock()
	defer m.set.mu.Unlock()
	m.requests--
	m.closeIfDone()
}

func (m *Member[K]) closeIfDone() {
	if m.retired && m.requests == 0 {
		m.Close()
	}
}

// closeIdle closes what is old, and makes room for one more.
func (s *Set[K]) closeIdle(now time.Time) {
	var oldest K
	var first *Member[K]
	for key, m := range s.kept {
		switch {
		case m.requests > 0:
		case now.Sub(m.usedAt) >= s.Idle:
			s.drop(key, m)
		case first == nil || m.usedAt.Before(first.usedAt):
			oldest, first = key, m
		}
	}
	if s.Max > 0 && len(s.kept) >= s.Max && first != nil {
		s.drop(oldest, first)
	}
}

func (s *Set[K]) drop(key K, m *Member[K]) {
	delete(s.kept, key)
	m.Close()
}

// Retire lets go of the pools of some keys. What is under way is finished.
func (s *Set[K]) Retire(match func(K) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, m := range s.kept {
		if match(key) {
			delete(s.kept, key)
			m.retired = true
			m.closeIfDone()
		}
	}
}

// Close closes all pools. Call it after the last request.
func (s *Set[K]) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, m := range s.kept {
		s.drop(key, m)
	}
}

// Kept are the pools that there are, for who looks at them.
func (s *Set[K]) Kept() map[K]*Pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := make(map[K]*Pool, len(s.kept))
	for key, m := range s.kept {
		kept[key] = m.Pool
	}
	return kept
}
