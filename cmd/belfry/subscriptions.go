package main

import (
	"context"
	"fmt"
	"net/http"
	"text/tabwriter"
	"time"
)

type subscriptionsCommand struct {
	List   subscriptionsListCommand   `cmd:"" help:"Show where a user can be reached."`
	Delete subscriptionsDeleteCommand `cmd:"" help:"Remove one of a user's subscriptions."`
	Forget subscriptionsForgetCommand `cmd:"" help:"Forget a user: subscriptions, notifications and deliveries."`
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
	fmt.Fprintln(table, "KIND\tHOST\tSINCE\tLAST SEEN\tID")
	for _, sub := range list.Subscriptions {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", sub.Kind, sub.Host,
			sub.CreatedAt.Local().Format(time.DateTime), sub.SeenAt.Local().Format(time.DateTime), sub.Id)
	}
	return table.Flush()
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
