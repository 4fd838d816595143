package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/belfryhq/belfry/api/client"
)

type treeCommand struct {
	remoteFlags `embed:""`

	Path  string        `arg:"" optional:"" default:"/" help:"Where to begin, such as /registry/3."`
	Depth int           `default:"4" help:"Levels to show below it."`
	Most  int           `default:"20" help:"Children of one actor to show at most."`
	All   bool          `short:"a" help:"Show shard ranges without users too."`
	Watch bool          `short:"w" help:"Show it again and again, until interrupted."`
	Every time.Duration `default:"1s" help:"With --watch: how often."`
}

// Run prints the live actor tree.
func (c *treeCommand) Run(ctx context.Context, to streams) error {
	service, err := c.connect()
	if err != nil {
		return err
	}
	for {
		var screen bytes.Buffer
		if err := c.draw(ctx, service, &screen); err != nil {
			return err
		}
		if !c.Watch {
			_, err := screen.WriteTo(to.out)
			return err
		}
		fmt.Fprintf(to.out, "\x1b[H\x1b[2J%s  %s, every %s\n\n%s", c.Server, time.Now().Format(time.TimeOnly), c.Every, &screen)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(c.Every):
		}
	}
}

func (c *treeCommand) draw(ctx context.Context, service *client.ClientWithResponses, to io.Writer) error {
	page, err := c.page(ctx, service, c.Path)
	if err != nil {
		return err
	}
	fmt.Fprintln(to, page.Actor.Path+describeActor(page.Actor))
	return c.drawChildren(ctx, service, to, page, "", 1)
}

func (c *treeCommand) page(ctx context.Context, service *client.ClientWithResponses, path string) (*client.ActorPage, error) {
	if path = strings.Trim(path, "/"); path == "" {
		response, err := service.GetRootActorWithResponse(ctx, &client.GetRootActorParams{Limit: c.Most})
		if err != nil {
			return nil, err
		}
		return answered(response.JSON200, response.ApplicationproblemJSONDefault, response.HTTPResponse)
	}
	response, err := service.GetActorWithResponse(ctx, path, &client.GetActorParams{Limit: c.Most})
	if err != nil {
		return nil, err
	}
	return answered(response.JSON200, response.ApplicationproblemJSONDefault, response.HTTPResponse)
}

func (c *treeCommand) drawChildren(ctx context.Context, service *client.ClientWithResponses, to io.Writer, page *client.ActorPage, indent string, depth int) error {
	shown, hidden := c.choose(page.Children)
	more := page.Actor.Children - len(page.Children)
	var notes []string
	if hidden > 0 {
		notes = append(notes, fmt.Sprintf("(%d shard ranges without users; --all shows them)", hidden))
	}
	if more > 0 {
		notes = append(notes, fmt.Sprintf("(%d more; --most shows more at a time)", more))
	}
	for i, child := range shown {
		branch, below := "├─ ", "│  "
		if i == len(shown)-1 && len(notes) == 0 {
			branch, below = "└─ ", "   "
		}
		name := child.Path[strings.LastIndexByte(child.Path, '/')+1:]
		fmt.Fprintln(to, indent+branch+name+describeActor(child))
		if child.Children == 0 || depth >= c.Depth {
			continue
		}
		next, err := c.page(ctx, service, child.Path)
		if err != nil {
			fmt.Fprintln(to, indent+below+"("+err.Error()+")")
			continue // it has left meanwhile
		}
		if err := c.drawChildren(ctx, service, to, next, indent+below, depth+1); err != nil {
			return err
		}
	}
	for i, note := range notes {
		branch := "├─ "
		if i == len(notes)-1 {
			branch = "└─ "
		}
		fmt.Fprintln(to, indent+branch+note)
	}
	return nil
}

// choose leaves out what says nothing.
func (c *treeCommand) choose(children []client.Actor) (shown []client.Actor, hidden int) {
	for _, child := range children {
		quiet := child.Kind == "shards" && child.Children == 0 && child.Queue == 0 && child.Restarts == 0 && child.State == "running"
		if quiet && !c.All {
			hidden++
			continue
		}
		shown = append(shown, child)
	}
	return shown, hidden
}

// describeActor says what there is to say beside the name.
func describeActor(a client.Actor) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s, %s", a.Kind, a.State)
	for _, count := range []struct {
		what string
		n    int
	}{{"children", a.Children}, {"queued", a.Queue}, {"in flight", a.InFlight}, {"restarts", a.Restarts}} {
		if count.n > 0 {
			fmt.Fprintf(&b, ", %d %s", count.n, count.what)
		}
	}
	if a.LastOutcome != "" {
		fmt.Fprintf(&b, ", last %s", a.LastOutcome)
	}
	if a.NextAttemptAt != nil {
		fmt.Fprintf(&b, ", next at %s", a.NextAttemptAt.Local().Format(time.TimeOnly))
	}
	return b.String()
}
