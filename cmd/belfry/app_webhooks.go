package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/belfryhq/belfry/api/client"
)

type appWebhookCommand struct {
	remoteFlags `embed:""`
	App         string   `arg:"" help:"The app."`
	Name        string   `arg:"" help:"What to call the webhook. One of this name is replaced, and goes on where it was."`
	URL         string   `name:"url" required:"" placeholder:"URL" help:"Where to send the events."`
	Types       []string `placeholder:"TYPE" help:"Only these types of event, such as delivery.gone. May be given several times. Default: all."`
	Private     bool     `help:"The URL may lead into the operator's own network, and may be http. For the operator alone."`
	SecretFile  string   `placeholder:"FILE" help:"File that holds the secret to sign with: whsec_ and base64. Default: the one it has, or a new one."`
}

// Run gives an app a webhook. A new secret alone goes to the output, so that it
// can be piped.
func (c *appWebhookCommand) Run(ctx context.Context, to streams) error {
	given := client.NewWebhook{Url: c.URL, Types: c.Types, Private: c.Private}
	if c.SecretFile != "" {
		secret, err := os.ReadFile(c.SecretFile)
		if err != nil {
			return fmt.Errorf("--secret-file: %w", err)
		}
		given.Secret = strings.TrimSpace(string(secret))
	}
	service, err := c.connect()
	if err != nil {
		return err
	}
	response, err := service.PutWebhookWithResponse(ctx, c.App, c.Name, given)
	if err != nil {
		return err
	}
	put, verb := response.JSON201, "Added"
	if response.JSON200 != nil {
		put, verb = response.JSON200, "Replaced"
	}
	if put, err = answered(put, response.ApplicationproblemJSONDefault, response.HTTPResponse); err != nil {
		return err
	}
	fmt.Fprintf(to.err, "%s %s\n", verb, printable(describeWebhook(&put.Webhook)))
	if put.Secret != "" && given.Secret == "" {
		fmt.Fprintln(to.err, "Its requests are signed with this secret, which is shown only now:")
		fmt.Fprintln(to.out, put.Secret)
	}
	return nil
}

type appWebhookTestCommand struct {
	remoteFlags `embed:""`
	App         string `arg:"" help:"The app."`
	Name        string `arg:"" help:"The webhook, from show."`
}

// Run has a message without events sent, and fails if it is not taken.
func (c *appWebhookTestCommand) Run(ctx context.Context, to streams) error {
	service, err := c.connect()
	if err != nil {
		return err
	}
	response, err := service.TestWebhookWithResponse(ctx, c.App, c.Name)
	if err != nil {
		return err
	}
	test, err := answered(response.JSON200, response.ApplicationproblemJSONDefault, response.HTTPResponse)
	if err != nil {
		return err
	}
	took := time.Duration(test.TookMs) * time.Millisecond
	if !test.Taken {
		return fmt.Errorf("not taken, after %s: %s", max(took, time.Millisecond), printable(test.Reason))
	}
	fmt.Fprintf(to.out, "Taken: it answered %d after %s.\n", test.Status, took)
	return nil
}

type appWebhookRemoveCommand struct {
	remoteFlags `embed:""`
	App         string `arg:"" help:"The app."`
	Name        string `arg:"" help:"The webhook, from show."`
}

// Run removes a webhook.
func (c *appWebhookRemoveCommand) Run(ctx context.Context, to streams) error {
	service, err := c.connect()
	if err != nil {
		return err
	}
	response, err := service.DeleteWebhookWithResponse(ctx, c.App, c.Name)
	if err != nil {
		return err
	}
	if err := done(http.StatusNoContent, response.ApplicationproblemJSONDefault, response.HTTPResponse); err != nil {
		return err
	}
	fmt.Fprintln(to.out, "Removed.")
	return nil
}

// describeWebhook says in a line what there is to know of a webhook.
func describeWebhook(w *client.Webhook) string {
	line := fmt.Sprintf("%s: %s", w.Name, w.Url)
	if len(w.Types) > 0 {
		line += " for " + strings.Join(w.Types, ", ")
	}
	if w.Private {
		line += ", private"
	}
	line += ", " + w.State
	if w.Reason != "" {
		line += ": " + w.Reason
	}
	if w.NextAttemptAt != nil {
		line += ", again at " + w.NextAttemptAt.Local().Format(time.DateTime)
	}
	if w.BehindSince != nil {
		line += ", behind since " + w.BehindSince.Local().Format(time.DateTime)
	}
	return line
}
