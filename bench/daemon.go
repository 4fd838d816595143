package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"

	"github.com/belfryhq/belfry/push"
)

const daemonKey = "an-admin-key-for-the-benchmarks"

// daemon is the real program, as it is built for use.
type daemon struct {
	name    string
	url     string
	command *exec.Cmd
	client  *http.Client
	service *pushService
}

// build makes the program, unless one is given.
func (b *bench) build(ctx context.Context) (string, error) {
	if b.program != "" {
		return b.program, nil
	}
	program := filepath.Join(b.dir, "belfry")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "./cmd/belfry")
	build.Dir = b.root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build belfry: %w\n%s", err, out)
	}
	return program, nil
}

// startDaemon starts it, with a directory and a push service of its own.
func (b *bench) startDaemon(ctx context.Context, name, dir string, service *pushService, flags ...string) (*daemon, error) {
	program, err := b.build(ctx)
	if err != nil {
		return nil, err
	}
	args := append([]string{
		"serve", "--listen", "127.0.0.1:0", "--data-dir", dir, "--admin-key", daemonKey, "--vapid-subject", vapidSubject, "--log-level", "warn",
		"--allow-push-hosts", strings.TrimPrefix(service.url, "https://"), "--push-ca-file", service.caFile,
	}, flags...)
	d := &daemon{name: name, command: exec.CommandContext(ctx, program, args...), service: service}
	d.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: manyCallers}}
	d.command.Stderr = os.Stderr
	output, err := d.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := d.command.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(output)
	for d.url == "" && lines.Scan() {
		_, d.url, _ = strings.Cut(lines.Text(), "is listening on ")
	}
	go io.Copy(io.Discard, output) //nolint:errcheck // it ends with the program
	return d, d.await(ctx, "it is ready", func() (bool, error) {
		response, err := d.client.Get(d.url + "/readyz")
		if err != nil {
			return false, nil
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK, nil
	})
}

const lookEvery = 20 * time.Millisecond

// await looks until something is so.
func (d *daemon) await(ctx context.Context, what string, so func() (bool, error)) error {
	for until := time.Now().Add(time.Minute); ; time.Sleep(lookEvery) {
		switch ok, err := so(); {
		case err != nil:
			return fmt.Errorf("wait until %s: %w", what, err)
		case ok:
			return nil
		case ctx.Err() != nil || time.Now().After(until):
			return fmt.Errorf("wait until %s: it took too long", what)
		}
	}
}

// call makes a request of the API, whose answer is to be of the class 2xx. A
// body, if there is one, is JSON.
func (d *daemon) call(ctx context.Context, method, path string, body any) ([]byte, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, d.url+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+daemonKey)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := d.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, response.Status, answer)
	}
	return answer, err
}

// vapidKey is the public key that its browsers subscribe with.
func (d *daemon) vapidKey(ctx context.Context) ([]byte, error) {
	answer, err := d.call(ctx, http.MethodGet, "/v1/config", nil)
	if err != nil {
		return nil, err
	}
	var config struct {
		Key string `json:"vapid_public_key"`
	}
	if err := json.Unmarshal(answer, &config); err != nil {
		return nil, err
	}
	return push.DecodeBase64(config.Key)
}

// register registers browsers at its push service, for a user each. A push
// service that keeps what it gets wants to have made them.
func (d *daemon) register(ctx context.Context, n int, made bool) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for _, sub := range browsers(d.service.url, n, nil) {
		group.Go(func() error {
			var registration any = map[string]any{
				"endpoint": string(sub.Endpoint),
				"keys":     map[string]string{"p256dh": push.EncodeBase64(sub.P256dh), "auth": push.EncodeBase64(sub.Auth)},
			}
			if made {
				var err error
				if registration, err = d.service.subscribe(ctx); err != nil {
					return err
				}
			}
			_, err := d.call(ctx, http.MethodPut, "/v1/users/"+sub.User.ID+"/subscriptions", registration)
			return err
		})
	}
	return group.Wait()
}

// notification is a request for users, as a backend makes it.
type notification struct {
	Users   []string `json:"users,omitempty"`
	User    string   `json:"user,omitempty"`
	Title   string   `json:"title"`
	Body    string   `json:"body"`
	URL     string   `json:"url"`
	Urgency string   `json:"urgency"`
}

func notificationFor(user string, users ...string) notification {
	return notification{
		User: user, Users: users, Title: "Your table is ready", Body: "Alice, the table for four is laid. See you at eight.",
		URL: "https://example.com/bookings/123456", Urgency: "high",
	}
}

func (d *daemon) notify(ctx context.Context, n notification) error {
	_, err := d.call(ctx, http.MethodPost, "/v1/notifications", n)
	return err
}

// metric is a metric of its own, with all labels added up; or of one label's value.
func (d *daemon) metric(ctx context.Context, name string, label ...string) (total float64, err error) {
	all, err := d.metrics(ctx, name)
	for _, m := range all {
		isIt := func(l *dto.LabelPair) bool { return l.GetName() == label[0] && l.GetValue() == label[1] }
		if len(label) == 0 || slices.ContainsFunc(m.GetLabel(), isIt) {
			total += m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return total, err
}

// observed is what a histogram saw: how often, and how much together.
func (d *daemon) observed(ctx context.Context, name string) (count, sum float64, err error) {
	all, err := d.metrics(ctx, name)
	for _, m := range all {
		count += float64(m.GetHistogram().GetSampleCount())
		sum += m.GetHistogram().GetSampleSum()
	}
	return count, sum, err
}

// metrics are those of a name, one for each combination of labels.
func (d *daemon) metrics(ctx context.Context, name string) ([]*dto.Metric, error) {
	text, err := d.call(ctx, http.MethodGet, "/metrics", nil)
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	family, ok := families[name]
	if !ok {
		return nil, fmt.Errorf("there is no metric %s", name)
	}
	return family.GetMetric(), nil
}

// settled waits until the push service has taken so many, and all outcomes are stored.
func (d *daemon) settled(ctx context.Context, taken int) error {
	var arrived int
	var left float64
	err := d.await(ctx, "all is delivered", func() (bool, error) {
		counts, err := d.service.counts(ctx)
		if arrived = counts.Taken; err != nil || arrived < taken {
			return false, err
		}
		left, err = d.metric(ctx, "belfry_backlog")
		return left == 0, err
	})
	if err != nil {
		text, _ := d.call(ctx, http.MethodGet, "/metrics", nil)
		return fmt.Errorf("%w: %d of %d messages have arrived, and %.0f notifications have work left; %s",
			err, arrived, taken, left, bytes.Join(deliveryLine.FindAll(text, -1), []byte(", ")))
	}
	return nil
}

// deliveryLine is what became of deliveries, and of attempts.
var deliveryLine = regexp.MustCompile(`(?m)^belfry_(?:accepted|deliveries|attempts)_total.*$`)

func (d *daemon) called() string { return d.name }

func (d *daemon) pid() int { return d.command.Process.Pid }

// end ends the program, and leaves its push service.
func (d *daemon) end() error {
	d.client.CloseIdleConnections()
	if err := d.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return d.command.Wait()
}

func (d *daemon) stop() error { return errors.Join(d.end(), d.service.stop()) }
