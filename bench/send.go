package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	reference "github.com/SherClockHolmes/webpush-go"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/simulate"
	"github.com/belfryhq/belfry/push/webpush"
)

const (
	sendInFlight = 900
	sendDelay    = 50 * time.Millisecond
	sendUsers    = 1000
	vapidSubject = "mailto:operator@belfry.dev"
)

// sendSettings say where to send.
type sendSettings struct {
	URL      string
	CAFile   string
	InFlight int
}

func runSend(ctx context.Context, b *bench) error {
	starts := []func() (contender, error){
		func() (contender, error) { return b.startSender(ctx, "Belfry", "send-belfry") },
		func() (contender, error) { return b.startSender(ctx, "webpush-go, pooled", "send-webpush-go") },
	}
	if script, why := b.nodeSender(ctx); why != nil {
		b.note("node's web-push was left out: %v", why)
	} else {
		starts = append(starts, func() (contender, error) { return b.startNode(ctx, script) })
	}
	return with(func(all ...contender) error { return b.alternate(ctx, all...) }, starts...)
}

func (b *bench) sendService(ctx context.Context) (*pushService, sendSettings, error) {
	service, err := b.startPushService(ctx, "simulate-webpush", simulatorSettings{DelayMillis: int(sendDelay.Milliseconds())})
	if err != nil {
		return nil, sendSettings{}, err
	}
	return service, sendSettings{URL: service.url, CAFile: service.caFile, InFlight: sendInFlight}, nil
}

func (b *bench) startSender(ctx context.Context, name, job string) (contender, error) {
	service, settings, err := b.sendService(ctx)
	if err != nil {
		return nil, err
	}
	w, err := startWorker(ctx, name, job, settings)
	if err != nil {
		return nil, err
	}
	return &sender{worker: w, service: service}, nil
}

// browsers are simulated ones, subscribed at a push service with our key.
func browsers(url string, n int, vapid []byte) []push.Subscription {
	all := make([]push.Subscription, n)
	for i := range all {
		endpoint := push.Endpoint(fmt.Sprintf("%s/wpush/v2/%s-%06d", url, strings.Repeat("abcdefgh", 8), i))
		all[i] = simulate.NewBrowser(endpoint).Subscription(userNumber(i), vapid)
	}
	return all
}

func userNumber(i int) push.User {
	return push.User{App: push.DefaultApp, ID: fmt.Sprintf("user-%07d", i)}
}

// content is a common one; with what goes around it a payload has some 200 bytes.
func content() []byte {
	encoded, err := push.Content{
		Title: "Your table is ready", Body: "Alice, the table for four is laid. See you at eight.", URL: "https://example.com/bookings/123456",
	}.Encode()
	if err != nil {
		panic(err) // it has no Data
	}
	return encoded
}

// messageTo is the message of a notification of its own.
func messageTo(to push.Subscription, call int64) push.Message {
	now := time.Now()
	n := push.Notification{User: to.User, Content: commonContent, Urgency: push.UrgencyHigh, AcceptedAt: now, ExpiresAt: now.Add(time.Hour)}
	for i := range 8 {
		n.ID[15-i] = byte(call >> (8 * i))
	}
	return push.Message{Notification: n, Subscription: to, TTL: time.Hour}
}

// belfrySend sends with push/webpush.
type belfrySend struct {
	provider *webpush.Provider
	to       []push.Subscription
	inFlight int
	calls    int64
}

func openBelfrySend(_ context.Context, s sendSettings) (*belfrySend, error) {
	roots, err := rootsIn(s.CAFile)
	if err != nil {
		return nil, err
	}
	public, private, err := webpush.GenerateKey()
	if err != nil {
		return nil, err
	}
	provider, err := webpush.New(webpush.Config{
		Key: func(context.Context, string, []byte) (webpush.Key, error) {
			return webpush.Key{Private: private, Subject: vapidSubject}, nil
		},
		AllowHosts: []string{strings.TrimPrefix(s.URL, "https://")},
		RootCAs:    roots,
	})
	if err != nil {
		return nil, err
	}
	return &belfrySend{provider: provider, to: browsers(s.URL, sendUsers, public), inFlight: s.InFlight}, nil
}

func (s *belfrySend) ready() map[string]string { return nil }

func (s *belfrySend) round(ctx context.Context, d time.Duration) (sample, error) {
	return s.loop(ctx, d, func(ctx context.Context, call int64) error {
		return delivered(s.provider.Send(ctx, messageTo(s.to[int(call)%len(s.to)], call)))
	})
}

func (s *belfrySend) loop(ctx context.Context, d time.Duration, do func(context.Context, int64) error) (sample, error) {
	found, err := closedLoop(ctx, s.inFlight, s.calls, d, do)
	s.calls += int64(found.Ops)
	return found, err
}

func (s *belfrySend) close() error {
	s.provider.Close()
	return nil
}

func delivered(result push.Result) error {
	if result.Outcome != push.Delivered {
		return fmt.Errorf("%s: %d %s", result.Outcome, result.Status, result.Reason)
	}
	return nil
}

// webpushGo sends with webpush-go, as people do: a pool of goroutines and one
// client, whose transport speaks HTTP/2.
type webpushGo struct {
	client   *http.Client
	options  reference.Options
	to       []*reference.Subscription
	payload  []byte
	inFlight int
}

func openWebpushGo(_ context.Context, s sendSettings) (*webpushGo, error) {
	roots, err := rootsIn(s.CAFile)
	if err != nil {
		return nil, err
	}
	private, public, err := reference.GenerateVAPIDKeys()
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	transport.MaxConnsPerHost = 16
	w := &webpushGo{client: &http.Client{Transport: transport, Timeout: 30 * time.Second}, inFlight: s.InFlight}
	w.options = reference.Options{
		HTTPClient: w.client, Subscriber: strings.TrimPrefix(vapidSubject, "mailto:"), TTL: 3600, Urgency: reference.UrgencyHigh, VAPIDPublicKey: public, VAPIDPrivateKey: private,
	}
	for _, sub := range browsers(s.URL, sendUsers, nil) {
		w.to = append(w.to, &reference.Subscription{
			Endpoint: string(sub.Endpoint), Keys: reference.Keys{P256dh: push.EncodeBase64(sub.P256dh), Auth: push.EncodeBase64(sub.Auth)},
		})
	}
	w.payload = messageTo(push.Subscription{}, 1).Notification.WebPayload("")
	return w, nil
}

func (w *webpushGo) ready() map[string]string { return nil }

func (w *webpushGo) round(ctx context.Context, d time.Duration) (sample, error) {
	return closedLoop(ctx, w.inFlight, 0, d, func(ctx context.Context, call int64) error {
		options := w.options
		response, err := reference.SendNotificationWithContext(ctx, bytes.Clone(w.payload), w.to[int(call)%len(w.to)], &options)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			return err
		}
		if response.StatusCode != http.StatusCreated {
			return fmt.Errorf("the push service answered %s", response.Status)
		}
		return nil
	})
}

func (w *webpushGo) close() error {
	w.client.CloseIdleConnections()
	return nil
}

// nodeSender installs node's web-push where this run's files are, and gives the
// script that sends with it.
func (b *bench) nodeSender(ctx context.Context) (script string, why error) {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return "", fmt.Errorf("%s is not there", program)
		}
	}
	dir, err := b.folder("node")
	if err != nil {
		return "", err
	}
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(b.root, "bench", "node"))); err != nil {
		return "", err
	}
	install := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--silent")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm install: %w: %s", err, bytes.TrimSpace(out))
	}
	return filepath.Join(dir, "send.js"), nil
}

func (b *bench) startNode(ctx context.Context, script string) (contender, error) {
	service, settings, err := b.sendService(ctx)
	if err != nil {
		return nil, err
	}
	subscriptions := make([]map[string]any, 0, sendUsers)
	for _, sub := range browsers(settings.URL, sendUsers, nil) {
		subscriptions = append(subscriptions, map[string]any{
			"endpoint": string(sub.Endpoint),
			"keys":     map[string]string{"p256dh": push.EncodeBase64(sub.P256dh), "auth": push.EncodeBase64(sub.Auth)},
		})
	}
	file := filepath.Join(filepath.Dir(script), "settings.json")
	if err := writeJSON(file, map[string]any{
		"subscriptions": subscriptions, "inFlight": settings.InFlight, "subject": vapidSubject,
		"payload": string(messageTo(push.Subscription{}, 1).Notification.WebPayload("")),
	}); err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, "node", script, file)
	command.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+settings.CAFile)
	w, err := startProcess(ctx, "node web-push", command)
	if err != nil {
		return nil, err
	}
	return &sender{worker: w, service: service}, nil
}
