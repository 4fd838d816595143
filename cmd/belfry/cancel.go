package main

import (
	"context"
	"fmt"
)

type cancelCommand struct {
	remoteFlags `embed:""`

	ID []string `arg:"" name:"id" help:"The notification, as send printed it."`
}

// Run takes each notification back and says how much of it came too late.
func (c *cancelCommand) Run(ctx context.Context, to streams) error {
	service, err := c.connect()
	if err != nil {
		return err
	}
	for _, id := range c.ID {
		response, err := service.CancelNotificationWithResponse(ctx, id)
		if err != nil {
			return err
		}
		answer, err := answered(response.JSON200, response.ApplicationproblemJSONDefault, response.HTTPResponse)
		if err != nil {
			return fmt.Errorf("%s: %w", id, err)
		}
		fmt.Fprintf(to.out, "%s  %d cancelled, %d sent before, %d being sent\n", id, answer.Cancelled, answer.Sent, answer.UnderWay)
	}
	return nil
}
