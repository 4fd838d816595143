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
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/simulate"
)

// The crash test kills the real program again and again, at any moment, while
// backends send through it to a push service that fails at random. When it is
// left in peace at last, everything it ever answered with 202 must have arrived.

// receipt is one message that the push service took.
type receipt struct {
	topic string
	life  int  // of the program, that sent it
	cut   bool // and the answer was lost on its way
}

// faultyService is a push service that fails at random. It knows messages by
// their topic, which Belfry makes of the notification's ID.
type faultyService struct {
	*httptest.Server
	mu       sync.Mutex
	calm     bool                 // no more faults
	received map[string][]receipt // by subscription, in order
}

func newFaultyService(t *testing.T) *faultyService {
	s := &faultyService{received: map[string][]receipt{}}
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
	sub := r.URL.Path
	s.received[sub] = append(s.received[sub], receipt{topic: r.Header.Get("Topic"), life: lifeOf(r), cut: cut})
}

// lifeSubject is what a life of the program tells push services about itself.
const lifeSubject = "mailto:life-%d@belfry.dev"

// lifeOf finds it in the claims of the VAPID token. When a message came would tell
// less: it may be taken when its sender is dead and the next life has begun.
func lifeOf(r *http.Request) (life int) {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), ".")
	encoded, _, _ := strings.Cut(token, ".")
	text, _ := push.DecodeBase64(encoded)
	var claims struct{ Sub string }
	json.Unmarshal(text, &claims)
	fmt.Sscanf(claims.Sub, lifeSubject, &life)
	return life
}

// firsts are the messages of a subscription by topic, with where in the order each
// came first.
func (s *faultyService) firsts(path string) map[string]int {
	first := map[string]int{}
	for i, r := range s.received[path] {
		if _, ok := first[r.topic]; !ok {
			first[r.topic] = i
		}
	}
	return first
}

// behave ends the faults, and tells how many messages were taken until now.
func (s *faultyService) behave() (taken int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calm = true
	for path := range s.received {
		taken += len(s.firsts(path))
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

func TestCrash_NothingAcceptedIsLost(t *testing.T) {
	if testing.Short() {
		t.Skip("a minute")
	}
	kills := 20
	if given, err := strconv.Atoi(os.Getenv("BELFRY_CRASH_KILLS")); err == nil {
		kills = given
	}
	table := "store       kills  accepted  deliveries  while killing  lost  out of order  repeated  cut off by the push service\n"
	overEachStore(t, func(t *testing.T, flags ...string) {
		c := crash(t, kills, flags...)
		table += fmt.Sprintf("%-10s  %5d  %8d  %10d  %13d  %4d  %12d  %8d  %27d\n", path.Base(t.Name()),
			kills, c.accepted, c.deliveries, c.whileKilling, len(c.lost), len(c.overtook), c.repeated, c.cut)
		require.Empty(t, c.lost, "lost")
		require.Empty(t, c.overtook, "out of order")
		require.Empty(t, c.unexplained, "came twice, which no kill explains")
		require.Greater(t, c.accepted, kills*2, "there was load")
		require.Greater(t, c.whileKilling, kills*2, "work was under way when it was killed")
	})
	t.Logf("what became of it all:\n%s", table)
}

// crashCount is what is found when all is over.
type crashCount struct {
	accepted     int
	deliveries   int
	whileKilling int // deliveries before it was left in peace
	repeated     int // deliveries that came again because it was killed
	cut          int // and because the push service cut the answer off
	lost         []string
	overtook     []string
	unexplained  []string // of those repeated
}

func crash(t *testing.T, kills int, flags ...string) (count crashCount) {
	service := newFaultyService(t)
	d := startDaemon(t, append(flags, "--allow-push-hosts", strings.TrimPrefix(service.URL, "http://"),
		"--rest-after", "500ms", "--log-level", "warn", "--vapid-subject", fmt.Sprintf(lifeSubject, 1))...)
	var senders []*sender
	for i := range 10 {
		b := &sender{user: fmt.Sprintf("user-%d", i), scheduled: map[push.ID]bool{}}
		for j := range 1 + i%3 {
			b.paths = append(b.paths, fmt.Sprintf("/%s/%d", b.user, j))
			d.register(b.user, simulate.NewBrowser(push.Endpoint(service.URL+b.paths[j])))
		}
		senders = append(senders, b)
	}
	url, stop := d.url, make(chan struct{})
	var all sync.WaitGroup
	for _, b := range senders {
		all.Go(func() { b.run(url, stop) })
	}
	for i := range kills {
		time.Sleep(time.Duration(200+rand.N(800)) * time.Millisecond) // a random moment is what this test is about
		d.kill()
		d.start("--vapid-subject", fmt.Sprintf(lifeSubject, i+2))
	}
	close(stop)
	all.Wait()
	count.whileKilling = service.behave()
	for _, b := range senders {
		for _, id := range b.accepted {
			d.finished(id.String())
		}
	}
	service.mu.Lock()
	defer service.mu.Unlock()
	for _, b := range senders {
		count.accepted += len(b.accepted)
		for _, path := range b.paths {
			service.countOvertaking(path, b, &count)
			service.countCopies(path, b, &count)
		}
	}
	return count
}

// countCopies finds what never came, and what came more than once. What a kill
// explains are repeats of what a life sent last: it records what became of its
// sends in their order, so that of two of them the newer one comes again too.
func (s *faultyService) countCopies(path string, b *sender, count *crashCount) {
	accepted := map[string]push.ID{}
	for _, id := range b.accepted {
		accepted[push.Notification{ID: id}.Topic()] = id
	}
	next := map[string]receipt{} // the copy that came after, by topic
	recorded := map[int]bool{}   // by life: something that it sent later did not come again
	byLife := slices.SortedStableFunc(slices.Values(s.received[path]), func(a, b receipt) int { return a.life - b.life })
	for _, r := range slices.Backward(byLife) {
		id, ok := accepted[r.topic]
		if !ok {
			continue
		}
		after, again := next[r.topic]
		next[r.topic] = r
		switch {
		case !again:
			count.deliveries++
			recorded[r.life] = true
		case r.cut:
			count.cut++
		default:
			count.repeated++
			if after.life == r.life || recorded[r.life] {
				count.unexplained = append(count.unexplained, fmt.Sprintf("%s at %s", id, path))
			}
		}
	}
	for topic, id := range accepted {
		if _, came := next[topic]; !came {
			count.lost = append(count.lost, fmt.Sprintf("%s at %s", id, path))
		}
	}
}

// countOvertaking finds what arrived for the first time after something newer
// did. What was scheduled has no place in the order.
func (s *faultyService) countOvertaking(path string, b *sender, count *crashCount) {
	position, last := s.firsts(path), -1
	for _, id := range b.accepted {
		at, arrived := position[push.Notification{ID: id}.Topic()]
		if b.scheduled[id] || !arrived {
			continue
		}
		if at < last {
			count.overtook = append(count.overtook, fmt.Sprintf("%s at %s", id, path))
		}
		last = max(last, at)
	}
}
