package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// cli is the command line.
type cli struct {
	Serve         serveCommand         `cmd:"" help:"Run the service."`
	Send          sendCommand          `cmd:"" help:"Send a notification."`
	Cancel        cancelCommand        `cmd:"" help:"Take back what is not sent yet of a notification."`
	Explain       explainCommand       `cmd:"" help:"Say why a user did, or did not, get a notification."`
	Events        eventsCommand        `cmd:"" help:"Show what happened: deliveries, receipts, subscriptions, pauses."`
	Subscriptions subscriptionsCommand `cmd:"" help:"List, add and remove where users can be reached."`
	App           appCommand           `cmd:"" help:"Make and change apps, and give them credentials for APNs and FCM, and webhooks."`
	Keys          keysCommand          `cmd:"" help:"Make, list and revoke API keys; show the VAPID key."`
	Tree          treeCommand          `cmd:"" help:"Show the live actor tree."`
	Health        healthCommand        `cmd:"" help:"Ask whether the service is alive, or ready."`
	Doctor        doctorCommand        `cmd:"" help:"Look for what is wrong with the configuration, the database, the credentials and the network."`
	Simulate      simulateCommand      `cmd:"" help:"Stand in for a push service, to try things out and in tests."`
	Migrate       migrateCommand       `cmd:"" help:"Bring the database's schema up to date, and exit."`
	Version       versionCommand       `cmd:"" help:"Print the version."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// streams are where a command writes: results and, apart from them, the log.
type streams struct{ out, err io.Writer }

// errInterrupted: a command was told to stop before its work was done.
var errInterrupted = errors.New("interrupted")

const exitInterrupted = 130 // what a shell calls a command that SIGINT ended

// run executes one command line and returns the exit code: 0 for success, 1
// for a failure, 2 for a command line that makes no sense, 130 for one that
// was interrupted in the middle.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	exit := -1
	parser, err := kong.New(&cli{},
		kong.Name("belfry"),
		kong.Description("Belfry brings a notification to every browser and phone a user has, and tells what became of it."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exit = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(streams{out: stdout, err: stderr}),
	)
	if err != nil {
		fmt.Fprintln(stderr, "belfry:", err)
		return 2
	}
	command, err := parser.Parse(args)
	if exit >= 0 { // --help was given, and has been printed
		return exit
	}
	if err != nil {
		fmt.Fprintf(stderr, "belfry: %s\nbelfry --help lists the commands.\n", err)
		return 2
	}
	switch err := command.Run(); {
	case err == nil, errors.Is(err, context.Canceled):
		return 0
	case errors.Is(err, errInterrupted):
		fmt.Fprintln(stderr, "belfry:", err)
		return exitInterrupted
	default:
		fmt.Fprintln(stderr, "belfry:", err)
		return 1
	}
}
