package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/belfryhq/belfry/api/client"
)

type appCommand struct {
	List             appListCommand          `cmd:"" help:"List the apps."`
	Show             appShowCommand          `cmd:"" help:"Show an app's settings, VAPID keys and credentials."`
	Create           appCreateCommand        `cmd:"" help:"Make an app and print its first admin key, once."`
	Set              appSetCommand           `cmd:"" help:"Change an app's settings, at once."`
	RotateVAPID      appRotateCommand        `cmd:"" name:"rotate-vapid" help:"Make a new current VAPID key, in the place of the one before, and print its public half."`
	RevokeTokens     appRevokeCommand        `cmd:"" help:"End every user token, renewal token and receipt token of an app, at once."`
	APNs             appAPNsCommand          `cmd:"" name:"apns" help:"Give an app what it proves itself with to APNs, for Apple's devices."`
	FCM              appFCMCommand           `cmd:"" name:"fcm" help:"Give an app what it proves itself with to FCM, for Android."`
	RemoveCredential appCredentialCommand    `cmd:"" help:"Remove one of an app's credentials."`
	Webhook          appWebhookCommand       `cmd:"" help:"Have an app's events sent to a URL, and print the secret that they are signed with, once."`
	WebhookTest      appWebhookTestCommand   `cmd:"" help:"Send a webhook a message without events, and see what it answers."`
	RemoveWebhook    appWebhookRemoveCommand `cmd:"" help:"Remove one of an app's webhooks."`
}

type appListCommand struct {
	remoteFlags `embed:""`
}

// Run prints the apps.
func (c *appListCommand) Run(ctx context.Context, to streams) error {
	service, err := c.connect()
	if err != nil {
		return err
	}
	response, err := service.ListAppsWithResponse(ctx)
	if err != nil {
		return err
	}
	list, err := answered(response.JSON200, response.ApplicationproblemJSONDefault, response.HTTPResponse)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(to.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tSINCE\tCREDENTIALS\tORIGINS")
	for _, app := range list.Apps {
		var credentials []string
		for _, c := range app.Credentials {
			credentials = append(credentials, fmt.Sprintf("%s (%s)", c.Name, c.Kind))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", printable(app.Name), app.CreatedAt.Local().Format(time.DateTime), printable(orNone(credentials)), printable(orNone(app.Origins)))
	}
	return table.Flush()
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

type appShowCommand struct {
	remoteFlags `embed:""`
	Name        string `arg:"" help:"The app."`
}

// Run prints one app.
func (c *appShowCommand) Run(ctx context.Context, to streams) error {
	service, err := c.connect()
	if err != nil {
		return err
	}
	response, err := service.GetAppWithResponse(ctx, c.Name)
	if err != nil {
		return err
	}
	app, err := answered(response.JSON200, response.ApplicationproblemJSONDefault, response.HTTPResponse)
	if err != nil {
		return err
	}
	return showApp(to.out, app)
}

func showApp(to io.Writer, app *client.App) error {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	rows := func(name string, values []string) {
		if len(values) == 0 {
			values = []string{"none"}
		}
		for _, value := range values {
			fmt.Fprintf(table, "%s\t%s\n", name, printable(value))
			name = ""
		}
	}
	var keys, credentials, webhooks []string
	for _, key := range app.VapidKeys {
		line := key.PublicKey + " since " + key.CreatedAt.Local().Format(time.DateTime)
		if key.Current {
			line += ", current"
		}
		keys = append(keys, line)
	}
	for _, c := range app.Credentials {
		credentials = append(credentials, describeCredential(&c)+", since "+c.CreatedAt.Local().Format(time.DateTime))
	}
	for _, w := range app.Webhooks {
		webhooks = append(webhooks, describeWebhook(&w)+", made "+w.CreatedAt.Local().Format(time.DateTime))
	}
	rows("App", []string{app.Name})
	rows("Since", []string{app.CreatedAt.Local().Format(time.DateTime)})
	rows("Origins", app.Origins)
	rows("VAPID subject", []string{app.VapidSubject})
	rows("VAPID keys", keys)
	rows("Credentials", credentials)
	rows("Webhooks", webhooks)
	rows("Push hosts", app.PushHosts)
	return table.Flush()
}

type appCreateCommand struct {
	remoteFlags  `embed:""`
	Name         string   `arg:"" help:"What to call it: up to 32 characters of a-z, 0-9 and -."`
	Origin       []string `placeholder:"ORIGIN" help:"Web origin whose pages may register browsers, such as https://app.your.domain. May be given several times."`
	VAPIDSubject string   `name:"vapid-subject" placeholder:"mailto:…" help:"How push services reach you. Default: that of the app default."`
	PushHost     []string `placeholder:"HOST[:PORT]" help:"Push service in your own network that its subscriptions may use. May be given several times."`
}

// Run makes an app. The key alone goes to the output, so that it can be piped.
func (c *appCreateCommand) Run(ctx context.Context, to streams) error {
	service, err := c.connect()
	if err != nil {
		return err
	}
	response, err := service.CreateAppWithResponse(ctx, client.NewApp{
		Name: c.Name, Origins: c.Origin, VapidSubject: c.VAPIDSubject, PushHosts: c.PushHost,
	})
	if err != nil {
		return err
	}
	app, err := answered(response.JSON201, response.ApplicationproblemJSONDefault, response.HTTPResponse)
	if err != nil {
		return err
	}
	fmt.Fprintf(to.err, "App %s was made. Its admin key is shown only now:\n", app.Name)
	fmt.Fprintln(to.out, app.Key)
	return nil
}

type appSetCommand struct {
	remoteFlags  `embed:""`
	Name         string   `arg:"" help:"The app."`
	Origin       []string `xor:"origins" placeholder:"ORIGIN" help:"Web origin whose pages may register browsers. All of those before are replaced. May be given several times. Of the app default, BELFRY_ALLOWED_ORIGINS wins again when the service is started next with it set."`
	NoOrigins    bool     `xor:"origins" help:"Let no other origin's pages register browsers."`
	VAPIDSubject string   `name:"vapid-subject" placeholder:"mailto:…" help:"How push services reach you. Of the app default, BELFRY_VAPID_SUBJECT wins again when the service is started next with it set."`
	PushHost     []string `xor:"hosts" placeholder:"HOST[:PORT]" help:"Push service in your own network that its subscriptions may use. All of those before are replaced. May be given several times."`
	NoPushHosts  bool     `xor:"hosts" help:"Let it use no push service in your own network."`
}

// Run changes an app's settings and prints the app.
func (c *appSetCommand) Run(ctx context.Context, to streams) error {
	change := client.AppChange{Origins: given(c.Origin, c.NoOrigins), PushHosts: given(c.PushHost, c.NoPushHosts)}
	if c.VAPIDSubject != "" {
		change.VapidSubject = &c.VAPIDSubject
	}
	if change == (client.AppChange{}) {
		return errors.New("nothing to change: belfry app set --help lists what can be")
	}
	service, err := c.connect()
	if err != nil {
		return err
	}
	response, err := service.UpdateAppWithResponse(ctx, c.Name, change)
	if err != nil {
		return err
	}
	app, err := answered(response.JSON200, response.ApplicationproblemJSONDefault, response.HTTPResponse)
	if err != nil {
		return err
	}
	return showApp(to.out, app)
}

// given is the list to set, or nil to leave it as it is.
func given(list []string, none bool) *[]string {
	if len(list) == 0 && !none {
		return nil
	}
	list = append([]string{}, list...)
	return &list
}

type appRotateCommand struct {
	remoteFlags `embed:""`
	Name        string `arg:"" help:"The app."`
}

// Run makes a VAPID key. It alone goes to the output, so that it can be piped.
func (c *appRotateCommand) Run(ctx context.Context, to streams) error {
	service, err := c.connect()
	if err != nil {
		return err
	}
	response, err := service.CreateVAPIDKeyWithResponse(ctx, c.Name)
	if err != nil {
		return err
	}
	key, err := answered(response.JSON201, response.ApplicationproblemJSONDefault, response.HTTPResponse)
	if err != nil {
		return err
	}
	fmt.Fprintf(to.err, "Browsers subscribe to %s with this key from now on; those that have subscribed go on with theirs until they open a page:\n", c.Name)
	fmt.Fprintln(to.out, key.PublicKey)
	return nil
}

type appRevokeCommand struct {
	remoteFlags `embed:""`
	Name        string `arg:"" help:"The app."`
}

// Run ends an app's tokens.
func (c *appRevokeCommand) Run(ctx context.Context, to streams) error {
	service, err := c.connect()
	if err != nil {
		return err
	}
	response, err := service.RotateTokenSecretWithResponse(ctx, c.Name)
	if err != nil {
		return err
	}
	if err := done(http.StatusNoContent, response.ApplicationproblemJSONDefault, response.HTTPResponse); err != nil {
		return err
	}
	fmt.Fprintf(to.out, "The tokens of %s have ended. Browsers register again, with a new one, when a page is opened.\n", printable(c.Name))
	return nil
}

type appCredentialCommand struct {
	remoteFlags `embed:""`
	App         string `arg:"" help:"The app."`
	Name        string `arg:"" help:"The credential, from show."`
}

// Run removes a credential.
func (c *appCredentialCommand) Run(ctx context.Context, to streams) error {
	service, err := c.connect()
	if err != nil {
		return err
	}
	response, err := service.DeleteCredentialWithResponse(ctx, c.App, c.Name)
	if err != nil {
		return err
	}
	if err := done(http.StatusNoContent, response.ApplicationproblemJSONDefault, response.HTTPResponse); err != nil {
		return err
	}
	fmt.Fprintln(to.out, "Removed.")
	return nil
}
