package storetest

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// Start is the time of the first sample. Each is a millisecond later than the
// one before.
var Start = time.Date(2026, time.March, 14, 15, 9, 26, 0, time.UTC)

// Samples makes rows that differ from one another. It may be used from many
// goroutines.
type Samples struct {
	mu  sync.Mutex
	now time.Time
}

// NewSamples begins at Start.
func NewSamples() *Samples { return &Samples{now: Start} }

// Now gives a time later than all before.
func (s *Samples) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(time.Millisecond)
	return s.now
}

// Notification gives one for the user, with an ID higher than all before, that
// was accepted just now and expires in an hour.
func (s *Samples) Notification(user push.User) push.Notification {
	now := s.Now()
	return push.Notification{
		ID:          IDAt(now),
		User:        user,
		Content:     fmt.Appendf(nil, `{"title":"Sample of %s"}`, now.Format("15:04:05.000")),
		Urgency:     push.UrgencyHigh,
		CollapseKey: "sample",
		AcceptedAt:  now,
		ExpiresAt:   now.Add(time.Hour),
	}
}

// Notifications gives n of them, in the order of their IDs.
func (s *Samples) Notifications(user push.User, n int) []push.Notification {
	all := make([]push.Notification, n)
	for i := range all {
		all[i] = s.Notification(user)
	}
	return all
}

// Browser gives a Web Push subscription of the user, with a real public key.
func (s *Samples) Browser(user push.User) push.Subscription {
	now := s.Now()
	sub := push.Subscription{
		User:         user,
		Kind:         push.WebPush,
		Endpoint:     push.Endpoint("https://push.example.net/" + unique(now)),
		P256dh:       publicKey(),
		Auth:         randomBytes(16),
		VAPIDKey:     publicKey(),
		CreatedAt:    now,
		RegisteredAt: now,
		SeenAt:       now,
		ExpiresAt:    now.Add(24 * time.Hour),
	}
	sub.Digest = push.DigestOf(sub.Endpoint)
	return sub
}

// Phone gives an FCM subscription of the user. It has no keys and does not say
// when it ends, like the next.
func (s *Samples) Phone(user push.User) push.Subscription {
	now := s.Now()
	sub := push.Subscription{
		User:         user,
		Kind:         push.FCM,
		Endpoint:     push.Endpoint("token:" + unique(now)),
		Project:      "sample-project",
		CreatedAt:    now,
		RegisteredAt: now,
		SeenAt:       now,
	}
	sub.Digest = push.DigestOf(sub.Endpoint)
	return sub
}

// IPhone gives an APNs subscription of the user.
func (s *Samples) IPhone(user push.User) push.Subscription {
	now := s.Now()
	sub := push.Subscription{
		User:         user,
		Kind:         push.APNs,
		Endpoint:     push.Endpoint(hex.EncodeToString(randomBytes(32))),
		Topic:        "com.example.sample",
		Environment:  push.Production,
		CreatedAt:    now,
		RegisteredAt: now,
		SeenAt:       now,
	}
	sub.Digest = push.DigestOf(sub.Endpoint)
	return sub
}

// Delivery tells that the subscription got the notification, just now. Of the
// push services those of phones say what they call it.
func (s *Samples) Delivery(n push.Notification, sub push.Subscription) push.Delivery {
	delivery := push.Delivery{
		Notification: n.ID,
		Subscription: sub.Digest,
		Kind:         sub.Kind,
		Host:         sub.Host(),
		State:        push.StateDelivered,
		Attempts:     1,
		Status:       201,
		DoneAt:       s.Now(),
	}
	if sub.Kind != push.WebPush {
		delivery.MessageID = "sample:" + unique(delivery.DoneAt)
	}
	return delivery
}

// Rest is that of a subscription which failed with the notification just now
// and is tried again in a minute.
func (s *Samples) Rest(n push.Notification) push.Rest {
	return push.Rest{
		Until:        s.Now().Add(time.Minute),
		Notification: n.ID,
		Attempts:     3,
		Status:       503,
		Reason:       "try later",
	}
}

// Event tells of something of this type that happened just now to the
// notification at the subscription, with an ID higher than all before.
func (s *Samples) Event(t push.EventType, n push.Notification, sub push.Subscription) push.Event {
	now := s.Now()
	return push.Event{
		ID:           IDAt(now),
		App:          n.User.App,
		Type:         t,
		At:           now,
		User:         n.User.ID,
		Notification: n.ID,
		Subscription: sub.Digest,
		EventDetail:  push.EventDetail{Kind: sub.Kind, Host: sub.Host(), Attempts: 1, Status: 201},
	}
}

// Receipt tells that the subscription's device did this just now.
func (s *Samples) Receipt(t push.ReceiptType, n push.Notification, sub push.Subscription) push.Receipt {
	return push.Receipt{Notification: n.ID, Subscription: sub.Digest, Type: t, At: s.Now()}
}

// App gives an app of this name.
func (s *Samples) App(name string) store.App {
	return store.App{
		Name:         name,
		Origins:      []string{"https://" + name + ".example.com"},
		VAPIDSubject: "mailto:ops@example.com",
		PushHosts:    []string{"push." + name + ".example.com:8443"},
		TokenSecret:  randomBytes(32),
		CreatedAt:    s.Now(),
	}
}

// APIKey gives a key of the app.
func (s *Samples) APIKey(app string) store.APIKey {
	return store.APIKey{
		ID:        hex.EncodeToString(randomBytes(6)),
		App:       app,
		Name:      "sample",
		Hash:      sha256.Sum256(randomBytes(32)),
		Scopes:    []string{"send", "read"},
		Rate:      25,
		CreatedAt: s.Now(),
	}
}

// VAPIDKey gives a key pair of the app.
func (s *Samples) VAPIDKey(app string) store.VAPIDKey {
	pair := keyPair()
	return store.VAPIDKey{
		App:       app,
		Public:    pair.PublicKey().Bytes(),
		Private:   pair.Bytes(),
		CreatedAt: s.Now(),
	}
}

// Credential gives one of the app's, for APNs.
func (s *Samples) Credential(app, name string) store.Credential {
	now := s.Now()
	return store.Credential{
		App:       app,
		Name:      name,
		Kind:      push.APNs,
		Settings:  fmt.Appendf(nil, `{"key_id":"%s"}`, unique(now)),
		Secret:    randomBytes(240),
		CreatedAt: now,
	}
}

// Webhook gives one of the app's.
func (s *Samples) Webhook(app, name string) store.Webhook {
	now := s.Now()
	return store.Webhook{
		App:       app,
		Name:      name,
		URL:       "https://hooks.example.com/" + unique(now),
		Types:     []push.EventType{push.EventDelivered, push.EventGone, push.EventLaneResumed},
		Secret:    randomBytes(32),
		CreatedAt: now,
		After:     IDAt(now),
	}
}

// User gives a user of the default app.
func User(id string) push.User { return push.User{App: push.DefaultApp, ID: id} }

// IDAt gives the ID of the first notification or event in the millisecond of t: a
// UUID of version 7 with nothing but its clock.
func IDAt(t time.Time) (id push.ID) {
	millis := t.UnixMilli()
	for i := range 6 {
		id[i] = byte(millis >> (40 - 8*i))
	}
	id[6], id[8] = 0x70, 0x80 // version 7, variant of RFC 9562
	return id
}

// Before says that all is old that is older than then.
func Before(then time.Time) store.Before {
	return store.Before{Notifications: then, Events: then}
}

// MaxID is no notification's or event's: all come before it.
var MaxID = push.ID{
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
}

// AllShards holds every user.
var AllShards = push.ShardRange{First: 0, Last: push.Shards - 1}

func unique(now time.Time) string {
	return fmt.Sprintf("%d-%x", now.UnixMilli(), randomBytes(8))
}

func publicKey() []byte { return keyPair().PublicKey().Bytes() }

func keyPair() *ecdh.PrivateKey {
	pair, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return pair
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}
