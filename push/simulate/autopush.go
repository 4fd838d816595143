package simulate

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

// profile is one real browser, known by the uaid that hello gave it.
type profile struct {
	uaid     string
	channels map[string]*Endpoint // by channel id
	mailbox  []*message           // accepted and not acknowledged, in order
	session  *session             // nil while the browser is away
}

// session is one WebSocket connection of a browser.
type session struct {
	wake chan struct{} // holds a token while there may be something to send
	end  context.CancelFunc
}

// frame is every message of the autopush protocol, in both directions.
type frame struct {
	MessageType string `json:"messageType,omitempty"` // empty: ping

	// hello
	UAID       string          `json:"uaid,omitempty"`
	UseWebPush bool            `json:"use_webpush,omitempty"`
	Broadcasts json.RawMessage `json:"broadcasts,omitempty"`
	Status     int             `json:"status,omitempty"`

	// register, unregister
	ChannelID    string `json:"channelID,omitempty"`
	Key          string `json:"key,omitempty"`
	PushEndpoint string `json:"pushEndpoint,omitempty"`

	// notification, ack, nack
	Version string            `json:"version,omitempty"`
	TTL     int               `json:"ttl,omitempty"`
	Data    string            `json:"data,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Updates []update          `json:"updates,omitempty"`
	Code    int               `json:"code,omitempty"`
}

type update struct {
	ChannelID string `json:"channelID"`
	Version   string `json:"version"`
	Code      int    `json:"code"`
}

// serveBrowser is the browser's side: Mozilla's autopush protocol.
//
//	hello ─▶ a uaid, and what was stored meanwhile
//	register ─▶ a new endpoint, bound to the VAPID key
//	unregister ─▶ the endpoint is over
//	◀─ notification; ack or nack ─▶ it is forgotten here
func (s *WebPush) serveBrowser(w http.ResponseWriter, r *http.Request) {
	connection, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols:       []string{"push-notification"},
		InsecureSkipVerify: true, // Firefox sends no origin that would match
	})
	if err != nil {
		return // Accept answered
	}
	defer connection.CloseNow()
	ctx, end := context.WithCancel(r.Context())
	defer end()

	var hello frame
	if wsjson.Read(ctx, connection, &hello) != nil || hello.MessageType != "hello" {
		return
	}
	p, current := s.greet(hello.UAID, end)
	defer s.depart(p, current)
	hello.UAID, hello.UseWebPush, hello.Status, hello.Broadcasts = p.uaid, true, http.StatusOK, json.RawMessage("{}")
	if wsjson.Write(ctx, connection, hello) != nil {
		return
	}

	sender := make(chan struct{})
	go func() {
		defer close(sender)
		defer end()
		s.deliver(ctx, connection, p, current)
	}()
	for s.converse(ctx, connection, p) == nil {
	}
	end()
	<-sender
}

// greet finds the browser, or makes a new one if there is none of that uaid.
// Its former connection, if there is one, ends. What expired while it was away
// is dropped; a message with TTL 0 always is (RFC 8030 §5.2).
func (s *WebPush) greet(uaid string, end context.CancelFunc) (*profile, *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.profiles[uaid]
	if p == nil {
		p = &profile{uaid: randomHex(16), channels: map[string]*Endpoint{}}
		s.profiles[p.uaid] = p
	}
	p.disconnect()
	p.mailbox = slices.DeleteFunc(p.mailbox, func(m *message) bool { return m.expires.Before(time.Now()) })
	p.session = &session{wake: make(chan struct{}, 1), end: end}
	p.session.wake <- struct{}{}
	return p, p.session
}

func (s *WebPush) depart(p *profile, current *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.session == current {
		p.session = nil
	}
}

// disconnect cuts the browser's connection. The service's mutex is held.
func (p *profile) disconnect() {
	if p.session != nil {
		p.session.end()
		p.session = nil
	}
}

// converse reads one message from the browser and answers it.
func (s *WebPush) converse(ctx context.Context, connection *websocket.Conn, p *profile) error {
	var f frame
	if err := wsjson.Read(ctx, connection, &f); err != nil {
		return err
	}
	switch f.MessageType {
	case "": // ping
		return wsjson.Write(ctx, connection, frame{})
	case "register":
		return wsjson.Write(ctx, connection, s.register(p, f))
	case "unregister":
		s.unregister(p, f.ChannelID)
		return wsjson.Write(ctx, connection, frame{MessageType: "unregister", ChannelID: f.ChannelID, Status: http.StatusOK})
	case "ack":
		for _, u := range f.Updates {
			s.acknowledged(p, u.Version, u.Code)
		}
	case "nack":
		s.acknowledged(p, f.Version, f.Code)
	}
	return nil
}

func (s *WebPush) register(p *profile, f frame) frame {
	answer := frame{MessageType: "register", ChannelID: f.ChannelID, Status: http.StatusOK}
	key, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(f.Key, "=")) // Firefox pads it
	if err != nil {
		answer.Status = http.StatusBadRequest
		return answer
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.newEndpoint()
	e.profile, e.channel = p, f.ChannelID
	if len(key) > 0 {
		e.key = key
	}
	p.channels[f.ChannelID] = e
	answer.PushEndpoint = e.URL
	return answer
}

func (s *WebPush) unregister(p *profile, channel string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := p.channels[channel]
	if e == nil {
		return
	}
	e.expired = true
	delete(p.channels, channel)
	p.mailbox = slices.DeleteFunc(p.mailbox, func(m *message) bool { return m.endpoint == e })
}

func (s *WebPush) acknowledged(p *profile, id string, code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(p.mailbox, func(m *message) bool { return m.id == id })
	if i < 0 {
		return
	}
	e := p.mailbox[i].endpoint
	p.mailbox = slices.Delete(p.mailbox, i, i+1)
	e.acks = append(e.acks, Ack{At: time.Now(), MessageID: id, Code: code})
	e.grew()
}

// take puts a message into the browser's mailbox, in place of one with the same
// topic that the browser does not have yet (RFC 8030 §5.4). The service's mutex
// is held.
func (p *profile) take(m *message) {
	if m.topic != "" {
		p.mailbox = slices.DeleteFunc(p.mailbox, func(old *message) bool {
			out := p.session != nil && old.sent == p.session
			return !out && old.endpoint == m.endpoint && old.topic == m.topic
		})
	}
	p.mailbox = append(p.mailbox, m)
	if p.session != nil {
		select {
		case p.session.wake <- struct{}{}:
		default: // it is awake
		}
	}
}

// deliver sends the browser what is in its mailbox, as it comes in, until the
// connection ends.
func (s *WebPush) deliver(ctx context.Context, connection *websocket.Conn, p *profile, current *session) {
	for {
		select {
		case <-current.wake:
		case <-ctx.Done():
			return
		}
		for _, f := range s.unsent(p, current) {
			if wsjson.Write(ctx, connection, f) != nil {
				return
			}
		}
	}
}

// unsent gives what did not go out on this connection yet.
func (s *WebPush) unsent(p *profile, current *session) []frame {
	s.mu.Lock()
	defer s.mu.Unlock()
	var frames []frame
	for _, m := range p.mailbox {
		if m.sent == current {
			continue
		}
		m.sent = current
		frames = append(frames, frame{
			MessageType: "notification",
			ChannelID:   m.endpoint.channel,
			Version:     m.id,
			TTL:         int(max(0, time.Until(m.expires).Seconds())),
			Data:        base64.RawURLEncoding.EncodeToString(m.body),
			Headers:     map[string]string{"encoding": "aes128gcm"},
		})
	}
	return frames
}
