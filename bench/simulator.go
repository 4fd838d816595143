package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"crypto/tls"
	"crypto/x509"

	"github.com/belfryhq/belfry/push/simulate"
)

// simulatorSettings say how a simulator is to be.
type simulatorSettings struct {
	Dir         string // of the authority, and of APNs' key
	DelayMillis int    // before each answer
	Log         bool   // keep what it gets, rather than count
}

// simulator is a push service's own side, as a job.
type simulator struct {
	service interface {
		URL() string
		Fault(simulate.Fault) error
		Stop()
	}
	told map[string]string
}

func (s simulatorSettings) config() (simulate.Config, error) {
	authority, err := simulate.OpenAuthority(s.Dir)
	return simulate.Config{Authority: authority, Bulk: !s.Log}, err
}

func (s *simulator) begin(settings simulatorSettings) error {
	s.told = map[string]string{"url": s.service.URL()}
	if settings.DelayMillis == 0 {
		return nil
	}
	return s.service.Fault(simulate.Fault{DelayMillis: settings.DelayMillis})
}

func openWebPushSimulator(_ context.Context, settings simulatorSettings) (*simulator, error) {
	config, err := settings.config()
	if err != nil {
		return nil, err
	}
	config.StreamLimit = 250 // as many servers have it, Go's own among them
	service, err := simulate.OpenWebPushWith(simulate.WebPushConfig{Config: config})
	if err != nil {
		return nil, err
	}
	s := &simulator{service: service}
	return s, s.begin(settings)
}

// The signing key is in the directory, for the senders.
const apnsKeyFile = "AuthKey.p8"

func openAPNsSimulator(_ context.Context, settings simulatorSettings) (*simulator, error) {
	config, err := settings.config()
	if err != nil {
		return nil, err
	}
	p8, key := simulate.NewAPNsKey()
	if err := os.WriteFile(filepath.Join(settings.Dir, apnsKeyFile), p8, 0o600); err != nil {
		return nil, err
	}
	service, err := simulate.OpenAPNs(simulate.APNsConfig{Config: config, Keys: []simulate.APNsKey{key}})
	if err != nil {
		return nil, err
	}
	s := &simulator{service: service}
	if err := s.begin(settings); err != nil {
		return nil, err
	}
	s.told["team"], s.told["key"] = key.TeamID, key.KeyID
	return s, nil
}

func (s *simulator) ready() map[string]string { return s.told }

func (s *simulator) round(context.Context, time.Duration) (sample, error) {
	return sample{}, errors.New("a simulator makes no rounds")
}

func (s *simulator) close() error {
	s.service.Stop()
	return nil
}

// pushService is a simulator as the parent sees it: a process of its own.
type pushService struct {
	*worker
	url    string
	caFile string
	roots  *x509.CertPool
	client *http.Client
}

func (b *bench) startPushService(ctx context.Context, job string, settings simulatorSettings) (*pushService, error) {
	var err error
	if settings.Dir, err = b.folder("simulator"); err != nil {
		return nil, err
	}
	w, err := startWorker(ctx, "simulator", job, settings)
	if err != nil {
		return nil, err
	}
	s := &pushService{worker: w, url: w.told["url"], caFile: filepath.Join(settings.Dir, "ca.pem")}
	if s.roots, err = rootsIn(s.caFile); err != nil {
		return nil, errors.Join(err, w.stop())
	}
	s.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.roots}}}
	return s, nil
}

func rootsIn(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate", file)
	}
	return roots, nil
}

// counts is how much it got. The connection that this is asked on is not counted.
func (s *pushService) counts(ctx context.Context) (simulate.Counts, error) {
	var counts simulate.Counts
	err := s.get(ctx, "/simulator/counts", &counts)
	counts.Connections--
	return counts, err
}

func (s *pushService) get(ctx context.Context, path string, into any) error {
	return s.ask(ctx, http.MethodGet, path, into)
}

// subscribe makes a browser there, and gives what it would register.
func (s *pushService) subscribe(ctx context.Context) (registration json.RawMessage, err error) {
	err = s.ask(ctx, http.MethodPost, "/simulator/subscriptions", &registration)
	return registration, err
}

func (s *pushService) ask(ctx context.Context, method, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, s.url+path, nil)
	if err != nil {
		return err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s", method, path, response.Status)
	}
	return json.NewDecoder(response.Body).Decode(into)
}

// sender is a contender that sends to a push service of its own, so that what
// arrives there is all of its making.
type sender struct {
	*worker
	service *pushService
}

// round adds the connections that it has opened so far, in all rounds.
func (s *sender) round(ctx context.Context, d time.Duration) (figures, error) {
	found, err := s.worker.round(ctx, d)
	if err != nil {
		return nil, err
	}
	counts, err := s.service.counts(ctx)
	found[connections] = float64(counts.Connections)
	return found, err
}

func (s *sender) stop() error { return errors.Join(s.worker.stop(), s.service.stop()) }

const connections = "connections"
