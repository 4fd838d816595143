package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/belfryhq/belfry/api/client"
)

type keysCommand struct {
	List   keysListCommand   `cmd:"" help:"List the API keys."`
	Create keysCreateCommand `cmd:"" help:"Make an API key and print it, once."`
	Rotate keysRotateCommand `cmd:"" help:"Make an API key in the place of another, which ends at once, and print it, once."`
	Revoke keysRevokeCommand `cmd:"" help:"Revoke an API key, at once."`
	VAPID  keysVAPIDCommand  `cmd:"" name:"vapid" help:"Print the VAPID public key, which browsers subscribe with."`
}

// keysFlags say which service and which app's keys are meant.
type keysFlags struct {
	remoteFlags `embed:""`
	App         string `placeholder:"NAME" help:"App whose keys are meant, for the operator's API keys. Default: the API key's own."`
}

type keysListCommand struct {
	keysFlags `embed:""`
}

// Run prints the API keys.
func (c *keysListCommand) Run(ctx context.Context, to streams) error {
	service, err := c.connect()
	if err != nil {
		return err
	}
	response, err := service.ListKeysWithResponse(ctx, &client.ListKeysParams{App: c.App})
	if err != nil {
		return err
	}
	list, err := answered(response.JSON200, response.ApplicationproblemJSONDefault, response.HTTPResponse)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(to.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tSCOPES\tRATE\tSINCE\tNAME")
	for _, key := range list.Keys {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", key.Id, strings.Join(key.Scopes, ","), keyRate(key.Rate), key.CreatedAt.Local().Format(time.DateTime), printable(key.Name))
	}
	return table.Flush()
}

// keyRate is a key's rate for a person.
func keyRate(perSecond int) string {
	if perSecond == 0 {
		return "default"
	}
	return fmt.Sprintf("%d/s", perSecond)
}

type keysCreateCommand struct {
	keysFlags `embed:""`
	Name      string   `arg:"" optional:"" help:"What it is for."`
	Scope     []string `required:"" enum:"send,subscribe,read,admin" help:"What it may do: send, subscribe, read, admin. May be given several times."`
	Rate      int      `placeholder:"N" help:"How many requests and notifications a second it may make, in the long run: 1,000 at once, or ten seconds' worth if that is more, are let through. Default: what BELFRY_KEY_RATE says."`
}

// Run makes a key. The key alone goes to the output, so that it can be piped.
func (c *keysCreateCommand) Run(ctx context.Context, to streams) error {
	service, err := c.connect()
	if err != nil {
		return err
	}
	response, err := service.CreateKeyWithResponse(ctx, &client.CreateKeyParams{App: c.App}, client.NewKey{Name: c.Name, Scopes: c.Scope, Rate: c.Rate})
	if err != nil {
		return err
	}
	key, err := answered(response.JSON201, response.ApplicationproblemJSONDefault, response.HTTPResponse)
	if err != nil {
		return err
	}
	fmt.Fprintf(to.err, "Key %s with %s. It is shown only now:\n", key.Id, strings.Join(key.Scopes, ", "))
	fmt.Fprintln(to.out, key.Key)
	return nil
}

type keysRotateCommand struct {
	keysFlags `embed:""`
	ID        string `arg:"" name:"id" help:"The key's ID, from list."`
}

// Run replaces a key, which may be the one it is called with. The new key alone
// goes to the output, so that it can be piped.
func (c *keysRotateCommand) Run(ctx context.Context, to streams) error {
	service, err := c.connect()
	if err != nil {
		return err
	}
	response, err := service.RotateKeyWithResponse(ctx, c.ID, &client.RotateKeyParams{App: c.App})
	if err != nil {
		return err
	}
	key, err := answered(response.JSON201, response.ApplicationproblemJSONDefault, response.HTTPResponse)
	if err != nil {
		return err
	}
	fmt.Fprintf(to.err, "Key %s takes the place of %s, which has ended. It is shown only now:\n", key.Id, printable(c.ID))
	fmt.Fprintln(to.out, key.Key)
	return nil
}

type keysRevokeCommand struct {
	keysFlags `embed:""`
	ID        string `arg:"" name:"id" help:"The key's ID, from list."`
}

// Run revokes a key.
func (c *keysRevokeCommand) Run(ctx context.Context, to streams) error {
	service, err := c.connect()
	if err != nil {
		return err
	}
	response, err := service.DeleteKeyWithResponse(ctx, c.ID, &client.DeleteKeyParams{App: c.App})
	if err != nil {
		return err
	}
	if err := done(http.StatusNoContent, response.ApplicationproblemJSONDefault, response.HTTPResponse); err != nil {
		return err
	}
	fmt.Fprintln(to.out, "Revoked.")
	return nil
}

type keysVAPIDCommand struct {
	Server string `env:"BELFRY_SERVER" default:"http://127.0.0.1:8080" help:"Base URL of the service."`
}

// Run prints the public key.
func (c *keysVAPIDCommand) Run(ctx context.Context, to streams) error {
	service, err := connect(c.Server)
	if err != nil {
		return err
	}
	response, err := service.GetConfigWithResponse(ctx)
	if err != nil {
		return err
	}
	config, err := answered(response.JSON200, response.ApplicationproblemJSONDefault, response.HTTPResponse)
	if err != nil {
		return err
	}
	fmt.Fprintln(to.out, config.VapidPublicKey)
	return nil
}
