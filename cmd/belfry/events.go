package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/belfryhq/belfry/api/client"
)

type eventsCommand struct {
	remoteFlags `embed:""`

	Follow bool     `short:"f" help:"Go on with what happens, until interrupted."`
	After  string   `placeholder:"ID" help:"Begin after this event; or oldest, for all that are kept; or latest, for none of them. Default: oldest, and with --follow, latest."`
	Types  []string `placeholder:"TYPE" help:"Only these types, such as delivery.gone,lane.paused."`
	JSON   bool     `help:"Print each event as a line of JSON."`
}

const (
	eventsPage  = 1000
	eventsWait  = 20              // seconds for one request to wait: well within remoteTimeout
	eventsPause = 2 * time.Second // before a request is repeated that could not be answered
)

// Run prints what happened, an event a line.
func (c *eventsCommand) Run(ctx context.Context, to streams) error {
	service, err := c.connect()
	if err != nil {
		return err
	}
	ask := client.ListEventsParams{After: c.After, Types: strings.Join(c.Types, ","), Limit: eventsPage}
	if c.Follow {
		ask.After, ask.Wait = cmp.Or(c.After, "latest"), eventsWait
	}
	if c.After == "oldest" {
		ask.After = ""
	}
	for away := false; ; {
		page, err := eventPage(ctx, service, ask)
		var passing *passingError
		switch {
		case ctx.Err() != nil:
			return nil
		case c.Follow && errors.As(err, &passing):
			if !away {
				fmt.Fprintf(to.err, "belfry: %s; trying again until it is answered\n", err)
			}
			away = true
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(max(passing.after, eventsPause)):
			}
			continue
		case err != nil:
			return err
		}
		away = false
		if err := c.print(to.out, page.Events); err != nil {
			return err
		}
		ask.After = page.Next
		if !c.Follow && !page.More {
			return nil
		}
	}
}

func eventPage(ctx context.Context, service *client.ClientWithResponses, ask client.ListEventsParams) (*client.EventPage, error) {
	response, err := service.ListEventsWithResponse(ctx, &ask)
	if err != nil {
		return nil, &passingError{err: err}
	}
	page, err := answered(response.JSON200, response.ApplicationproblemJSONDefault, response.HTTPResponse)
	if err != nil && mayPass(response.StatusCode()) {
		return nil, &passingError{err: err, after: retryAfter(response.HTTPResponse.Header)}
	}
	return page, err
}

func (c *eventsCommand) print(to io.Writer, events []client.Event) error {
	for _, event := range events {
		line := describeEvent(event)
		if c.JSON {
			encoded, err := json.Marshal(event)
			if err != nil {
				return err
			}
			line = string(encoded)
		}
		if _, err := fmt.Fprintln(to, line); err != nil {
			return err
		}
	}
	return nil
}

// describeEvent is an event in a line for people.
func describeEvent(e client.Event) string {
	facts := []string{e.At.Local().Format(time.DateTime), fmt.Sprintf("%-24s", printable(e.Type))}
	add := func(format, value string) {
		if value != "" {
			facts = append(facts, fmt.Sprintf(format, printable(value)))
		}
	}
	add("%s", e.User)
	add("%s", cmp.Or(e.Lane, e.Host))
	if e.Subscription != "" {
		add("(%s)", e.Subscription[:min(16, len(e.Subscription))])
	}
	line := strings.Join(facts, "  ")
	if what := eventFacts(e); len(what) > 0 {
		line += "  " + strings.Join(what, ", ")
	}
	return line
}

// eventFacts is what else there is to say of an event.
func eventFacts(e client.Event) (facts []string) {
	add := func(given bool, format string, args ...any) {
		if given {
			facts = append(facts, printable(fmt.Sprintf(format, args...)))
		}
	}
	add(e.Notification != "", "notification %s", e.Notification)
	add(e.Attempts > 1 || e.NextAttemptAt != nil, "attempt %d", e.Attempts)
	add(e.Cause != "", "%s", e.Cause)
	add(e.Status != 0, "HTTP %d", e.Status)
	add(e.Reason != "", "%s", e.Reason)
	add(e.MovedFrom != "", "from %s", e.MovedFrom)
	if e.NextAttemptAt != nil {
		add(true, "next at %s", e.NextAttemptAt.Local().Format(time.TimeOnly))
	}
	if e.Until != nil {
		add(true, "until %s", e.Until.Local().Format(time.TimeOnly))
	}
	return facts
}
