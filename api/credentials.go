package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/apns"
	"github.com/belfryhq/belfry/push/fcm"
	"github.com/belfryhq/belfry/store"
)

// PutCredential gives an app what it proves itself with to APNs or FCM.
func (s *Server) PutCredential(ctx context.Context, request PutCredentialRequestObject) (PutCredentialResponseObject, error) {
	app, err := s.appNamed(ctx, request.App)
	if err != nil {
		return nil, err
	}
	if err := checkName(request.Name); err != nil {
		return nil, err
	}
	given, err := credentialOf(request.Body)
	if err != nil {
		return nil, err
	}
	if given.abroad != "" && !callerOf(ctx).operator() {
		return nil, operatorOnly(given.abroad, fmt.Sprintf("With %s, Belfry would speak to a server of the caller's choosing. Only the operator may do that: use an admin key of the app default.", given.abroad))
	}
	given.App, given.Name, given.CreatedAt = app.Name, request.Name, time.Now().Truncate(time.Millisecond)
	var created bool
	err = s.change(ctx, app.Name, func(ctx context.Context) error {
		current, err := s.apps.get(app.Name)
		if err != nil {
			return err
		}
		if err := given.checkRoom(current); err != nil {
			return err
		}
		if err := given.checkApart(current); err != nil {
			return err
		}
		created, err = s.config.Store.PutCredential(ctx, given.row())
		return err
	})
	if err != nil {
		return nil, err
	}
	if created {
		return PutCredential201JSONResponse(given.shown()), nil
	}
	return PutCredential200JSONResponse(given.shown()), nil
}

// DeleteCredential removes a credential.
func (s *Server) DeleteCredential(ctx context.Context, request DeleteCredentialRequestObject) (DeleteCredentialResponseObject, error) {
	app, err := s.appNamed(ctx, request.App)
	if err != nil {
		return nil, err
	}
	err = s.change(ctx, app.Name, func(ctx context.Context) error {
		current, err := s.apps.get(app.Name)
		if err != nil {
			return err
		}
		if _, ok := current.credential(request.Name); !ok {
			return problem{
				status: http.StatusNotFound, code: "not_found", field: "name",
				detail: "The app has no credential of this name. GET /v1/apps/{app} lists those that it has.",
			}
		}
		return s.config.Store.DeleteCredential(ctx, app.Name, request.Name)
	})
	if err != nil {
		return nil, err
	}
	return DeleteCredential204Response{}, nil
}

// givenCredential is a credential as it was given, checked.
type givenCredential struct {
	credential
	secret []byte
	abroad string // the field by which it leads elsewhere than to Apple or Google; empty if it does not
}

// row is what to store.
func (c givenCredential) row() store.Credential {
	row := c.Credential
	row.Secret = c.secret
	return row
}

func credentialOf(body *NewCredential) (givenCredential, error) {
	kind, err := push.ParseKind(body.Kind)
	if err != nil || kind == push.WebPush {
		return givenCredential{}, invalid("kind", "kind is missing or not a kind of credential. Use apns or fcm.")
	}
	if err := body.checkMembers(); err != nil {
		return givenCredential{}, err
	}
	if kind == push.FCM {
		return fcmCredentialOf(body)
	}
	return apnsCredentialOf(body)
}

// checkMembers refuses members that are not for what is given.
func (c *NewCredential) checkMembers() error {
	const key, certificate, account = "an APNs key", "an APNs certificate", "an FCM service account"
	what := account
	if c.Kind == push.APNs.String() {
		what = key
		if c.Certificate != "" {
			what = certificate
		}
	}
	return members{
		{"key", c.Key != "", []string{key}},
		{"key_id", c.KeyId != "", []string{key}},
		{"team_id", c.TeamId != "", []string{key, certificate}},
		{"certificate", c.Certificate != "", []string{certificate}},
		{"password", c.Password != "", []string{certificate}},
		{"topics", len(c.Topics) > 0, []string{key, certificate}},
		{"sandbox_host", c.SandboxHost != "", []string{key, certificate}},
		{"service_account", len(c.ServiceAccount) > 0, []string{account}},
	}.check(what)
}

// members are what a request may hold, and for what each is.
type members []struct {
	name  string
	given bool
	of    []string
}

// check refuses those that were given and are not for this.
func (m members) check(what string) error {
	for _, member := range m {
		if member.given && !slices.Contains(member.of, what) {
			return invalid(member.name, "%s is not for %s, but for %s. Leave it out.", member.name, what, strings.Join(member.of, " and "))
		}
	}
	return nil
}

func apnsCredentialOf(body *NewCredential) (givenCredential, error) {
	if err := checkTopics(body.Topics); err != nil {
		return givenCredential{}, err
	}
	settings := apns.Settings{
		TeamID: body.TeamId, KeyID: body.KeyId, Topics: body.Topics, Host: body.Host, SandboxHost: body.SandboxHost,
	}
	var parsed *apns.Credential
	var err error
	switch {
	case body.Certificate != "":
		file, ok := certificateFile(body.Certificate)
		if !ok {
			return givenCredential{}, invalid("certificate", "certificate is neither base64 nor PEM. Give a .p12 file in base64, or the text of a PEM file.")
		}
		parsed, err = apns.ParseCertificate(file, body.Password, settings)
	case body.Key != "":
		parsed, err = apns.ParseToken([]byte(body.Key), settings)
	default:
		return givenCredential{}, invalid("key", "Neither key nor certificate is given. Give one of them.")
	}
	if err != nil {
		return givenCredential{}, err
	}
	if err := checkTopics(parsed.Settings().Topics); err != nil {
		return givenCredential{}, err
	}
	given := givenCredential{credential: credential{apple: parsed.Settings(), apns: parsed}, secret: parsed.Secret()}
	given.Kind = push.APNs
	if given.Settings, err = json.Marshal(given.apple); err != nil {
		return givenCredential{}, fmt.Errorf("encode the settings of a credential: %w", err)
	}
	switch {
	case body.Host != "":
		given.abroad = "host"
	case body.SandboxHost != "":
		given.abroad = "sandbox_host"
	}
	return given, nil
}

// certificateFile is the file that was given as text: PEM as it is, all else
// in base64, which may be broken into lines.
func certificateFile(text string) (file []byte, ok bool) {
	if strings.Contains(text, "-----BEGIN ") {
		return []byte(text), true
	}
	file, err := push.DecodeBase64(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, text))
	return file, err == nil
}

func fcmCredentialOf(body *NewCredential) (givenCredential, error) {
	account, err := objectOf("service_account", body.ServiceAccount)
	if err != nil {
		return givenCredential{}, err
	}
	if account == nil {
		return givenCredential{}, invalid("service_account", "service_account is missing. Give the JSON file that the Firebase console makes for a service account.")
	}
	parsed, err := fcm.Parse(account, body.Host)
	if err != nil {
		return givenCredential{}, err
	}
	given := givenCredential{credential: credential{google: parsed.Settings(), fcm: parsed}, secret: parsed.Secret()}
	given.Kind = push.FCM
	if given.Settings, err = json.Marshal(given.google); err != nil {
		return givenCredential{}, fmt.Errorf("encode the settings of a credential: %w", err)
	}
	switch {
	case body.Host != "":
		given.abroad = "host"
	case parsed.Foreign():
		given.abroad = "service_account"
	}
	return given, nil
}

const (
	topicsMax      = 100 // of one credential
	credentialsMax = 20  // of one app
)

func checkTopics(topics []string) error {
	if len(topics) <= topicsMax {
		return nil
	}
	return invalid("topics", "These are %d topics, and a credential serves at most %d. Give the others to a second credential.", len(topics), topicsMax)
}

// checkRoom refuses a credential that is one too many for its app.
func (c givenCredential) checkRoom(app tenant) error {
	if _, replaces := app.credential(c.Name); replaces || len(app.credentials) < credentialsMax {
		return nil
	}
	return problem{
		status: http.StatusConflict, code: "too_many_credentials", field: "name",
		detail: fmt.Sprintf("The app has %d credentials, and may have no more. Replace one of them, or remove it first.", credentialsMax),
	}
}

// checkApart refuses a credential that serves what another one of the app
// does: which of the two to use could not be told. One that cannot be used
// serves nothing.
func (c givenCredential) checkApart(app tenant) error {
	own := newTopicSet(c.apple.Topics)
	for _, other := range app.credentials {
		switch {
		case other.Name == c.Name || other.Kind != c.Kind || !other.usable():
		case c.Kind == push.FCM:
			if other.google.Project == c.google.Project {
				return conflict("service_account", fmt.Sprintf("The credential %s is for the Firebase project %s already. Replace that one, or remove it first.", other.Name, c.google.Project))
			}
		default:
			if topic := own.sharedWith(newTopicSet(other.apple.Topics)); topic != "" {
				return conflict("topics", fmt.Sprintf("The credential %s serves the topic %s already. Replace that one, or leave the topic out here.", other.Name, topic))
			}
		}
	}
	return nil
}

// topicSet is what a credential for APNs names.
type topicSet map[string]bool

func newTopicSet(topics []string) topicSet {
	set := make(topicSet, len(topics))
	for _, topic := range topics {
		set[topic] = true
	}
	return set
}

// serves tells what apns.Credential.Serves does.
func (s topicSet) serves(topic string) bool { return s[topic] || s[apns.BundleID(topic)] }

// sharedWith is the first topic, in the order of the alphabet, that is named by
// one and served by both; empty if there is none. A bundle ID serves what Apple
// puts behind it, too.
func (s topicSet) sharedWith(other topicSet) (shared string) {
	for _, pair := range [][2]topicSet{{s, other}, {other, s}} {
		for topic := range pair[0] {
			if pair[1].serves(topic) && (shared == "" || topic < shared) {
				shared = topic
			}
		}
	}
	return shared
}

func conflict(field, detail string) problem {
	return problem{status: http.StatusConflict, code: "credential_conflict", field: field, detail: detail}
}
