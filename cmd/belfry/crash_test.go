package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/pushtest"
)

// The crash test kills the real program again and again, at any moment, while
// backends send through it to a push service that fails at random. When it is
// left in peace at last, everything it ever answered with 202 must have arrived.

// receipt is one message that the push service took.
type receipt struct {
	at  time.Time
	cut bool // and the answer was lost on its way
}

// faultyService is a push service that fails at random. It knows messages by
// their topic, which Belfry makes of the notification's ID.
type faultyService struct {
	*httptest.Server
	mu       sync.Mutex
	calm     bool                            // no more faults
	received map[string]map[string][]receipt // by subscription and topic
	order    map[string][]string             // topics by subscription, each as it came first
}

func newFaultyService(t *testing.T) *faultyService {
	s := &faultyService{received: map[string]map[string][]receipt{}, order: map[string][]string{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// ServeHTTP takes most messages, and refuses, delays or cuts off the others.
func (s *faultyService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body) // only then does the server notice that the sender has died
	s.mu.Lock()
	chance := rand.N(100)
	if s.calm {
		chance = 100
	}
	s.mu.Unlock()
	switch {
	case chance < 1:
		w.WriteHeader(http.StatusServiceUnavailable)
	case chance < 2:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	case chance < 3:
		cutOff(w)
	case chance < 4:
		s.take(r, true)
		cutOff(w)
	case chance < 20:
		select {
		case <-time.After(time.Duration(rand.N(300)) * time.Millisecond):
		case <-r.Context().Done():
			return
		}
		fallthrough
	default:
		s.take(r, false)
		w.WriteHeader(http.StatusCreated)
	}
}

// cutOff resets the connection instead of answering.
func cutOff(w http.ResponseWriter) {
	connection, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := connection.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	connection.Close()
}

func (s *faultyService) take(r *http.Request, cut bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub, topic := r.URL.Path, r.Header.Get("Topic")
	if s.received[sub] == nil {
		s.received[sub] = map[string][]receipt{}
	}
	if len(s.received[sub][topic]) == 0 {
		s.order[sub] = append(s.order[sub], topic)
	}
	s.received[sub][topic] = append(s.received[sub][topic], receipt{at: time.Now(), cut: cut})
}

// behave ends the faults, and tells how many messages were taken until now.
func (s *faultyService) behave() (taken int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calm = true
	for _, topics := range s.order {
		taken += len(topics)
	}
	return taken
}

// sender is a backend that notifies one user without end, and remembers what
// was accepted.
type sender struct {
	user      string
	paths     []string // of the user's subscriptions
	accepted  []push.ID
	scheduled map[push.ID]bool // those of them that were to be sent later
}

// run sends until told to stop. A request that fails was promised nothing.
func (b *sender) run(url string, stop <-chan struct{}) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(5+rand.N(30)) * time.Millisecond):
		}
		body := map[string]any{"user": b.user, "title": "x"}
		later := rand.N(10) == 0
		if later {
			body["send_at"] = time.Now().Add(2 * time.Second)
		}
		encoded, _ := json.Marshal(body)
		request, _ := http.NewRequest("POST", url+"/v1/notifications", bytes.NewReader(encoded))
		request.Header.Set("Authorization", "Bearer "+adminKey)
		request.Header.Set("Content-Type", "application/json")
		response, err := client.Do(request)
		if err != nil {
			continue
		}
		var answer struct{ Notifications []struct{ ID push.ID } }
		err = json.NewDecoder(response.Body).Decode(&answer)
		response.Body.Close()
		if err == nil && response.StatusCode == http.StatusAccepted {
			b.accepted = append(b.accepted, answer.Notifications[0].ID)
			b.scheduled[answer.Notifications[0].ID] = later
		}
	}
}

const inFlight = 2 * time.Second // what was answered longer before a kill has been committed by then

func TestCrash_NothingAcceptedIsLost(t *testing.T) {
	kills := 20
	if given, err := strconv.Atoi(os.Getenv("BELFRY_CRASH_KILLS")); err == nil {
		kills = given
	}
	overEachStore(t, func(t *testing.T, flags ...string) { crash(t, kills, flags...) })
}

func crash(t *testing.T, kills int, flags ...string) {
	service := newFaultyService(t)
	d := startDaemon(t, append(flags, "--allow-push-hosts", strings.TrimPrefix(service.URL, "http://"),
		"--rest-after", "500ms", "--log-level", "warn")...)
	var senders []*sender
	for i := range 10 {
		b := &sender{user: fmt.Sprintf("user-%d", i), scheduled: map[push.ID]bool{}}
		for j := range 1 + i%3 {
			b.paths = append(b.paths, fmt.Sprintf("/%s/%d", b.user, j))
			d.register(b.user, pushtest.NewBrowser(t, push.Endpoint(service.URL+b.paths[j])))
		}
		senders = append(senders, b)
	}
	url, stop := d.url, make(chan struct{})
	var all sync.WaitGroup
	for _, b := range senders {
		all.Go(func() { b.run(url, stop) })
	}
	var killed []time.Time
	for range kills {
		time.Sleep(time.Duration(200+rand.N(800)) * time.Millisecond) // a random moment is what this test is about
		killed = append(killed, time.Now())
		d.kill()
		d.start()
	}
	close(stop)
	all.Wait()
	before := service.behave()

	accepted, received, duplicates, cuts := 0, 0, 0, 0
	for _, b := range senders {
		for _, id := range b.accepted {
			d.finished(id.String())
		}
		accepted += len(b.accepted)
	}
	service.mu.Lock()
	defer service.mu.Unlock()
	for _, b := range senders {
		for _, path := range b.paths {
			service.checkOrder(t, path, b)
			for _, id := range b.accepted {
				copies := service.received[path][push.Notification{ID: id}.Topic()]
				require.NotEmpty(t, copies, "%s is lost at %s", id, path)
				received++
				for _, before := range copies[:len(copies)-1] {
					if before.cut {
						cuts++
						continue
					}
					duplicates++
					require.True(t, nearAKill(before.at, killed), "%s came twice at %s, the first time at %s, when nothing was killed: kills at %v", id, path, before.at, killed)
				}
			}
		}
	}
	t.Logf("%d kills: %d notifications accepted, %d deliveries, %d of them while it was being killed; 0 lost, 0 out of order, %d repeated after a kill (%.1f each), %d because the push service cut the connection",
		kills, accepted, received, before, duplicates, float64(duplicates)/float64(kills), cuts)
	require.Greater(t, accepted, kills*10, "there was load")
}

// checkOrder finds what arrived for the first time after something newer did.
func (s *faultyService) checkOrder(t *testing.T, path string, b *sender) {
	position := map[string]int{}
	for i, topic := range s.order[path] {
		position[topic] = i
	}
	last := -1
	for _, id := range b.accepted {
		if b.scheduled[id] {
			continue
		}
		at := position[push.Notification{ID: id}.Topic()]
		require.Greater(t, at, last, "%s overtook at %s", id, path)
		last = at
	}
}

func nearAKill(at time.Time, kills []time.Time) bool {
	for _, kill := range kills {
		if before := kill.Sub(at); before > -100*time.Millisecond && before < inFlight {
			return true
		}
	}
	return false
}
