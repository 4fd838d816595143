package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/apns"
	"github.com/belfryhq/belfry/push/fcm"
	"github.com/belfryhq/belfry/push/webpush"
	"github.com/belfryhq/belfry/store"
)

// checkApps looks at every app, and gives the push hosts that they need.
func (d *doctor) checkApps(ctx context.Context, db store.Store) (hosts []pushHost) {
	const what = "apps"
	apps, err := db.ListApps(ctx)
	if err != nil {
		d.report.wrong(what, sentence(err), "Look at the database's own log.")
		return nil
	}
	if len(apps) == 0 {
		d.report.notable(what, "There is none yet.", "belfry serve makes the app default.")
	}
	for _, app := range apps {
		needed, err := d.checkApp(ctx, db, app)
		if err != nil {
			d.report.wrong("app "+app.Name, sentence(err), "Look at the database's own log.")
		}
		hosts = append(hosts, needed...)
	}
	return hosts
}

func (d *doctor) checkApp(ctx context.Context, db store.Store, app store.App) (hosts []pushHost, err error) {
	what := "app " + app.Name
	keys, err := db.ListVAPIDKeys(ctx, app.Name)
	if err != nil {
		return nil, err
	}
	d.checkVAPID(what, app, keys)
	credentials, err := db.ListCredentials(ctx, app.Name)
	if err != nil {
		return nil, err
	}
	for _, credential := range credentials {
		hosts = append(hosts, d.checkCredential(what, credential)...)
	}
	webhooks, err := db.ListWebhooks(ctx, app.Name)
	if err != nil {
		return nil, err
	}
	for _, webhook := range webhooks {
		if webhook.Ended != "" {
			d.report.notable(what, fmt.Sprintf("The webhook %s has ended: %s.", webhook.Name, strings.TrimSuffix(webhook.Ended, ".")), "Put it again to have it go on, or delete it.")
		}
	}
	return hosts, nil
}

// checkVAPID looks at what the app proves itself with to browsers' push services.
func (d *doctor) checkVAPID(what string, app store.App, keys []store.VAPIDKey) {
	subject := app.VAPIDSubject
	if app.Name == push.DefaultApp {
		subject = cmp.Or(d.flags.VAPIDSubject, subject) // which is what serve takes
	}
	wrong := webpush.ValidateSubject(subject)
	for _, key := range keys {
		if public, err := webpush.PublicKey(key.Private); err != nil || string(public) != string(key.Public) {
			wrong = errors.Join(wrong, errors.New("a VAPID key's private half does not belong to its public one"))
		}
	}
	switch {
	case len(keys) == 0:
		d.report.wrong(what, "It has no VAPID key, so browsers cannot be reached.", noVAPIDRemedy(app.Name))
	case wrong != nil:
		d.report.wrong(what, "VAPID: "+oneLine(wrong)+".", "Correct the subject with belfry app set, or for the app default with BELFRY_VAPID_SUBJECT.")
	case subject == defaultSubject:
		d.report.notable(what, "Push services are told Belfry's address instead of yours as the one to write to.", "Set BELFRY_VAPID_SUBJECT to mailto:you@your.domain, or an app's own with belfry app set.")
	default:
		d.report.fine(what, fmt.Sprintf("It has a VAPID key, and its subject is %s.", subject))
	}
}

// noVAPIDRemedy is what to do about an app that was not made to the end.
func noVAPIDRemedy(app string) string {
	if app == push.DefaultApp {
		return "belfry serve makes one when it starts."
	}
	return "It was not made to the end: make it again with belfry app create " + app + "."
}

// checkCredential looks at what the app proves itself with to APNs or FCM, and
// gives the hosts where it does.
func (d *doctor) checkCredential(what string, row store.Credential) []pushHost {
	name := fmt.Sprintf("The credential %s for %s", row.Name, row.Kind)
	var hosts []pushHost
	var err error
	switch row.Kind {
	case push.APNs:
		hosts, err = d.checkAPNs(what, name, row)
	case push.FCM:
		hosts, err = d.checkFCM(what, name, row)
	default:
		err = errors.New("there is no such kind")
	}
	if err != nil {
		d.report.wrong(what, name+" cannot be used: "+oneLine(err)+".", "Give it again with belfry app: what it is for is refused until then.")
	}
	return hosts
}

func (d *doctor) checkAPNs(what, name string, row store.Credential) ([]pushHost, error) {
	var settings apns.Settings
	if err := json.Unmarshal(row.Settings, &settings); err != nil {
		return nil, err
	}
	if _, err := apns.Load(settings, row.Secret); err != nil {
		return nil, err
	}
	if settings.Expires.IsZero() {
		d.report.fine(what, name+" is a key, which does not end.")
	} else {
		d.checkEnd(what, name, settings.Expires, apnsLeft, "Make a new certificate at developer.apple.com, or better a key, and give it with belfry app.")
	}
	if settings.Host == "" {
		return []pushHost{{url: "https://" + push.Production.Host()}, {url: "https://" + push.Sandbox.Host()}}, nil
	}
	return []pushHost{{url: settings.Host, trusted: true}, {url: cmp.Or(settings.SandboxHost, settings.Host), trusted: true}}, nil
}

func (d *doctor) checkFCM(what, name string, row store.Credential) ([]pushHost, error) {
	var settings fcm.Settings
	if err := json.Unmarshal(row.Settings, &settings); err != nil {
		return nil, err
	}
	if _, err := fcm.Load(settings, row.Secret); err != nil {
		return nil, err
	}
	d.report.fine(what, name+" is the service account of the project "+settings.Project+".")
	if settings.Host != "" {
		return []pushHost{{url: settings.Host, trusted: true}}, nil
	}
	return []pushHost{{url: "https://" + push.FCMHost}, {url: "https://oauth2.googleapis.com"}}, nil
}
