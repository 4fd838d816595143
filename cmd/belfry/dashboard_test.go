package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/belfryhq/belfry/push/simulate"
)

// series are the metrics that a process shows, by name, with the labels that each
// has and their values.
type series map[string]map[string][]string

// seriesOf is what a process shows that has had something of everything to do.
func seriesOf(t *testing.T) series {
	t.Helper()
	pair := filepath.Join(t.TempDir(), "pair.pem")
	certificate := appleCertificate(t, time.Now().Add(200*24*time.Hour))
	require.NoError(t, os.WriteFile(pair, certificate, 0o600))
	s := startServing(t)
	s.must("PUT", "/v1/apps/default/credentials/ios", map[string]any{"kind": "apns", "certificate": string(certificate)}, nil)
	s.must("PUT", "/v1/apps/default/webhooks/orders", map[string]any{"url": "http://127.0.0.1:1/", "private": true}, nil)
	s.subscribe("ann")
	s.subscribe("bob", simulate.Status(http.StatusGone))
	var accepted struct {
		Notifications []struct{ ID string }
	}
	s.must("POST", "/v1/notifications", map[string]any{"users": []string{"ann", "bob"}, "title": "hello"}, &accepted)
	s.finished(accepted.Notifications[0].ID, accepted.Notifications[1].ID)
	for _, user := range []string{"carol", "dora", "emil"} {
		s.subscribe(user, slices.Repeat([]simulate.Answer{simulate.Status(http.StatusUnauthorized)}, 50)...)
		s.send(user, "refused")
	}
	found := series{}
	s.eventually("a lane is paused, and a webhook is behind", func() bool {
		_, text := s.ask("GET", "/metrics", nil)
		found.read(t, text)
		return len(found["belfry_lane_pauses_total"]["lane"]) > 0 && len(found["belfry_webhook_behind_seconds"]["webhook"]) > 0
	})
	// Whose files are not the listener's in this test.
	metrics := newMetrics()
	metrics.registry.MustRegister(certificateCollector{&serveFlags{TLSCert: pair, TLSKey: pair}})
	families, err := metrics.registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		var text bytes.Buffer
		_, err := expfmt.MetricFamilyToText(&text, family)
		require.NoError(t, err)
		found.read(t, text.Bytes())
	}
	return found
}

// read adds what a page of metrics has.
func (s series) read(t *testing.T, page []byte) {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(page))
	require.NoError(t, err)
	for name, family := range families {
		for _, metric := range family.GetMetric() {
			labels := map[string]string{"job": "belfry", "instance": "belfry:8080"} // Prometheus adds them
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			if metric.GetHistogram() == nil {
				s.add(name, labels)
				continue
			}
			s.add(name+"_count", labels)
			s.add(name+"_sum", labels)
			labels["le"] = "+Inf"
			s.add(name+"_bucket", labels)
		}
	}
}

func (s series) add(name string, labels map[string]string) {
	if s[name] == nil {
		s[name] = map[string][]string{}
	}
	for label, value := range labels {
		if !slices.Contains(s[name][label], value) {
			s[name][label] = append(s[name][label], value)
		}
	}
}

var (
	selector  = regexp.MustCompile(`\b((?:belfry|process|go)_[a-z_]+)\b(?:\{([^}]*)\})?`)
	matcher   = regexp.MustCompile(`(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	grouping  = regexp.MustCompile(`\bby \(([^)]*)\)`)
	variables = regexp.MustCompile(`\$\w+`)
)

// check finds what an expression asks for that there is not.
func (s series) check(t *testing.T, where, expression string) {
	t.Helper()
	found := selector.FindAllStringSubmatch(expression, -1)
	require.NotEmpty(t, found, "%s: %s asks for nothing", where, expression)
	var labels []string
	for _, match := range found {
		name := match[1]
		require.True(t, s[name] != nil, "%s: there is no metric %s", where, name)
		for label := range s[name] {
			labels = append(labels, label)
		}
		for _, m := range matcher.FindAllStringSubmatch(match[2], -1) {
			label, value := m[1], m[3]
			require.Contains(t, s[name], label, "%s: %s has no such label", where, name)
			if variables.MatchString(value) || label == "status" { // what goes wrong here has no 5xx
				continue
			}
			for _, one := range strings.Split(value, "|") {
				require.Contains(t, s[name][label], one, "%s: %s has no such %s", where, name, label)
			}
		}
	}
	for _, group := range grouping.FindAllStringSubmatch(expression, -1) {
		for _, label := range strings.Split(group[1], ",") {
			require.Contains(t, labels, strings.TrimSpace(label), "%s: nothing in %s has such a label", where, expression)
		}
	}
	require.Equal(t, strings.Count(expression, "("), strings.Count(expression, ")"), "%s: %s", where, expression)
}

// rules are those of docs/alerts.yml.
type rules struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert       string
			Expr        string
			For         string
			Labels      map[string]string
			Annotations map[string]string
		}
	}
}

// panel is one of docs/grafana-dashboard.json.
type panel struct {
	ID          int
	Type        string
	Title       string
	Description string
	GridPos     struct{ X, Y, W, H int }
	FieldConfig struct{ Defaults struct{ Unit string } }
	Datasource  struct{ UID string }
	Targets     []struct{ Expr string }
}

type dashboard struct {
	Title         string
	SchemaVersion int
	Panels        []panel
	Templating    struct {
		List []struct{ Name, Type, Definition string }
	}
	Annotations struct {
		List []struct {
			Name   string
			Target struct{ Expr string }
		}
	}
}

func strictly(t *testing.T, path string, into *dashboard) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, into))
}

func TestDashboardAndAlerts_AskForWhatThereIs(t *testing.T) {
	var alerts rules
	text, err := os.ReadFile("../../docs/alerts.yml")
	require.NoError(t, err)
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	require.NoError(t, decoder.Decode(&alerts))
	var shown dashboard
	strictly(t, "../../docs/grafana-dashboard.json", &shown)

	found := seriesOf(t)
	for _, group := range alerts.Groups {
		for _, rule := range group.Rules {
			found.check(t, rule.Alert, rule.Expr)
		}
	}
	for _, panel := range shown.Panels {
		for _, target := range panel.Targets {
			found.check(t, panel.Title, target.Expr)
		}
	}
	for _, annotation := range shown.Annotations.List {
		found.check(t, annotation.Name, annotation.Target.Expr)
	}
	for _, variable := range shown.Templating.List {
		if variable.Type == "query" {
			found.check(t, variable.Name, variable.Definition)
		}
	}
	all := string(text)
	for _, panel := range shown.Panels {
		for _, target := range panel.Targets {
			all += target.Expr + "\n"
		}
	}
	for name := range found {
		base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_count"), "_sum")
		if strings.HasPrefix(name, "belfry_") {
			require.True(t, strings.Contains(all, base), "nobody would see %s", name)
		}
	}
}

func TestAlerts_SayWhatIsWrongAndWhatToDo(t *testing.T) {
	var alerts rules
	text, err := os.ReadFile("../../docs/alerts.yml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &alerts))
	guide, err := os.ReadFile("../../docs/operating.md")
	require.NoError(t, err)
	anchors := anchorsOf(string(guide))
	names := map[string]bool{}
	for _, rule := range alerts.Groups[0].Rules {
		require.False(t, names[rule.Alert], "%s is there twice", rule.Alert)
		names[rule.Alert] = true
		require.Regexp(t, `^Belfry[A-Z][A-Za-z]+$`, rule.Alert)
		require.Contains(t, []string{"warning", "critical"}, rule.Labels["severity"], rule.Alert)
		require.True(t, strings.HasSuffix(rule.Annotations["summary"], "."), "%s: a sentence", rule.Alert)
		require.NotEmpty(t, rule.Annotations["description"], rule.Alert)
		file, anchor, _ := strings.Cut(rule.Annotations["runbook"], "#")
		require.Equal(t, "docs/operating.md", file, rule.Alert)
		require.Contains(t, anchors, anchor, "%s: the page has no such heading", rule.Alert)
		if rule.For != "" {
			_, err := model.ParseDuration(rule.For)
			require.NoError(t, err, rule.Alert)
		}
	}
}

// A notification has as many deliveries as its user has subscriptions, so one says
// nothing of the other.
func TestAlerts_CompareNotificationsWithNotifications(t *testing.T) {
	var alerts rules
	text, err := os.ReadFile("../../docs/alerts.yml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &alerts))
	for _, rule := range alerts.Groups[0].Rules {
		if strings.Contains(rule.Expr, "belfry_accepted_total") {
			require.NotContains(t, rule.Expr, "belfry_deliveries_total", rule.Alert)
		}
	}
}

var notInAnchor = regexp.MustCompile(`[^a-z0-9 _-]`)

// anchorsOf are those that a Markdown page's headings get.
func anchorsOf(page string) (anchors []string) {
	for line := range strings.Lines(page) {
		if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			title = notInAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
			anchors = append(anchors, strings.ReplaceAll(title, " ", "-"))
		}
	}
	return anchors
}

func TestDashboard_ExplainsEveryPanelAndHasRoomForEach(t *testing.T) {
	var shown dashboard
	strictly(t, "../../docs/grafana-dashboard.json", &shown)
	require.GreaterOrEqual(t, shown.SchemaVersion, 39)
	ids, rows := map[int]bool{}, []string{}
	taken := map[[2]int]string{}
	for _, p := range shown.Panels {
		require.False(t, ids[p.ID], "%s: its id is another's", p.Title)
		ids[p.ID] = true
		require.NotEmpty(t, p.Title)
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				require.Empty(t, taken[[2]int{x, y}], "%s lies on another", p.Title)
				taken[[2]int{x, y}] = p.Title
			}
		}
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		require.True(t, strings.HasSuffix(p.Description, "."), "%s: what it shows, in a sentence", p.Title)
		require.NotEmpty(t, p.Targets, p.Title)
		require.Equal(t, "${datasource}", p.Datasource.UID, p.Title)
		if p.Type == "stat" || p.Type == "timeseries" {
			require.NotEmpty(t, p.FieldConfig.Defaults.Unit, p.Title)
		}
	}
	require.Equal(t, []string{"Is it well?", "Traffic", "Latency", "Push hosts", "Lanes", "Journal and store", "Actors", "Webhooks and API", "Process"}, rows)
	require.Equal(t, "datasource", shown.Templating.List[0].Type, fmt.Sprint(shown.Templating.List))
}
