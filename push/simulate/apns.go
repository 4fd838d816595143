package simulate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// APNsConfig says what an APNs knows. Config.Authority is required.
type APNsConfig struct {
	Config
	Keys         []APNsKey           // whose provider tokens it takes
	Certificates []*x509.Certificate // senders' own that it takes
	Sandbox      bool                // it is the sandbox: answers bear an apns-unique-id
	Now          func() time.Time    // for provider tokens and certificates; default: time.Now
}

// APNsKey is the half of a provider token's signing key that Apple keeps.
type APNsKey struct {
	TeamID, KeyID string // 10 characters each
	Public        *ecdsa.PublicKey
	Topics        []string // the bundle IDs of the team's apps; empty for any
}

// NewAPNsKey makes a signing key of a team of its own, as Apple's developer
// pages do: the file AuthKey_<KeyID>.p8, and what Apple keeps of it.
func NewAPNsKey() (p8 []byte, key APNsKey) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(fmt.Errorf("make a signing key: %w", err)) // crypto/rand never fails
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		panic(fmt.Errorf("make a signing key: %w", err)) // P-256 is known
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), APNsKey{
		TeamID: strings.ToUpper(randomHex(5)),
		KeyID:  strings.ToUpper(randomHex(5)),
		Public: &private.PublicKey,
	}
}

// APNs is one environment of the Apple Push Notification service, on a loopback
// port. It takes what Apple's "Sending notification requests to APNs" describes
// and refuses all else in the words of "Handling notification responses from
// APNs" (apns_request.go, apns_sender.go). It never sends to a device: Log and
// Await tell what one would have got.
//
// Every device token is known to it, for any topic, until it is told otherwise.
// A message with an apns-id that it took before is taken again.
//
// Its methods may be called from many goroutines.
type APNs struct {
	*station
	config APNsConfig
	good   goodTokens // with Config.Bulk, of keys that serve any topic

	mu      sync.Mutex
	devices map[string]device // by token; only those it was told something of
}

// device is what it was told of a device token.
type device struct {
	topic     string    // the only one that it is for; empty for any
	gone      time.Time // since when the app is no longer there; zero while it is
	elsewhere bool      // the other environment's
}

// OpenAPNs starts an APNs that runs until Stop.
func OpenAPNs(config APNsConfig) (*APNs, error) {
	if config.Now == nil {
		config.Now = time.Now
	}
	station, err := openStation(config.Config)
	if err != nil {
		return nil, err
	}
	s := &APNs{station: station, config: config, devices: make(map[string]device)}
	mux := http.NewServeMux()
	mux.HandleFunc("/3/device/{token...}", s.receive)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.answer(w, r, Entry{At: time.Now()}, apnsAnswer{Status: http.StatusNotFound, Reason: "BadPath"})
	})
	if err := s.serve(mux); err != nil {
		return nil, err
	}
	return s, nil
}

// Unregister lets the app be deleted from a device, which APNs noticed at a time.
func (s *APNs) Unregister(token string, at time.Time) {
	s.tell(token, func(d *device) { d.gone = at })
}

// Register lets the app be there again, with the same token.
func (s *APNs) Register(token string) {
	s.tell(token, func(d *device) { d.gone = time.Time{} })
}

// Bind makes a token one for this topic alone.
func (s *APNs) Bind(token, topic string) {
	s.tell(token, func(d *device) { d.topic = topic })
}

// Disown makes a token one of the other environment: here it is a bad one.
func (s *APNs) Disown(token string) {
	s.tell(token, func(d *device) { d.elsewhere = true })
}

func (s *APNs) tell(token string, change func(*device)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.devices[token]
	change(&d)
	s.devices[token] = d
}

// apnsAnswer is what a sender is told: the JSON of an error, and its status.
type apnsAnswer struct {
	Status    int    `json:"-"`
	Reason    string `json:"reason"`
	Timestamp int64  `json:"timestamp,omitempty"` // milliseconds of Unix time, with 410
}

// refused400 is the most common refusal.
func refused400(reason string) *apnsAnswer {
	return &apnsAnswer{Status: http.StatusBadRequest, Reason: reason}
}

func refused403(reason string) *apnsAnswer {
	return &apnsAnswer{Status: http.StatusForbidden, Reason: reason}
}

// receive is POST /3/device/<token>.
func (s *APNs) receive(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 2 {
		panic(http.ErrAbortHandler) // APNs speaks nothing else
	}
	token := r.PathValue("token")
	body, err := io.ReadAll(io.LimitReader(r.Body, maxVoIPPayload+1))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	entry := Entry{At: time.Now(), Target: token}
	if json.Valid(body) {
		entry.Payload = body
	}
	if refusal := s.check(r, token, body); refusal != nil {
		s.answer(w, r, entry, *refusal)
		return
	}

	fault := s.faults.next(token)
	entry.Taken = fault.takes()
	answer := apnsAnswer{Status: http.StatusOK}
	if fault != nil && fault.Status != 0 {
		answer = apnsAnswer{Status: fault.Status, Reason: fault.Reason}
	}
	if answer.Status == http.StatusGone {
		answer.Timestamp = s.config.Now().UnixMilli()
	}
	s.answerWith(w, r, entry, answer, fault)
}

// check gives why a request is refused, or nil.
func (s *APNs) check(r *http.Request, token string, body []byte) *apnsAnswer {
	if r.Method != http.MethodPost {
		return &apnsAnswer{Status: http.StatusMethodNotAllowed, Reason: "MethodNotAllowed"}
	}
	if refusal := checkRepeated(r.Header); refusal != nil {
		return refusal
	}
	sender, refusal := s.authenticate(r)
	if refusal != nil {
		return refusal
	}
	switch {
	case token == "":
		return refused400("MissingDeviceToken")
	case !tokenForm.MatchString(token) || len(token)%2 != 0:
		return refused400("BadDeviceToken")
	}
	topic, refusal := sender.topicOf(r.Header)
	if refusal != nil {
		return refusal
	}
	if refusal := checkAPNsHeader(r.Header, topic); refusal != nil {
		return refusal
	}
	if refusal := checkAPNsPayload(body, r.Header.Get("apns-push-type")); refusal != nil {
		return refusal
	}
	return s.checkDevice(token, topic)
}

func (s *APNs) checkDevice(token, topic string) *apnsAnswer {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch d := s.devices[token]; {
	case d.elsewhere:
		return refused400("BadDeviceToken")
	case d.topic != "" && d.topic != topic:
		return refused400("DeviceTokenNotForTopic")
	case !d.gone.IsZero():
		return &apnsAnswer{Status: http.StatusGone, Reason: "Unregistered", Timestamp: d.gone.UnixMilli()}
	}
	return nil
}

func (s *APNs) answer(w http.ResponseWriter, r *http.Request, entry Entry, answer apnsAnswer) {
	s.answerWith(w, r, entry, answer, nil)
}

// answerWith puts the request into the log and answers it, as far as the fault
// lets it.
func (s *APNs) answerWith(w http.ResponseWriter, r *http.Request, entry Entry, answer apnsAnswer, fault *Fault) {
	entry.ID = r.Header.Get("apns-id")
	if !uuidForm.MatchString(entry.ID) {
		entry.ID = randomUUID()
	}
	entry.Status, entry.Reason = answer.Status, answer.Reason
	if fault != nil && fault.Reset {
		entry.Status = 0
	}
	s.journal.add(entry, r)

	fault.meet(w, r)
	w.Header().Set("apns-id", entry.ID)
	if s.config.Sandbox {
		w.Header().Set("apns-unique-id", randomUUID())
	}
	switch {
	case fault != nil && fault.Body != "":
		w.WriteHeader(answer.Status)
		io.WriteString(w, fault.Body) //nolint:errcheck // the client has gone
	case answer.Status/100 == 2:
		w.WriteHeader(answer.Status)
	default:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(answer.Status)
		json.NewEncoder(w).Encode(answer) //nolint:errcheck // the client has gone
	}
}

// randomUUID is a UUID version 4 (RFC 9562 §5.4).
func randomUUID() string {
	digits := []byte(randomHex(16))
	digits[12], digits[16] = '4', '8'
	return fmt.Sprintf("%s-%s-%s-%s-%s", digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
}
