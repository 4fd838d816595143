package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/belfryhq/belfry/api/client"
)

type sendCommand struct {
	remoteFlags `embed:""`

	User           []string      `short:"u" xor:"users" sep:"none" placeholder:"ID" help:"Whom to notify. May be given several times."`
	Title          string        `short:"t" required:"" help:"Title."`
	Body           string        `short:"b" help:"Text."`
	URL            string        `help:"Opened by a click."`
	Icon           string        `help:"URL of a small picture."`
	Tag            string        `help:"A shown notification with the same tag is replaced."`
	AppBadge       *uint32       `placeholder:"N" help:"The number on the app's icon; 0 takes it away."`
	Sound          string        `help:"On phones: default, none, or a sound in the app's package."`
	Data           string        `placeholder:"JSON" help:"Handed to the service worker, or the app."`
	SendAt         string        `placeholder:"TIME" help:"When to send it, such as 2026-12-24T18:00:00+01:00. Default: at once."`
	TTL            time.Duration `default:"24h" help:"How long it is worth delivering."`
	Urgency        string        `enum:"very-low,low,normal,high" default:"normal" help:"very-low, low, normal or high."`
	CollapseKey    string        `help:"A notification with the same key that still waits is replaced."`
	IdempotencyKey string        `placeholder:"KEY" help:"The same command with the same key sends once, for 24 hours."`
	Receipts       []string      `enum:"shown,clicked,closed" placeholder:"WHAT" help:"What browsers are to tell: shown, clicked, closed."`
	Wait           bool          `short:"w" xor:"wait" help:"Wait until it is final at every subscription, and say what became of it."`

	manyFlags `embed:""`
}

// Run sends one notification to each user and prints the IDs.
func (c *sendCommand) Run(ctx context.Context, to streams) error {
	service, err := c.connect()
	if err != nil {
		return err
	}
	body, err := c.notification()
	if err != nil {
		return err
	}
	if c.UsersFrom != "" {
		return c.sendToMany(ctx, service, body, to)
	}
	body.Users = c.User
	response, err := service.CreateNotificationsWithResponse(ctx, &client.CreateNotificationsParams{IdempotencyKey: c.IdempotencyKey}, body)
	if err != nil {
		return err
	}
	accepted, err := answered(response.JSON202, response.ApplicationproblemJSONDefault, response.HTTPResponse)
	if err != nil {
		return err
	}
	for _, n := range accepted.Notifications {
		fmt.Fprintf(to.out, "%s  %s\n", n.Id, n.User)
		if c.Wait {
			if err := follow(ctx, service, n, followQuiet, to); err != nil {
				return err
			}
		}
	}
	return nil
}

// notification is what to send, without the users.
func (c *sendCommand) notification() (client.NewNotifications, error) {
	ttl := int(c.TTL / time.Second)
	body := client.NewNotifications{
		Title: c.Title, Body: c.Body, Url: c.URL, Icon: c.Icon, Tag: c.Tag, AppBadge: c.AppBadge, Sound: c.Sound,
		Ttl: &ttl, Urgency: c.Urgency, CollapseKey: c.CollapseKey, SendAt: c.SendAt,
		Receipts: c.Receipts,
	}
	if c.Data != "" {
		if !json.Valid([]byte(c.Data)) {
			return body, fmt.Errorf("--data is not valid JSON; quote text inside: --data '\"text\"'")
		}
		body.Data = json.RawMessage(c.Data)
	}
	return body, nil
}

const (
	followEvery = 300 * time.Millisecond // how often send --wait asks
	followQuiet = 5 * time.Second        // after which it says where to read why it takes so long
)

// follow prints a notification's deliveries as they become final.
func follow(ctx context.Context, service *client.ClientWithResponses, sent client.AcceptedNotification, quiet time.Duration, to streams) error {
	printed := make(map[string]bool)
	hint := time.Now().Add(quiet)
	for {
		response, err := service.GetNotificationWithResponse(ctx, sent.Id)
		if err != nil {
			return err
		}
		n, err := answered(response.JSON200, response.ApplicationproblemJSONDefault, response.HTTPResponse)
		if err != nil {
			return err
		}
		for _, d := range n.Deliveries {
			line := describeDelivery(d)
			if d.State != "queued" && !printed[line] {
				printed[line] = true
				fmt.Fprintln(to.out, "  "+line)
			}
		}
		if n.State == "finished" {
			return nil
		}
		if !hint.IsZero() && !time.Now().Before(hint) {
			fmt.Fprintf(to.err, "belfry: still waiting; why, says: belfry explain %s %s\n", sent.User, sent.Id)
			hint = time.Time{}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(followEvery):
		}
	}
}

func describeDelivery(d client.Delivery) string {
	line := strings.ReplaceAll(d.State, "_", " ")
	if d.Subscription != "" {
		line += fmt.Sprintf(" at %s %s (%s)", d.Kind, d.Host, d.Subscription[:16])
	}
	switch {
	case d.Attempts > 1:
		line += fmt.Sprintf(", %d attempts", d.Attempts)
	case d.NextAttemptAt != nil && d.Attempts == 1:
		line += ", 1 attempt"
	}
	if d.Status != 0 {
		line += fmt.Sprintf(", HTTP %d", d.Status)
	}
	if d.Reason != "" {
		line += ": " + d.Reason
	}
	if d.NextAttemptAt != nil {
		line += ", next at " + d.NextAttemptAt.Local().Format(time.TimeOnly)
	}
	for _, receipt := range []struct {
		what string
		at   *time.Time
	}{{"shown", d.ShownAt}, {"clicked", d.ClickedAt}, {"closed", d.ClosedAt}} {
		if receipt.at != nil {
			line += fmt.Sprintf(", %s at %s", receipt.what, receipt.at.Local().Format(time.TimeOnly))
		}
	}
	return line
}
