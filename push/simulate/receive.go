package simulate

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// maxBody is the longest body every push service takes, in bytes (RFC 8030 §7.2).
const maxBody = 4096

// aes128gcm overhead of the shortest message: the header with a 65 byte key,
// the padding delimiter and the authentication tag (RFC 8188 §2, RFC 8291 §4).
const minBody = 86 + 1 + 16

// receive is the sender's side (RFC 8030 §5): POST to an endpoint.
//
//	404  no such endpoint
//	410  the subscription is over
//	400  a header is missing or malformed, or the body cannot be aes128gcm
//	401  the VAPID token is missing or wrong
//	403  the VAPID key is not the one the subscription is bound to
//	413  the body is longer than 4096 bytes
//
// Only a request that passes all of these gets the endpoint's scripted answer.
func (s *WebPush) receive(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	e := s.endpoints[r.PathValue("token")]
	s.mu.Unlock()
	if e == nil {
		refuse(w, refused(http.StatusNotFound, "no such endpoint"))
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		panic(http.ErrAbortHandler)
	}

	n := e.record(Receipt{At: time.Now(), Header: r.Header.Clone(), Body: body})
	if refusal := e.check(r, body); refusal != nil {
		e.answered(n, refusal.status)
		refuse(w, refusal)
		return
	}
	e.answer(w, r, n, body)
}

// check gives the reason to refuse a request, or nil.
func (e *Endpoint) check(r *http.Request, body []byte) *refusal {
	e.service.mu.Lock()
	expired, key := e.expired, e.key
	e.service.mu.Unlock()
	switch {
	case expired:
		return refused(http.StatusGone, "the subscription is over")
	case len(body) > maxBody:
		return refused(http.StatusRequestEntityTooLarge, "the body is longer than %d bytes", maxBody)
	}
	if refusal := checkHeaders(r.Header); refusal != nil {
		return refusal
	}
	if refusal := checkEncoding(r.Header, body); refusal != nil {
		return refusal
	}
	return checkVAPID(r.Header.Values("Authorization"), e.service.Origin(), key, time.Now())
}

var topicForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`) // RFC 8030 §5.4

// checkHeaders holds the request to RFC 8030 §5.
func checkHeaders(h http.Header) *refusal {
	if ttl, err := strconv.ParseUint(h.Get("TTL"), 10, 31); err != nil || len(h.Values("TTL")) != 1 {
		return refused(http.StatusBadRequest, "TTL must be given once, in seconds; got %q", h.Values("TTL"))
	} else if ttl > 28*24*3600 {
		return refused(http.StatusBadRequest, "a TTL of %d s is longer than four weeks, which is the most that FCM takes", ttl)
	}
	if topic, given := h["Topic"]; given && (len(topic) != 1 || !topicForm.MatchString(topic[0])) {
		return refused(http.StatusBadRequest, "Topic must be 1 to 32 characters of base64url; got %q", topic)
	}
	urgencies := []string{"very-low", "low", "normal", "high"}
	if urgency, given := h["Urgency"]; given && (len(urgency) != 1 || !slices.Contains(urgencies, urgency[0])) {
		return refused(http.StatusBadRequest, "Urgency must be one of %q; got %q", urgencies, urgency)
	}
	return nil
}

// checkEncoding holds the body to the form of RFC 8291 §4, as far as it can be
// seen without the browser's key.
func checkEncoding(h http.Header, body []byte) *refusal {
	if got := h.Get("Content-Encoding"); got != "aes128gcm" {
		return refused(http.StatusBadRequest, "Content-Encoding must be aes128gcm; got %q", got)
	}
	for _, old := range []string{"Encryption", "Crypto-Key"} { // Mozilla: errno 110
		if h.Get(old) != "" {
			return refused(http.StatusBadRequest, "%s does not go with aes128gcm", old)
		}
	}
	if len(body) < minBody {
		return refused(http.StatusBadRequest, "a body of %d bytes is too short for aes128gcm", len(body))
	}
	if keyLength, point := body[20], body[21]; keyLength != 65 || point != 4 {
		return refused(http.StatusBadRequest, "the aes128gcm header does not hold an uncompressed P-256 key")
	}
	return nil
}

// answer gives the next scripted answer, or 201.
func (e *Endpoint) answer(w http.ResponseWriter, r *http.Request, n int, body []byte) {
	answer := e.nextAnswer()
	if answer.release != nil {
		select {
		case <-answer.release:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
	if answer.status == 0 {
		panic(http.ErrAbortHandler)
	}
	for name, values := range answer.header {
		w.Header()[name] = values
	}
	if answer.status/100 == 2 {
		id := e.accept(r.Header, n, body)
		w.Header().Set("Location", e.service.Origin()+"/m/"+id)
		w.Header().Set("TTL", r.Header.Get("TTL"))
	}
	e.answered(n, answer.status)
	w.WriteHeader(answer.status)
	io.WriteString(w, answer.body)
}

func (e *Endpoint) nextAnswer() Answer {
	e.service.mu.Lock()
	defer e.service.mu.Unlock()
	if len(e.script) == 0 {
		return Status(http.StatusCreated)
	}
	next := e.script[0]
	e.script = e.script[1:]
	return next
}

// accept takes a message for the browser, if there is a real one, and names it.
func (e *Endpoint) accept(h http.Header, n int, body []byte) (id string) {
	e.service.mu.Lock()
	defer e.service.mu.Unlock()
	id = randomHex(16)
	e.receipts[n].MessageID = id
	if e.profile != nil {
		ttl, _ := strconv.Atoi(h.Get("TTL"))
		e.profile.take(&message{
			id:       id,
			endpoint: e,
			topic:    h.Get("Topic"),
			expires:  time.Now().Add(time.Duration(ttl) * time.Second),
			body:     body,
		})
	}
	return id
}

func (e *Endpoint) record(receipt Receipt) (n int) {
	e.service.mu.Lock()
	defer e.service.mu.Unlock()
	e.receipts = append(e.receipts, receipt)
	e.grew()
	return len(e.receipts) - 1
}

func (e *Endpoint) answered(n, status int) {
	e.service.mu.Lock()
	defer e.service.mu.Unlock()
	e.receipts[n].Status = status
}

// refusal is an answer of the service itself, not of a script.
type refusal struct {
	status int
	reason error
}

func refused(status int, format string, args ...any) *refusal {
	return &refusal{status, fmt.Errorf(format, args...)}
}

func refuse(w http.ResponseWriter, r *refusal) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(r.status)
	json.NewEncoder(w).Encode(map[string]any{"code": r.status, "message": r.reason.Error()})
}
