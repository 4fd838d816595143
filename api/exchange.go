package api

import (
	"context"
	"net/http"
)

// requestKey is how the handlers of a few operations come by what of the
// request is no parameter.
type requestKey struct{}

// withRequest is for the operations that need it.
func withRequest(next StrictHandlerFunc, operation string) StrictHandlerFunc {
	switch operation {
	case "ListEvents", "CreateReceipt":
		return func(ctx context.Context, w http.ResponseWriter, r *http.Request, request any) (any, error) {
			return next(context.WithValue(ctx, requestKey{}, r), w, r, request)
		}
	default:
		return next
	}
}

func requestOf(ctx context.Context) *http.Request { return ctx.Value(requestKey{}).(*http.Request) }
