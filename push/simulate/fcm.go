package simulate

import (
	"cmp"
	"crypto/rsa"
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

const (
	defaultFCMProject = "belfry-simulated"

	// maxFCMRequest is as much of a request as is read, in bytes: what is
	// longer is too big whatever it holds.
	maxFCMRequest = 64 << 10
)

// FCMConfig says how an FCM listens and whose messages it takes.
type FCMConfig struct {
	Config
	Project        string           // the Firebase project's ID; empty for one of its own
	ServiceAccount []byte           // a file that FCM.ServiceAccount gave, to go on with, also with its project; nil for a new one
	Now            func() time.Time // the clock of access tokens; nil for time.Now
}

// FCM is Firebase Cloud Messaging for one project, and Google's token endpoint
// for its one service account, on a TLS port of loopback:
//
//	POST /token                                an access token (RFC 7523)
//	POST /v1/projects/{project}/messages:send  a message (FCM HTTP v1)
//
// It takes what Google's reference of projects.messages allows and nothing else,
// and answers the rest as Google does (fcm_message.go, fcm_answer.go). It never
// sends to a device: Log and Await tell what one would have got.
//
// Every registration token is known to it, until it is told otherwise.
//
// Its methods may be called from many goroutines.
type FCM struct {
	*station
	project string
	now     func() time.Time
	account fcmAccount

	tokenFaults faults

	mu           sync.Mutex
	access       map[string]time.Time // access tokens, and when each ends
	granted      int
	messages     int
	unregistered map[string]bool // registration tokens
	disowned     map[string]bool // likewise
}

// fcmAccount is a service account.
type fcmAccount struct {
	email, keyID string
	key          *rsa.PrivateKey
}

func (c FCMConfig) account() (project string, account fcmAccount, err error) {
	if c.ServiceAccount != nil {
		return readFCMAccount(c.ServiceAccount)
	}
	project = cmp.Or(c.Project, defaultFCMProject)
	account, err = newFCMAccount(project)
	return project, account, err
}

// OpenFCM starts an FCM that runs until Stop.
func OpenFCM(config FCMConfig) (*FCM, error) {
	if config.Now == nil {
		config.Now = time.Now
	}
	project, account, err := config.account()
	if err != nil {
		return nil, err
	}
	station, err := openStation(config.Config)
	if err != nil {
		return nil, err
	}
	s := &FCM{
		station:      station,
		project:      project,
		now:          config.Now,
		account:      account,
		access:       map[string]time.Time{},
		unregistered: map[string]bool{},
		disowned:     map[string]bool{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+fcmTokenPath, s.serveToken)
	mux.HandleFunc("POST /v1/projects/{project}/{method}", s.serveSend)
	if err := station.serve(mux); err != nil {
		return nil, err
	}
	return s, nil
}

// Project is the Firebase project's ID.
func (s *FCM) Project() string { return s.project }

// ServiceAccount is the JSON file that a sender proves itself with, as the
// Firebase console gives it, but for its token_uri, which is this FCM's own.
func (s *FCM) ServiceAccount() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(s.account.key)
	if err != nil {
		panic(fmt.Errorf("encode a service account's key: %w", err)) // an RSA key always encodes
	}
	file, err := json.MarshalIndent(map[string]string{
		"type":            "service_account",
		"project_id":      s.project,
		"private_key_id":  s.account.keyID,
		"private_key":     string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email":    s.account.email,
		"client_id":       "100000000000000000000",
		"auth_uri":        s.URL() + "/auth",
		"token_uri":       s.tokenURL(),
		"universe_domain": "googleapis.com",
	}, "", "  ")
	if err != nil {
		panic(fmt.Errorf("encode a service account: %w", err)) // strings always encode
	}
	return file
}

// Unregister ends a registration token, as the app's removal does: 404
// UNREGISTERED from now on.
func (s *FCM) Unregister(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unregistered[token] = true
}

// Disown makes a registration token one of another project: 403
// SENDER_ID_MISMATCH from now on.
func (s *FCM) Disown(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disowned[token] = true
}

// ExpireAccessTokens ends all access tokens: 401 UNAUTHENTICATED for who does not
// get a new one.
func (s *FCM) ExpireAccessTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.access)
}

// AccessTokens is how many access tokens were given so far.
func (s *FCM) AccessTokens() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.granted
}

// TokenFault puts a fault in force at the token endpoint, behind those that are:
// Reason is the error's name, as in invalid_grant.
func (s *FCM) TokenFault(f Fault) error { return s.tokenFaults.add(f) }

// ClearFaults ends all faults, those of the token endpoint too.
func (s *FCM) ClearFaults() {
	s.station.ClearFaults()
	s.tokenFaults.clear()
}

// serveSend is projects.messages.send. Only a message that is well-formed, and for
// a device that is known, meets a fault.
func (s *FCM) serveSend(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxFCMRequest))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	arrived := time.Now()
	request, refusal := s.check(r, body)
	entry := Entry{At: arrived, Target: request.target, Payload: request.message}
	if refusal != nil {
		entry.Status, entry.Reason = refusal.status, refusal.name()
		s.journal.add(entry, r)
		refusal.write(w)
		return
	}
	fault := s.faults.next(request.target)
	entry.Status, entry.ID = http.StatusOK, "projects/"+s.project+"/messages/fake_message_id"
	if entry.Taken = fault.takes() && !request.validateOnly; entry.Taken {
		entry.ID = s.name()
	}
	if fault != nil && fault.Status != 0 {
		entry.Status, entry.Reason = fault.Status, fault.Reason
	}
	s.answer(w, r, entry, fault)
}

// answer puts a message that is in order into the log and answers it, as far as
// the fault lets it.
func (s *FCM) answer(w http.ResponseWriter, r *http.Request, entry Entry, fault *Fault) {
	status := entry.Status
	if fault != nil && fault.Reset {
		entry.Status = 0
	}
	s.journal.add(entry, r)

	fault.meet(w, r)
	switch {
	case fault != nil && fault.Body != "":
		w.WriteHeader(status)
		io.WriteString(w, fault.Body) //nolint:errcheck // the client has gone
	case status/100 == 2:
		writeJSON(w, status, map[string]string{"name": entry.ID})
	default:
		fcmFailed(status, fault.Reason).write(w)
	}
}

// name makes up what FCM calls a message.
func (s *FCM) name() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages++
	return fmt.Sprintf("projects/%s/messages/0:%016d%%%s", s.project, s.messages, randomHex(8))
}

// check holds a request to the reference, in the order in which Google does:
//
//	404  no such method
//	401  no access token, or one that is unknown or has ended
//	403  not this service account's project
//	400  the message: see fcm_message.go
//	403  the device's token is of another project
//	404  the device's token is over
func (s *FCM) check(r *http.Request, body []byte) (fcmRequest, *fcmRefusal) {
	if r.PathValue("method") != "messages:send" {
		return fcmRequest{}, fcmRefused(http.StatusNotFound, "there is no such method")
	}
	if refusal := s.authorise(r.Header.Values("Authorization")); refusal != nil {
		return fcmRequest{}, refusal
	}
	if r.PathValue("project") != s.project {
		return fcmRequest{}, fcmRefused(http.StatusForbidden, "the service account may not send for this project, or there is no such project")
	}
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); kind != "application/json" {
		return fcmRequest{}, fcmRefused(http.StatusBadRequest, "the body must be application/json")
	}
	request, refusal := parseFCM(body)
	if refusal != nil {
		return request, refusal
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.disowned[request.target]:
		return request, fcmFailed(http.StatusForbidden, "SENDER_ID_MISMATCH")
	case s.unregistered[request.target]:
		return request, fcmFailed(http.StatusNotFound, "UNREGISTERED")
	}
	return request, nil
}

// authorise checks the access token.
func (s *FCM) authorise(authorization []string) *fcmRefusal {
	if len(authorization) != 1 {
		return fcmRefused(http.StatusUnauthorized, "Authorization must be given once")
	}
	token, found := strings.CutPrefix(authorization[0], "Bearer ")
	s.mu.Lock()
	defer s.mu.Unlock()
	if ends, known := s.access[token]; !found || !known || !s.now().Before(ends) {
		return fcmRefused(http.StatusUnauthorized, "the access token is unknown or has ended")
	}
	return nil
}
