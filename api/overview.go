package api

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
)

// GetOverview shows the whole tree in figures.
func (s *Server) GetOverview(ctx context.Context, _ GetOverviewRequestObject) (GetOverviewResponseObject, error) {
	seen, err := s.config.System.Overview(ctx)
	if err != nil {
		return nil, err
	}
	answer := GetOverview200JSONResponse{
		Version:          s.config.Version,
		At:               time.Now().UTC(),
		ActiveSince:      seen.Since.UTC(),
		Backlog:          seen.Backlog,
		WaitingForCommit: seen.WaitingForCommit,
		Counters:         seen.Counters,
		Actors:           seen.Actors,
		Lanes:            shownActors(seen.Lanes),
		LanesMore:        seen.LanesMore,
		Failures:         make([]ActorFailure, len(seen.Failures)),
	}
	for i, failure := range seen.Failures {
		answer.Failures[i] = ActorFailure{At: failure.At.UTC(), Path: failure.Path, Reason: failure.Reason, Restarts: failure.Restarts}
	}
	return answer, nil
}

// SearchActors finds live users and lanes. The user who is called exactly so comes
// first: by path it might stand after all that an answer has room for.
func (s *Server) SearchActors(ctx context.Context, request SearchActorsRequestObject) (SearchActorsResponseObject, error) {
	part, limit := request.Params.Q, request.Params.Limit
	if strings.TrimSpace(part) == "" || len(part) > push.MaxUserBytes {
		return nil, invalid("q", "q is %d bytes long. Give 1 to %d, not spaces alone: a part of a user's id, an app or a push host.", len(part), push.MaxUserBytes)
	}
	limit, err := pageLimit(limit)
	if err != nil {
		return nil, err
	}
	found, more, err := s.config.System.Search(ctx, part, limit)
	if err != nil {
		return nil, err
	}
	exact := s.config.System.PathOf(push.User{App: push.DefaultApp, ID: part})
	page, err := s.config.System.Inspect(ctx, exact, "", 1)
	switch {
	case errors.Is(err, actors.ErrNoActor):
	case err != nil:
		return nil, err
	default:
		found = slices.DeleteFunc(found, func(node actors.Node) bool { return node.Path == exact })
		found, more = append([]actors.Node{page.Node}, found...), more || len(found) == limit
	}
	return SearchActors200JSONResponse{Actors: shownActors(found[:min(len(found), limit)]), More: more}, nil
}
