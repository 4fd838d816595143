package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/belfryhq/belfry/api/client"
)

type subscriptionsCommand struct {
	List         subscriptionsListCommand   `cmd:"" help:"Show where a user can be reached."`
	Add          subscriptionsAddCommand    `cmd:"" help:"Register an app on a phone for a user, to try things out."`
	Delete       subscriptionsDeleteCommand `cmd:"" help:"Remove one of a user's subscriptions."`
	RevokeTokens subscriptionsRevokeCommand `cmd:"" help:"End all of a user's tokens, at once. Subscriptions stay."`
	Forget       subscriptionsForgetCommand `cmd:"" help:"Forget a user: subscriptions, notifications and deliveries. Their tokens end, too."`
}

type subscriptionsListCommand struct {
	remoteFlags `embed:""`
	User        string `arg:"" help:"The user."`
}

// Run prints a user's subscriptions.
func (c *subscriptionsListCommand) Run(ctx context.Context, to streams) error {
	service, err := c.connect()
	if err != nil {
		return err
	}
	response, err := service.ListSubscriptionsWithResponse(ctx, c.User)
	if err != nil {
		return err
	}
	list, err := answered(response.JSON200, response.ApplicationproblemJSONDefault, response.HTTPResponse)
	if err != nil {
		return err
	}
	if len(list.Subscriptions) == 0 {
		fmt.Fprintf(to.out, "%s has no subscriptions.\n", c.User)
		return nil
	}
	table := tabwriter.NewWriter(to.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KIND\tHOST\tTOPIC OR PROJECT\tSTATE\tSINCE\tLAST SEEN\tID")
	for _, sub := range list.Subscriptions {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", sub.Kind, printable(sub.Host), printable(cmp.Or(sub.Topic, sub.Project, "-")), subscriptionState(sub),
			sub.CreatedAt.Local().Format(time.DateTime), sub.SeenAt.Local().Format(time.DateTime), sub.Id)
	}
	return table.Flush()
}

// subscriptionState says in a word or two whether anything reaches it.
func subscriptionState(sub client.Subscription) string {
	switch {
	case sub.KeyMismatch:
		return "VAPID key mismatch"
	case sub.RestingUntil != nil:
		return "resting until " + sub.RestingUntil.Local().Format(time.TimeOnly)
	default:
		return "active"
	}
}

type subscriptionsAddCommand struct {
	remoteFlags `embed:""`
	User        string `arg:"" help:"The user."`
	Kind        string `required:"" enum:"apns,fcm" help:"apns for Apple's devices, fcm for Android's."`
	Token       string `required:"" help:"What the device gave the app: a device token in hexadecimal digits, or a registration token."`
	Topic       string `help:"apns: the app's bundle ID. Default: the one that the credentials serve."`
	Environment string `help:"apns: production, or sandbox for an app that was run from Xcode. Default: production."`
	Project     string `help:"fcm: the Firebase project. Default: the one that the credentials serve."`
}

// Run registers a phone.
func (c *subscriptionsAddCommand) Run(ctx context.Context, to streams) error {
	service, err := c.connect()
	if err != nil {
		return err
	}
	response, err := service.PutSubscriptionWithResponse(ctx, c.User, client.Registration{
		Kind: c.Kind, Token: c.Token, Topic: c.Topic, Environment: c.Environment, Project: c.Project,
	})
	if err != nil {
		return err
	}
	put := cmp.Or(response.JSON201, response.JSON200)
	if put, err = answered(put, response.ApplicationproblemJSONDefault, response.HTTPResponse); err != nil {
		return err
	}
	fmt.Fprintf(to.out, "%s  %s at %s for %s\n", put.Id, put.Kind, printable(put.Host), printable(cmp.Or(put.Topic, put.Project)))
	return nil
}

type subscriptionsDeleteCommand struct {
	remoteFlags `embed:""`
	User        string `arg:"" help:"The user."`
	ID          string `arg:"" name:"id" help:"The subscription's ID, from list."`
}

// Run removes one subscription.
func (c *subscriptionsDeleteCommand) Run(ctx context.Context, to streams) error {
	service, err := c.connect()
	if err != nil {
		return err
	}
	response, err := service.DeleteSubscriptionWithResponse(ctx, c.User, c.ID)
	if err != nil {
		return err
	}
	if err := done(http.StatusNoContent, response.ApplicationproblemJSONDefault, response.HTTPResponse); err != nil {
		return err
	}
	fmt.Fprintln(to.out, "Removed.")
	return nil
}

type subscriptionsRevokeCommand struct {
	remoteFlags `embed:""`
	User        string `arg:"" help:"The user."`
}

// Run ends a user's tokens.
func (c *subscriptionsRevokeCommand) Run(ctx context.Context, to streams) error {
	service, err := c.connect()
	if err != nil {
		return err
	}
	response, err := service.RevokeUserTokensWithResponse(ctx, c.User)
	if err != nil {
		return err
	}
	if err := done(http.StatusNoContent, response.ApplicationproblemJSONDefault, response.HTTPResponse); err != nil {
		return err
	}
	fmt.Fprintf(to.out, "The tokens of %s have ended.\n", printable(c.User))
	return nil
}

type subscriptionsForgetCommand struct {
	remoteFlags `embed:""`
	User        string `arg:"" help:"The user."`
}

// Run forgets a user.
func (c *subscriptionsForgetCommand) Run(ctx context.Context, to streams) error {
	service, err := c.connect()
	if err != nil {
		return err
	}
	response, err := service.DeleteUserWithResponse(ctx, c.User)
	if err != nil {
		return err
	}
	forgotten, err := answered(response.JSON200, response.ApplicationproblemJSONDefault, response.HTTPResponse)
	if err != nil {
		return err
	}
	fmt.Fprintf(to.out, "Removed %d subscriptions and %d notifications of %s.\n", forgotten.Subscriptions, forgotten.Notifications, c.User)
	return nil
}
