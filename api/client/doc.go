// Package client is a Go client of Belfry's HTTP API, generated from
// ../openapi.yaml. It needs nothing of Belfry but this package.
//
//	c, err := client.NewClientWithResponses("http://127.0.0.1:8080", client.WithRequestEditorFn(
//		func(ctx context.Context, r *http.Request) error {
//			r.Header.Set("Authorization", "Bearer "+key)
//			return nil
//		}))
package client

//go:generate go tool -modfile=../../tools.mod oapi-codegen -config oapi-client.yaml ../openapi.yaml
