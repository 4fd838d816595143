package api

import (
	"cmp"
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
	limit, err := pageLimit(limit)
	if err != nil {
		return ActorPage{}, err
	}
	page, err := s.config.System.Inspect(ctx, path, after, limit)
	if err != nil {
		return ActorPage{}, err
	}
	return ActorPage{Actor: shownActor(page.Node), Children: shownActors(page.Children), Next: page.Next}, nil
}

// pageLimit is how many actors an answer lists.
func pageLimit(asked int) (int, error) {
	if asked < 0 || asked > actors.MaxPage {
		return 0, invalid("limit", "limit is %d. Use 1 to %d.", asked, actors.MaxPage)
	}
	return cmp.Or(asked, pageDefault), nil
}

func shownActors(nodes []actors.Node) []Actor {
	shown := make([]Actor, len(nodes))
	for i, node := range nodes {
		shown[i] = shownActor(node)
	}
	return shown
}

func shownActor(node actors.Node) Actor {
	return Actor{
		Path:          node.Path,
		Kind:          node.Kind,
		State:         node.State,
		Queue:         node.Queue,
		InFlight:      node.InFlight,
		Restarts:      node.Restarts,
		Cause:         node.Cause,
		Reason:        node.Reason,
		LastFailure:   node.Failure,
		LastFailureAt: utc(node.FailedAt),
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

// slashedActor is the pattern of what withSlashes serves.
const slashedActor = "GET /debug/actors/{path...}"

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
