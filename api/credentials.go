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
	shown, err := showCredential(given.Credential)
	if err != nil {
		return nil, err
	}
	var created bool
	err = s.change(ctx, app.Name, func(ctx context.Context) error {
		others, err := s.config.Store.ListCredentials(ctx, app.Name)
		if err != nil {
			return err
		}
		if err := given.checkApart(others); err != nil {
			return err
		}
		created, err = s.config.Store.PutCredential(ctx, given.Credential)
		return err
	})
	if err != nil {
		return nil, err
	}
	if created {
		return PutCredential201JSONResponse(shown.shown()), nil
	}
	return PutCredential200JSONResponse(shown.shown()), nil
}

// DeleteCredential removes a credential.
func (s *Server) DeleteCredential(ctx context.Context, request DeleteCredentialRequestObject) (DeleteCredentialResponseObject, error) {
	app, err := s.appNamed(ctx, request.App)
	if err != nil {
		return nil, err
	}
	err = s.change(ctx, app.Name, func(ctx context.Context) error {
		current, err := s.apps.get(ctx, app.Name)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(current.credentials, func(c shownCredential) bool { return c.Name == request.Name }) {
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
	store.Credential
	apns   *apns.Credential // with the kind APNs
	fcm    *fcm.Credential  // with the kind FCM
	abroad string           // the field by which it leads elsewhere than to Apple or Google; empty if it does not
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
	encoded, err := json.Marshal(parsed.Settings())
	if err != nil {
		return givenCredential{}, fmt.Errorf("encode the settings of a credential: %w", err)
	}
	given := givenCredential{Credential: store.Credential{Kind: push.APNs, Settings: encoded, Secret: parsed.Secret()}, apns: parsed}
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
	encoded, err := json.Marshal(parsed.Settings())
	if err != nil {
		return givenCredential{}, fmt.Errorf("encode the settings of a credential: %w", err)
	}
	given := givenCredential{Credential: store.Credential{Kind: push.FCM, Settings: encoded, Secret: parsed.Secret()}, fcm: parsed}
	switch {
	case body.Host != "":
		given.abroad = "host"
	case parsed.Foreign():
		given.abroad = "service_account"
	}
	return given, nil
}

// checkApart refuses a credential that serves what another one of the app
// does: which of the two to use could not be told. One that cannot be read
// serves nothing.
func (c givenCredential) checkApart(others []store.Credential) error {
	for _, stored := range others {
		other, err := showCredential(stored)
		if err != nil || other.Name == c.Name || other.Kind != c.Kind {
			continue
		}
		if c.Kind == push.FCM {
			if project := c.fcm.Settings().Project; other.fcm.Project == project {
				return conflict("service_account", fmt.Sprintf("The credential %s is for the Firebase project %s already. Replace that one, or remove it first.", other.Name, project))
			}
			continue
		}
		loaded, err := apns.Load(other.apns, stored.Secret)
		if err != nil {
			continue
		}
		if topic := sharedTopic(c.apns, loaded); topic != "" {
			return conflict("topics", fmt.Sprintf("The credential %s serves the topic %s already. Replace that one, or leave the topic out here.", other.Name, topic))
		}
	}
	return nil
}

// sharedTopic is one that both serve, if there is one. A bundle ID serves what
// Apple puts behind it, too.
func sharedTopic(a, b *apns.Credential) string {
	for _, topic := range append(a.Settings().Topics, b.Settings().Topics...) {
		if a.Serves(topic) && b.Serves(topic) {
			return topic
		}
	}
	return ""
}

func conflict(field, detail string) problem {
	return problem{status: http.StatusConflict, code: "credential_conflict", field: field, detail: detail}
}

// shown is the credential as an answer shows it.
func (c shownCredential) shown() Credential {
	answer := Credential{Name: c.Name, Kind: c.Kind.String(), CreatedAt: c.CreatedAt.UTC()}
	if c.Kind == push.FCM {
		answer.Settings = CredentialSettings{
			Project: c.fcm.Project, ClientEmail: c.fcm.ClientEmail, KeyId: c.fcm.KeyID, Host: c.fcm.Host,
		}
		return answer
	}
	answer.Settings = CredentialSettings{
		TeamId: c.apns.TeamID, KeyId: c.apns.KeyID, Topics: c.apns.Topics,
		Host: c.apns.Host, SandboxHost: c.apns.SandboxHost, ExpiresAt: utc(c.apns.Expires),
	}
	return answer
}
