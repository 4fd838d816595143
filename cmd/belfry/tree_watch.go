package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/belfryhq/belfry/api/client"
)

// watch shows the tree again and again. It goes on when the server does not
// answer: then it shows what it saw last, and says so.
func (c *treeCommand) watch(ctx context.Context, service *client.ClientWithResponses, to *window) (err error) {
	defer func() { err = errors.Join(err, to.close()) }()
	now := &watched{server: c.Server, every: c.Every}
	for {
		err := now.look(ctx, c, service)
		var passing *passingError
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !errors.As(err, &passing):
			return err
		}
		if err := to.show(now.picture(time.Now(), err)); err != nil {
			return err
		}
		pause := c.Every
		if passing != nil {
			pause = max(pause, min(passing.after, watchPauseMax))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

const watchPauseMax = 10 * time.Second // before a server that asks for a pause is asked again

// watched is what is seen while it is watched.
type watched struct {
	server string
	every  time.Duration
	before *client.Overview // the one before, whence rates are measured
	newest *client.Overview
	seenAt time.Time // by our own clock
	tree   []string
}

// look looks at everything once. What it saw before stays if it fails.
func (w *watched) look(ctx context.Context, c *treeCommand, service *client.ClientWithResponses) error {
	response, err := service.GetOverviewWithResponse(ctx)
	if err != nil {
		return &passingError{err: err}
	}
	overview, err := seen(response.JSON200, response.ApplicationproblemJSONDefault, response.HTTPResponse)
	if err != nil {
		return err
	}
	drawing := c.newDrawing(service, cmp.Or(c.Depth, watchDepth), watchAsks)
	var passing *passingError
	switch err := drawing.draw(ctx); {
	case errors.As(err, &passing):
		return err
	case err != nil: // whoever is watched has left, and may come back
		drawing.lines = []string{printable(err.Error())}
	}
	w.before, w.newest, w.seenAt, w.tree = w.newest, overview, time.Now(), drawing.lines
	return nil
}

// seen is answered, with a passingError for what may heal by itself.
func seen[T any](answer *T, problem *client.Error, response *http.Response) (*T, error) {
	answer, err := answered(answer, problem, response)
	if err != nil && mayPass(response.StatusCode) {
		return nil, &passingError{err: err, after: retryAfter(response.Header)}
	}
	return answer, err
}

// picture is what a window shows. err is why there is nothing new to show.
func (w *watched) picture(now time.Time, err error) []line {
	picture := []line{{dim, fmt.Sprintf("%s  %s, every %s", w.server, now.Format(time.TimeOnly), w.every)}}
	if err != nil {
		picture = append(picture, line{alarm, printable(err.Error())})
		if w.newest != nil {
			picture = append(picture, line{dim, fmt.Sprintf("Trying again. What is below is %s old.", rounded(now.Sub(w.seenAt)))})
		}
	}
	if w.newest == nil {
		return picture
	}
	picture = append(picture, w.health(now)...)
	picture = append(picture, line{})
	for _, each := range w.tree {
		picture = append(picture, line{plain, each})
	}
	if err != nil {
		for i := range picture[2:] {
			picture[2+i].style = dim
		}
	}
	return picture
}

// health says how things are: in a sentence, in figures, and what each lane
// that is paused waits for.
func (w *watched) health(now time.Time) []line {
	o := w.newest
	inFlight := 0
	for _, lane := range o.Lanes {
		inFlight += lane.InFlight
	}
	picture := append(pausedLanes(o, now),
		line{plain, w.rates()},
		line{plain, fmt.Sprintf("backlog %s  waiting for commit %s  in flight %s  commit %s", count(int64(o.Backlog)), count(int64(o.WaitingForCommit)), count(int64(inFlight)), w.commitTime())},
		line{dim, fmt.Sprintf("%s, active for %s, panics %s", printable(o.Version), rounded(o.At.Sub(o.ActiveSince)), count(o.Counters["restarts"]))},
	)
	if len(o.Failures) > 0 {
		last := o.Failures[0]
		picture = append(picture, line{dim, printable(fmt.Sprintf("last panic %s ago: %s: %s", rounded(o.At.Sub(last.At)), last.Path, last.Reason))})
	}
	return picture
}

const pausedShown = 8 // lanes with a line of their own

func pausedLanes(o *client.Overview, now time.Time) []line {
	var paused []line
	for _, lane := range o.Lanes {
		if lane.Cause != "" {
			paused = append(paused, line{alarm, printable("  " + describePause(lane, now))})
		}
	}
	n := len(paused)
	if n == 0 {
		return []line{{bold, "Everything flows."}}
	}
	title := fmt.Sprintf("%d lanes are paused:", n)
	switch {
	case n == 1:
		title = "1 lane is paused:"
	case n == len(o.Lanes) && o.LanesMore > 0:
		title = "At least " + title
	}
	if n > pausedShown {
		paused = append(paused[:pausedShown], line{alarm, fmt.Sprintf("  and %d more", n-pausedShown)})
	}
	return append([]line{{alarm, title}}, paused...)
}

// describePause says why a lane is paused, and until when.
func describePause(lane client.Actor, now time.Time) string {
	text := strings.TrimPrefix(lane.Path, "/lanes/") + ": " + lane.Cause
	if lane.NextAttemptAt != nil {
		text += fmt.Sprintf(", next try in %s", rounded(max(lane.NextAttemptAt.Sub(now), 0)))
	}
	text += fmt.Sprintf(", %s queued", count(int64(lane.Queue)))
	if lane.Reason != "" {
		text += ", it said: " + lane.Reason
	}
	return text
}

// rates is what flows per second, once there are two answers of the same term.
func (w *watched) rates() string {
	per := func(more int64) string {
		took := w.since()
		if took <= 0 {
			return "–"
		}
		return count(int64(float64(more)/took.Seconds()+0.5)) + "/s"
	}
	attempts := w.more("attempts")
	return fmt.Sprintf("accepted %s  delivered %s  attempts %s  failed %s",
		per(w.more("accepted")), per(w.more("delivery.delivered")), per(attempts), per(attempts-w.more("attempt.delivered")))
}

func (w *watched) commitTime() string {
	commits := w.more("commits")
	if w.since() <= 0 || commits <= 0 {
		return "–"
	}
	return (time.Duration(w.more("commit_nanoseconds") / commits)).Round(100 * time.Microsecond).String()
}

// since is how long it took from one answer to the next; 0 if they cannot be compared.
func (w *watched) since() time.Duration {
	if w.before == nil || !w.before.ActiveSince.Equal(w.newest.ActiveSince) {
		return 0
	}
	return w.newest.At.Sub(w.before.At)
}

func (w *watched) more(counter string) int64 {
	if w.before == nil {
		return 0
	}
	return w.newest.Counters[counter] - w.before.Counters[counter]
}
