package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/belfryhq/belfry/api/client"
)

type explainCommand struct {
	remoteFlags `embed:""`

	User         string `arg:"" help:"The user."`
	Notification string `arg:"" optional:"" help:"The notification, as send printed it. Without it, where the user can be reached, and what became of their newest notifications."`
	JSON         bool   `help:"Print the answer as JSON."`
}

// Run prints why a user did, or did not, get a notification.
func (c *explainCommand) Run(ctx context.Context, to streams) error {
	service, err := c.connect()
	if err != nil {
		return err
	}
	response, err := service.ExplainUserWithResponse(ctx, c.User, &client.ExplainUserParams{Notification: c.Notification})
	if err != nil {
		return err
	}
	answer, err := answered(response.JSON200, response.ApplicationproblemJSONDefault, response.HTTPResponse)
	if err != nil {
		return err
	}
	if c.JSON {
		encoder := json.NewEncoder(to.out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(answer)
	}
	for _, sentence := range answer.Summary {
		fmt.Fprintln(to.out, wrapped(localTimes(printable(sentence)), widthOf(to.out)))
	}
	for _, sub := range answer.Subscriptions {
		printAttempts(to.out, sub)
	}
	return printRecent(to.out, answer.Recent)
}

// printAttempts lists what was tried at one subscription, where that is more than
// the sentences have said.
func printAttempts(to io.Writer, sub client.SubscriptionExplanation) {
	if len(sub.Attempts) < 2 {
		return
	}
	fmt.Fprintf(to, "\nAttempts at %s %s (%s)\n", printable(sub.Kind), printable(sub.Host), printable(sub.Id[:min(16, len(sub.Id))]))
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	for _, attempt := range sub.Attempts {
		status := "no answer"
		if attempt.Status != 0 {
			status = fmt.Sprintf("HTTP %d", attempt.Status)
		}
		fmt.Fprintf(table, "  %d\t%s\t%s\t%s\t%s\n", attempt.Number, attempt.At.Local().Format(time.DateTime), printable(attempt.Outcome), status, printable(attempt.Reason))
	}
	table.Flush() //nolint:errcheck // nobody reads it
}

// printRecent lists notifications with what became of them.
func printRecent(to io.Writer, recent []client.Notification) error {
	if len(recent) == 0 {
		return nil
	}
	fmt.Fprintln(to)
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NOTIFICATION\tACCEPTED\tSTATE\tDELIVERIES")
	for _, n := range recent {
		states := make([]string, len(n.Deliveries))
		for i, d := range n.Deliveries {
			states[i] = d.State
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", printable(n.Id), n.AcceptedAt.Local().Format(time.DateTime), printable(n.State), printable(strings.Join(states, ", ")))
	}
	return table.Flush()
}

// utcTime is a time in a sentence of the server's.
var utcTime = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC`)

// localTimes writes the times in a sentence as the clock on the wall has them.
func localTimes(sentence string) string {
	return utcTime.ReplaceAllStringFunc(sentence, func(text string) string {
		at, err := time.Parse("2006-01-02 15:04:05 MST", text)
		if err != nil {
			return text
		}
		return at.Local().Format(time.DateTime)
	})
}

const widthMax = 100 // characters in a line that is to be read

// widthOf is how long a line may be.
func widthOf(to io.Writer) int {
	if file, ok := to.(*os.File); ok {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 20 {
			return min(width, widthMax)
		}
	}
	return widthMax
}

// wrapped breaks a paragraph between words, where there is room for none more.
// What follows the first line is indented.
func wrapped(text string, width int) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		length := len([]rune(word))
		switch {
		case b.Len() == 0:
		case column+1+length > width:
			b.WriteString("\n  ")
			column = 2
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += length
	}
	return b.String()
}
