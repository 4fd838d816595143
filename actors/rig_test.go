package actors

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
	"github.com/belfryhq/belfry/store/sqlite"
	"github.com/stretchr/testify/require"
)

// bubble runs a test in fake time. A dead letter makes the actor library start
// a goroutine for a second, which must end before the bubble does.
func bubble(t *testing.T, do func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(2 * time.Second) }) // the last of all; fake
		do(t)
	})
}

// rig is a system on a real store, with push services that do as told.
type rig struct {
	*System
	t       *testing.T
	store   store.Store
	service *service

	mu      sync.Mutex
	events  []Event
	onEvent func(Event) // may panic, where the actor would
	bugs    bool        // providers panic in this test
}

// newRig starts a system on a new SQLite file.
func newRig(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, store: openStore(t, filepath.Join(t.TempDir(), "belfry.db")), service: newService()}
	r.start(change...)
	t.Cleanup(func() { r.stop() })
	return r
}

func openStore(t *testing.T, path string) store.Store {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
	require.NoError(t, err)
	require.NoError(t, db.Acquire(t.Context()))
	_, err = db.Migrate(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func (r *rig) start(change ...func(*Config)) {
	config := Config{
		Store:     r.store,
		Providers: map[push.Kind]push.Provider{push.WebPush: r.service, push.APNs: r.service, push.FCM: r.service},
		Observe:   r.observe,
		Ranges:    4,
	}
	for _, c := range change {
		c(&config)
	}
	var err error
	r.System, err = Start(r.t.Context(), config)
	require.NoError(r.t, err)
}

// stop drains the system, if it runs.
func (r *rig) stop() {
	if r.System == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	require.NoError(r.t, r.Drain(ctx))
	r.System = nil
	if r.onEvent == nil && !r.bugs {
		require.Empty(r.t, eventsOf[ActorFailed](r), "no actor failed that was not told to")
	}
}

func (r *rig) observe(event Event) {
	r.mu.Lock()
	r.events = append(r.events, event)
	on := r.onEvent
	r.mu.Unlock()
	if on != nil {
		on(event)
	}
}

// failOnce panics where the first event occurs that the match is for.
func (r *rig) failOnce(match func(Event) bool) {
	var once sync.Once
	r.mu.Lock()
	defer r.mu.Unlock()
	r.onEvent = func(event Event) {
		if match(event) {
			once.Do(func() { panic("injected") })
		}
	}
}

func eventsOf[T Event](r *rig) []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []T
	for _, event := range r.events {
		if e, ok := event.(T); ok {
			list = append(list, e)
		}
	}
	return list
}

func userNamed(id string) push.User { return push.User{App: push.DefaultApp, ID: id} }

// subscribe registers a browser that the service knows under this name.
func (r *rig) subscribe(user, browser string) push.Subscription {
	r.t.Helper()
	sub := subscriptionAt(user, browser)
	_, err := r.Subscribe(r.t.Context(), sub)
	require.NoError(r.t, err)
	return sub
}

func subscriptionAt(user, browser string) push.Subscription {
	endpoint := push.Endpoint("https://push.example/" + browser)
	now := time.Now().Truncate(time.Millisecond)
	return push.Subscription{
		User: userNamed(user), Kind: push.WebPush, Endpoint: endpoint, Digest: push.DigestOf(endpoint),
		P256dh: make([]byte, 65), Auth: make([]byte, 16), VAPIDKey: make([]byte, 65),
		CreatedAt: now, RegisteredAt: now, SeenAt: now,
	}
}

// notify sends one notification to each user named.
func (r *rig) notify(users ...string) []push.ID {
	r.t.Helper()
	return r.notifyTTL(time.Hour, users...)
}

func (r *rig) notifyTTL(ttl time.Duration, users ...string) []push.ID {
	r.t.Helper()
	var drafts []Draft
	for _, user := range users {
		drafts = append(drafts, Draft{User: userNamed(user), Content: []byte(`{"title":"hello"}`), TTL: ttl})
	}
	ids, err := r.Notify(drafts)
	require.NoError(r.t, err)
	return ids
}

// settle lets everything happen that needs no time.
func (r *rig) settle() { synctest.Wait() }

// fate is what the store knows of a notification.
func (r *rig) fate(id push.ID) store.Record {
	r.t.Helper()
	record, err := r.store.GetNotification(r.t.Context(), push.DefaultApp, id)
	require.NoError(r.t, err)
	return record
}

// states are the final states of a notification's deliveries, sorted.
func (r *rig) states(id push.ID) []string {
	var words []string
	for _, d := range r.fate(id).Deliveries {
		words = append(words, d.State.String())
	}
	slices.Sort(words)
	return words
}

func (r *rig) inspect(path string) Page {
	r.t.Helper()
	page, err := r.Inspect(r.t.Context(), path, "", MaxPage)
	require.NoError(r.t, err)
	return page
}

// pathOfUser is where a user's actor stands in the tree.
func (r *rig) pathOfUser(user string) string {
	u := userNamed(user)
	return "/registry/" + r.rangeName(r.rangeIndex(u.Shard())) + "/" + userName(u)
}

// service is a push.Provider that does as told: a browser's script is read
// from front to back, and when it is at its end everything is delivered.
type service struct {
	mu       sync.Mutex
	scripts  map[string][]answer
	received map[string][]push.Message // delivered, in order
	attempts map[string][]time.Time
	tried    map[string][]push.ID // what was offered, in order
	flying   map[string]int
	most     map[string]int // in flight at the same time, at most
	took     time.Duration  // how long a send takes
	inFlight int
	peak     int
}

// answer is one step of a script.
type answer struct {
	result push.Result
	panics bool
	delay  time.Duration
	hold   chan struct{} // answers when it is closed
}

func newService() *service {
	return &service{
		scripts: map[string][]answer{}, received: map[string][]push.Message{}, attempts: map[string][]time.Time{}, tried: map[string][]push.ID{},
		flying: map[string]int{}, most: map[string]int{},
	}
}

func retryAfter(d time.Duration) answer {
	return answer{result: push.Result{Outcome: push.Retry, Status: 429, Reason: "slow down", RetryAfter: d}}
}

func outcome(o push.Outcome, status int) answer {
	return answer{result: push.Result{Outcome: o, Status: status, Reason: "told so"}}
}

// script sets what a browser's next sends come to.
func (s *service) script(browser string, answers ...answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scripts[browser] = answers
}

// mend ends all scripts: from now on everything is delivered.
func (s *service) mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.scripts)
}

func browserOf(m push.Message) string {
	endpoint := string(m.Subscription.Endpoint)
	return endpoint[strings.LastIndexByte(endpoint, '/')+1:]
}

func (s *service) Send(ctx context.Context, m push.Message) push.Result {
	browser := browserOf(m)
	step, took := s.begin(browser, m.Notification.ID)
	took += step.delay
	defer s.end(browser)
	if took > 0 {
		select {
		case <-time.After(took):
		case <-ctx.Done():
			return push.Result{Outcome: push.Retry, Reason: "cut off"}
		}
	}
	if step.hold != nil {
		select {
		case <-step.hold:
		case <-ctx.Done():
			return push.Result{Outcome: push.Retry, Reason: "cut off"}
		}
	}
	if step.panics {
		panic("the provider has a bug")
	}
	if step.result.Outcome == 0 {
		step.result = push.Result{Outcome: push.Delivered, Status: 201}
	}
	if step.result.Outcome == push.Delivered {
		s.mu.Lock()
		s.received[browser] = append(s.received[browser], m)
		s.mu.Unlock()
	}
	return step.result
}

func (s *service) begin(browser string, id push.ID) (step answer, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts[browser] = append(s.attempts[browser], time.Now())
	s.tried[browser] = append(s.tried[browser], id)
	s.flying[browser]++
	s.most[browser] = max(s.most[browser], s.flying[browser])
	s.inFlight++
	s.peak = max(s.peak, s.inFlight)
	if script := s.scripts[browser]; len(script) > 0 {
		step, s.scripts[browser] = script[0], script[1:]
	}
	return step, s.took
}

func (s *service) end(browser string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying[browser]--
	s.inFlight--
}

// takes sets how long a send takes from now on.
func (s *service) takes(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.took = d
}

// mostAtOnce is how many sends to a browser were in flight together, at most.
func (s *service) mostAtOnce(browser string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most[browser]
}

// mostOfAll is how many sends were in flight together, at most.
func (s *service) mostOfAll() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peak
}

// messages are what a browser received, in order.
func (s *service) messages(browser string) []push.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.received[browser])
}

// got are the IDs that a browser received, in order.
func (s *service) got(browser string) []push.ID {
	var ids []push.ID
	for _, m := range s.messages(browser) {
		ids = append(ids, m.Notification.ID)
	}
	return ids
}

// offered are the IDs that were sent to a browser, whether it took them or
// not, in order.
func (s *service) offered(browser string) []push.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.tried[browser])
}

func (s *service) attemptsAt(browser string) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.attempts[browser])
}
