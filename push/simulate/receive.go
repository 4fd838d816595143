package simulate

import (
	"cmp"
	"encoding/json"
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

// receive is the sender's side (RFC 8030 §5): POST to an endpoint. What it
// refuses it refuses in the vendor's form, with the vendor's status; these are
// Mozilla's:
//
//	404  no such endpoint
//	410  the subscription is over
//	400  a header is missing or malformed, or the body cannot be aes128gcm,
//	     or is not for the simulated browser
//	401  the VAPID token is missing or wrong, or its key is not the one the
//	     subscription is bound to
//	413  the body is longer than 4096 bytes
//
// Only a request that passes all of these meets a Fault or gets the endpoint's
// scripted answer.
func (s *WebPush) receive(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	e := s.endpoints[r.PathValue("token")]
	s.mu.Unlock()
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	entry := Entry{At: time.Now(), Target: s.Origin() + r.URL.Path}
	if e == nil {
		s.refuse(w, r, entry, refused(noEndpoint, "no such endpoint"))
		return
	}

	n := e.record(Receipt{At: time.Now(), Header: r.Header.Clone(), Body: body})
	refusal := e.check(r, body)
	if refusal == nil {
		entry.Payload, refusal = e.read(body)
	}
	if refusal != nil {
		status, _ := s.manner.of(refusal.cause)
		e.answered(n, status)
		s.refuse(w, r, entry, refusal)
		return
	}
	if fault := s.faults.next(e.URL); fault != nil {
		e.suffer(w, r, entry, fault, n, body)
		return
	}
	e.answer(w, r, entry, n, body)
}

// check gives the reason to refuse a request, or nil.
func (e *Endpoint) check(r *http.Request, body []byte) *refusal {
	e.service.mu.Lock()
	expired, key := e.expired, e.key
	e.service.mu.Unlock()
	switch {
	case expired:
		return refused(ended, "the subscription is over")
	case len(body) > maxBody:
		return refused(tooLarge, "the body is longer than %d bytes", maxBody)
	}
	if refusal := e.service.checkRequest(r.Header, body); refusal != nil {
		return refusal
	}
	return checkVAPID(r.Header.Values("Authorization"), e.service.Origin(), key, time.Now())
}

// checkRequest holds a request to all that concerns neither endpoint nor sender.
func (s *WebPush) checkRequest(h http.Header, body []byte) *refusal {
	if refusal := checkHeaders(h); refusal != nil {
		return refusal
	}
	if refusal := s.manner.check(h); refusal != nil {
		return refusal
	}
	return checkEncoding(h, body)
}

// read gives what the simulated browser reads, if there is one: JSON as it is,
// anything else as a JSON string.
func (e *Endpoint) read(body []byte) (json.RawMessage, *refusal) {
	if e.browser == nil {
		return nil, nil
	}
	payload, err := e.browser.Decrypt(body)
	if err != nil {
		return nil, refused(badEncoding, "the browser cannot decrypt it: %v", err)
	}
	if !json.Valid(payload) {
		payload, _ = json.Marshal(string(payload)) // a string can always be marshalled
	}
	return payload, nil
}

var topicForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`) // RFC 8030 §5.4

// checkHeaders holds the request to RFC 8030 §5.
func checkHeaders(h http.Header) *refusal {
	if ttl, err := strconv.ParseUint(h.Get("TTL"), 10, 31); err != nil || len(h.Values("TTL")) != 1 {
		return refused(badTTL, "TTL must be given once, in seconds; got %q", h.Values("TTL"))
	} else if ttl > 28*24*3600 {
		return refused(badTTL, "a TTL of %d s is longer than four weeks, which is the most that FCM takes", ttl)
	}
	if topic, given := h["Topic"]; given && (len(topic) != 1 || !topicForm.MatchString(topic[0])) {
		return refused(badTopic, "Topic must be 1 to 32 characters of base64url; got %q", topic)
	}
	urgencies := []string{"very-low", "low", "normal", "high"}
	if urgency, given := h["Urgency"]; given && (len(urgency) != 1 || !slices.Contains(urgencies, urgency[0])) {
		return refused(badUrgency, "Urgency must be one of %q; got %q", urgencies, urgency)
	}
	return nil
}

// checkEncoding holds the body to the form of RFC 8291 §4, as far as it can be
// seen without the browser's key.
func checkEncoding(h http.Header, body []byte) *refusal {
	if got := h.Get("Content-Encoding"); got != "aes128gcm" {
		return refused(badEncoding, "Content-Encoding must be aes128gcm; got %q", got)
	}
	for _, old := range []string{"Encryption", "Crypto-Key"} { // Mozilla: errno 110
		if h.Get(old) != "" {
			return refused(badEncoding, "%s does not go with aes128gcm", old)
		}
	}
	if len(body) < minBody {
		return refused(badEncoding, "a body of %d bytes is too short for aes128gcm", len(body))
	}
	if keyLength, point := body[20], body[21]; keyLength != 65 || point != 4 {
		return refused(badEncoding, "the aes128gcm header does not hold an uncompressed P-256 key")
	}
	return nil
}

// refuse answers in the vendor's form and puts the request into the log.
func (s *WebPush) refuse(w http.ResponseWriter, r *http.Request, entry Entry, refusal *refusal) {
	status, words := s.manner.of(refusal.cause)
	entry.Status, entry.Reason = status, refusal.detail
	s.journal.add(entry, r)
	s.manner.say(w, status, cmp.Or(words, refusal.detail))
}

// suffer answers as the fault has it.
func (e *Endpoint) suffer(w http.ResponseWriter, r *http.Request, entry Entry, fault *Fault, n int, body []byte) {
	status := cmp.Or(fault.Status, http.StatusCreated)
	if entry.Taken = fault.takes(); entry.Taken {
		entry.ID = e.accept(w.Header(), r.Header, n, body)
	}
	entry.Status, entry.Reason = status, fault.Reason
	if fault.Reset {
		entry.Status = 0
	}
	e.service.journal.add(entry, r)

	fault.meet(w, r)
	e.answered(n, status)
	if fault.Body != "" || status/100 == 2 && fault.Reason == "" {
		w.WriteHeader(status)
		io.WriteString(w, fault.Body) //nolint:errcheck // the client has gone
		return
	}
	e.service.manner.say(w, status, fault.Reason)
}

// answer gives the next scripted answer, or 201.
func (e *Endpoint) answer(w http.ResponseWriter, r *http.Request, entry Entry, n int, body []byte) {
	answer := e.nextAnswer()
	if answer.release != nil {
		select {
		case <-answer.release:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
	entry.Status, entry.Reason, entry.Taken = answer.status, answer.body, answer.status/100 == 2
	if entry.Taken {
		entry.ID = e.accept(w.Header(), r.Header, n, body)
	}
	e.service.journal.add(entry, r)
	if answer.status == 0 {
		panic(http.ErrAbortHandler)
	}
	for name, values := range answer.header {
		w.Header()[name] = values
	}
	e.answered(n, answer.status)
	w.WriteHeader(answer.status)
	io.WriteString(w, answer.body) //nolint:errcheck // the client has gone
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

// accept takes a message for the browser, if there is a real one, names it, and
// says so in the answer's header.
func (e *Endpoint) accept(answer, request http.Header, n int, body []byte) (id string) {
	e.service.mu.Lock()
	defer e.service.mu.Unlock()
	id = e.service.manner.name(answer)
	answer.Set("Location", e.service.Origin()+"/m/"+id)
	answer.Set("TTL", request.Get("TTL"))
	e.receipts[n].MessageID = id
	if e.profile != nil {
		ttl, _ := strconv.Atoi(request.Get("TTL"))
		e.profile.take(&message{
			id:       id,
			endpoint: e,
			topic:    request.Get("Topic"),
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
