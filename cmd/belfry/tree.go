package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/belfryhq/belfry/api/client"
)

type treeCommand struct {
	remoteFlags `embed:""`

	Path  string        `arg:"" optional:"" default:"/" help:"Where to begin, such as /registry/03."`
	Depth int           `placeholder:"N" help:"Levels to show below it. Default: 4; with --watch, 2."`
	Most  int           `default:"20" help:"Children of one actor to show at most."`
	All   bool          `short:"a" help:"Show shard ranges without users too."`
	Watch bool          `short:"w" help:"Show it again and again, with what flows and what is paused, until interrupted."`
	Every time.Duration `default:"1s" help:"With --watch: how often."`
}

const (
	treeDepth  = 4  // levels below where it begins
	watchDepth = 2  // the same, with --watch
	watchAsks  = 40 // actors whose children are asked for at most, for each picture
)

// Run prints the live actor tree.
func (c *treeCommand) Run(ctx context.Context, to streams) error {
	service, err := c.connect()
	if err != nil {
		return err
	}
	if c.Watch {
		return c.watch(ctx, service, openWindow(to.out))
	}
	drawing := c.newDrawing(service, cmp.Or(c.Depth, treeDepth), math.MaxInt)
	if err := drawing.draw(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintln(to.out, strings.Join(drawing.lines, "\n"))
	return err
}

// treeDrawing is a picture of the tree as it comes to be, line by line.
type treeDrawing struct {
	*treeCommand
	service *client.ClientWithResponses
	depth   int
	asks    int // how many more actors may be asked for their children
	missing int // how many were not for that reason
	lines   []string
}

func (c *treeCommand) newDrawing(service *client.ClientWithResponses, depth, asks int) *treeDrawing {
	return &treeDrawing{treeCommand: c, service: service, depth: depth, asks: asks}
}

func (d *treeDrawing) draw(ctx context.Context) error {
	page, err := d.page(ctx, d.Path)
	if err != nil {
		return err
	}
	d.add("", page.Actor.Path+describeActor(page.Actor))
	if err := d.drawChildren(ctx, page, "", 1); err != nil {
		return err
	}
	if d.missing > 0 {
		d.add("", fmt.Sprintf("(%s actors have children that are not shown, for there are too many: give a path to begin at)", count(int64(d.missing))))
	}
	return nil
}

func (d *treeDrawing) add(indent, line string) { d.lines = append(d.lines, indent+printable(line)) }

func (d *treeDrawing) page(ctx context.Context, path string) (*client.ActorPage, error) {
	d.asks--
	if path = strings.Trim(path, "/"); path == "" {
		response, err := d.service.GetRootActorWithResponse(ctx, &client.GetRootActorParams{Limit: d.Most})
		if err != nil {
			return nil, &passingError{err: err}
		}
		return seen(response.JSON200, response.ApplicationproblemJSONDefault, response.HTTPResponse)
	}
	response, err := d.service.GetActorWithResponse(ctx, path, &client.GetActorParams{Limit: d.Most})
	if err != nil {
		return nil, &passingError{err: err}
	}
	return seen(response.JSON200, response.ApplicationproblemJSONDefault, response.HTTPResponse)
}

func (d *treeDrawing) drawChildren(ctx context.Context, page *client.ActorPage, indent string, level int) error {
	shown, notes := d.choose(page)
	for i, child := range shown {
		branch, below := "├─ ", "│  "
		if i == len(shown)-1 && len(notes) == 0 {
			branch, below = "└─ ", "   "
		}
		name := child.Path[strings.LastIndexByte(child.Path, '/')+1:]
		d.add(indent+branch, name+describeActor(child))
		if child.Children == 0 || level >= d.depth {
			continue
		}
		if err := d.drawChild(ctx, child, indent+below, level+1); err != nil {
			return err
		}
	}
	for i, note := range notes {
		branch := "├─ "
		if i == len(notes)-1 {
			branch = "└─ "
		}
		d.add(indent+branch, note)
	}
	return nil
}

func (d *treeDrawing) drawChild(ctx context.Context, child client.Actor, indent string, level int) error {
	if d.asks <= 0 {
		d.missing++
		return nil
	}
	page, err := d.page(ctx, child.Path)
	var passing *passingError
	switch {
	case errors.As(err, &passing):
		return err
	case err != nil: // it has left meanwhile
		d.add(indent, "("+err.Error()+")")
		return nil
	}
	return d.drawChildren(ctx, page, indent, level)
}

// choose leaves out what says nothing, and says so.
func (d *treeDrawing) choose(page *client.ActorPage) (shown []client.Actor, notes []string) {
	hidden := 0
	for _, child := range page.Children {
		quiet := child.Kind == "shards" && child.Children == 0 && child.Queue == 0 && child.Restarts == 0 && child.State == "running"
		if quiet && !d.All {
			hidden++
			continue
		}
		shown = append(shown, child)
	}
	if hidden > 0 {
		notes = append(notes, fmt.Sprintf("(%d shard ranges without users; --all shows them)", hidden))
	}
	if more := page.Actor.Children - len(page.Children); more > 0 {
		notes = append(notes, fmt.Sprintf("(%d more; --most shows more at a time)", more))
	}
	return shown, notes
}

// describeActor says what there is to say beside the name.
func describeActor(a client.Actor) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s, %s", a.Kind, a.State)
	for _, count := range []struct {
		n         int
		one, more string
	}{{a.Children, "child", "children"}, {a.Queue, "queued", "queued"}, {a.InFlight, "in flight", "in flight"}, {a.Restarts, "restart", "restarts"}} {
		switch count.n {
		case 0:
		case 1:
			fmt.Fprintf(&b, ", 1 %s", count.one)
		default:
			fmt.Fprintf(&b, ", %d %s", count.n, count.more)
		}
	}
	if a.LastOutcome != "" {
		fmt.Fprintf(&b, ", last %s", a.LastOutcome)
	}
	if a.Kind == "webhook" && a.Reason != "" { // a lane's state has its own
		fmt.Fprintf(&b, ", %s", a.Reason)
	}
	if a.NextAttemptAt != nil {
		fmt.Fprintf(&b, ", next at %s", a.NextAttemptAt.Local().Format(time.TimeOnly))
	}
	if a.LastFailure != "" {
		fmt.Fprintf(&b, ", panicked with %s", a.LastFailure)
	}
	return b.String()
}
