package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sideshow/apns2"
	"github.com/sideshow/apns2/payload"
	"github.com/sideshow/apns2/token"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/apns"
)

const (
	apnsInFlight = 3000
	apnsStreams  = 1000 // on one connection, which the simulator allows, as APNs does
	apnsTopic    = "com.example.app"
)

type apnsSettings struct {
	sendSettings
	KeyFile, TeamID, KeyID string
}

func runAPNs(ctx context.Context, b *bench) error {
	start := func(name, job string) func() (contender, error) {
		return func() (contender, error) {
			service, err := b.startPushService(ctx, "simulate-apns", simulatorSettings{DelayMillis: int(sendDelay.Milliseconds())})
			if err != nil {
				return nil, err
			}
			w, err := startWorker(ctx, name, job, apnsSettings{
				sendSettings: sendSettings{URL: service.url, CAFile: service.caFile, InFlight: apnsInFlight},
				KeyFile:      filepath.Join(filepath.Dir(service.caFile), apnsKeyFile), TeamID: service.told["team"], KeyID: service.told["key"],
			})
			if err != nil {
				return nil, err
			}
			return &sender{worker: w, service: service}, nil
		}
	}
	return with(func(all ...contender) error { return b.alternate(ctx, all...) }, start("Belfry", "apns-belfry"), start("apns2", "apns-apns2"))
}

// belfryAPNs sends with push/apns.
type belfryAPNs struct {
	provider *apns.Provider
	to       push.Subscription
	inFlight int
}

func openBelfryAPNs(_ context.Context, s apnsSettings) (*belfryAPNs, error) {
	roots, err := rootsIn(s.CAFile)
	if err != nil {
		return nil, err
	}
	p8, err := os.ReadFile(s.KeyFile)
	if err != nil {
		return nil, err
	}
	credential, err := apns.ParseToken(p8, apns.Settings{TeamID: s.TeamID, KeyID: s.KeyID, Topics: []string{apnsTopic}, Host: s.URL})
	if err != nil {
		return nil, err
	}
	provider, err := apns.New(apns.Config{
		Credential: func(context.Context, string, string) (*apns.Credential, error) { return credential, nil }, RootCAs: roots,
	})
	if err != nil {
		return nil, err
	}
	return &belfryAPNs{provider: provider, inFlight: s.InFlight, to: push.Subscription{
		User: userNumber(1), Kind: push.APNs, Endpoint: deviceToken, Digest: push.DigestOf(deviceToken), Topic: apnsTopic, Environment: push.Production,
	}}, nil
}

var deviceToken = push.Endpoint(strings.Repeat("a11ce0", 10) + "beef")

func (s *belfryAPNs) ready() map[string]string { return nil }

func (s *belfryAPNs) round(ctx context.Context, d time.Duration) (sample, error) {
	return closedLoop(ctx, s.inFlight, 1, d, func(ctx context.Context, call int64) error {
		return delivered(s.provider.Send(ctx, messageTo(s.to, call)))
	})
}

func (s *belfryAPNs) close() error {
	s.provider.Close()
	return nil
}

// apns2Client sends with apns2 alone.
type apns2Client struct {
	client   *apns2.Client
	inFlight int
}

func openAPNs2(_ context.Context, s apnsSettings) (*apns2Client, error) {
	roots, err := rootsIn(s.CAFile)
	if err != nil {
		return nil, err
	}
	key, err := token.AuthKeyFromFile(s.KeyFile)
	if err != nil {
		return nil, err
	}
	apns2.DialTLS = func(network, address string, config *tls.Config) (net.Conn, error) {
		config = config.Clone()
		config.RootCAs = roots
		return tls.DialWithDialer(&net.Dialer{Timeout: 20 * time.Second}, network, address, config)
	}
	client := apns2.NewTokenClient(&token.Token{AuthKey: key, TeamID: s.TeamID, KeyID: s.KeyID})
	client.Host = s.URL
	return &apns2Client{client: client, inFlight: s.InFlight}, nil
}

func (c *apns2Client) ready() map[string]string { return nil }

func (c *apns2Client) round(ctx context.Context, d time.Duration) (sample, error) {
	return closedLoop(ctx, c.inFlight, 1, d, func(ctx context.Context, _ int64) error {
		response, err := c.client.PushWithContext(ctx, &apns2.Notification{
			DeviceToken: string(deviceToken), Topic: apnsTopic, PushType: apns2.PushTypeAlert, Expiration: time.Now().Add(time.Hour), Priority: apns2.PriorityHigh,
			Payload: payload.NewPayload().AlertTitle("Your table is ready").AlertBody("Alice, the table for four is laid. See you at eight.").
				MutableContent().Custom("url", "https://example.com/bookings/123456"),
		})
		switch {
		case err != nil:
			return err
		case !response.Sent():
			return fmt.Errorf("APNs answered %d %s", response.StatusCode, response.Reason)
		}
		return nil
	})
}

func (c *apns2Client) close() error {
	c.client.CloseIdleConnections()
	return nil
}
