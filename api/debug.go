package api

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/belfryhq/belfry/actors"
)

const pageDefault = 100 // children in an answer when the request does not say

// GetRootActor shows the root of the live tree.
func (s *Server) GetRootActor(ctx context.Context, request GetRootActorRequestObject) (GetRootActorResponseObject, error) {
	page, err := s.inspect(ctx, "", request.Params.After, request.Params.Limit)
	if err != nil {
		return nil, err
	}
	return GetRootActor200JSONResponse(page), nil
}

// GetActor shows one actor of the live tree.
func (s *Server) GetActor(ctx context.Context, request GetActorRequestObject) (GetActorResponseObject, error) {
	page, err := s.inspect(ctx, request.Path, request.Params.After, request.Params.Limit)
	if err != nil {
		return nil, err
	}
	return GetActor200JSONResponse(page), nil
}

func (s *Server) inspect(ctx context.Context, path, after string, limit int) (ActorPage, error) {
	if limit == 0 {
		limit = pageDefault
	}
	if limit < 0 || limit > actors.MaxPage {
		return ActorPage{}, invalid("limit", "limit is %d. Use 1 to %d.", limit, actors.MaxPage)
	}
	page, err := s.config.System.Inspect(ctx, path, after, limit)
	if err != nil {
		return ActorPage{}, err
	}
	answer := ActorPage{Actor: shownActor(page.Node), Children: make([]Actor, len(page.Children)), Next: page.Next}
	for i, node := range page.Children {
		answer.Children[i] = shownActor(node)
	}
	return answer, nil
}

func shownActor(node actors.Node) Actor {
	return Actor{
		Path:          node.Path,
		Kind:          node.Kind,
		State:         node.State,
		Queue:         node.Queue,
		InFlight:      node.InFlight,
		Restarts:      node.Restarts,
		LastOutcome:   node.LastOutcome,
		NextAttemptAt: utc(node.NextAttempt),
		Children:      node.Children,
		Href:          hrefOf(node.Path),
	}
}

// hrefOf is where an actor is found. A user's id may hold what means something
// in a URL, so each segment is escaped.
func hrefOf(path string) string {
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, segment := range segments {
		segments[i] = url.PathEscape(segment)
	}
	return strings.TrimSuffix("/debug/actors/"+strings.Join(segments, "/"), "/")
}

// withSlashes serves the path of an actor written with slashes as the one
// parameter that openapi.yaml knows.
func withSlashes(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.Trim(r.PathValue("path"), "/")
		other := r.Clone(r.Context())
		other.URL.Path = strings.TrimSuffix("/debug/actors/"+path, "/")
		other.URL.RawPath = strings.TrimSuffix("/debug/actors/"+url.PathEscape(path), "/")
		mux.ServeHTTP(w, other)
	})
}
