package simulate

import (
	"cmp"
	"io"
	"net/http"
	"sync"
	"time"
)

// receiveInBulk is receive for loads. Every token in the path is an endpoint's,
// whether it was made or not, bound to no VAPID key, without a script, and what
// it is sent is read by nobody. Everything else is checked as ever, but that
// the same Authorization header is looked at once in a minute.
func (s *WebPush) receiveInBulk(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	entry := Entry{At: time.Now()}
	if refusal := s.checkInBulk(r, body); refusal != nil {
		s.refuse(w, r, entry, refusal)
		return
	}
	fault := s.faults.next("")
	entry.Taken = fault.takes()
	s.journal.add(entry, r)

	fault.meet(w, r)
	if entry.Taken {
		w.Header().Set("Location", s.Origin()+"/m/"+s.manner.name(w.Header()))
		w.Header().Set("TTL", r.Header.Get("TTL"))
		w.WriteHeader(http.StatusCreated)
		return
	}
	s.manner.say(w, cmp.Or(fault.Status, http.StatusCreated), fault.Reason)
}

func (s *WebPush) checkInBulk(r *http.Request, body []byte) *refusal {
	if len(body) > maxBody {
		return refused(tooLarge, "the body is longer than %d bytes", maxBody)
	}
	if refusal := s.checkRequest(r.Header, body); refusal != nil {
		return refusal
	}
	authorization, now := r.Header.Get("Authorization"), time.Now()
	if s.good.has(authorization, now) {
		return nil
	}
	if refusal := checkVAPID(r.Header.Values("Authorization"), s.Origin(), nil, now); refusal != nil {
		return refusal
	}
	s.good.add(authorization, now)
	return nil
}

// goodTokens are Authorization headers that were found good, and when.
type goodTokens struct {
	mu sync.Mutex
	at map[string]time.Time
}

const maxGoodTokens = 1000

func (g *goodTokens) has(authorization string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	at, ok := g.at[authorization]
	return ok && now.Sub(at) < time.Minute
}

func (g *goodTokens) add(authorization string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.at == nil || len(g.at) >= maxGoodTokens {
		g.at = make(map[string]time.Time)
	}
	g.at[authorization] = now
}
