package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

type healthCommand struct {
	Server string `env:"BELFRY_SERVER" default:"http://127.0.0.1:8080" help:"Base URL of the service."`
	Ready  bool   `help:"Ask whether it can take work, not only whether it is alive."`
}

// Run succeeds if the service is well: for container health checks.
func (c *healthCommand) Run(ctx context.Context, to streams) error {
	service, err := connect(c.Server)
	if err != nil {
		return err
	}
	if !c.Ready {
		response, err := service.GetHealthWithResponse(ctx)
		if err != nil {
			return err
		}
		if response.JSON200 == nil {
			return fmt.Errorf("the server answered %s", response.Status())
		}
		fmt.Fprintln(to.out, "alive")
		return nil
	}
	response, err := service.GetReadinessWithResponse(ctx)
	switch {
	case err != nil:
		return err
	case response.JSON503 != nil:
		return errors.New("not ready\n  " + strings.Join(response.JSON503.Reasons, "\n  "))
	case response.JSON200 == nil:
		return fmt.Errorf("the server answered %s", response.Status())
	}
	fmt.Fprintln(to.out, "ready")
	return nil
}
