package main

import (
	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/api/webhook"
	"github.com/belfryhq/belfry/push"
)

// webhooks makes what calls webhooks. They see events as GET /v1/events shows them.
func (f *serveFlags) webhooks() (*webhook.Caller, error) {
	roots, err := f.pushAuthorities()
	if err != nil {
		return nil, err
	}
	return webhook.New(webhook.Config{Show: func(e push.Event) any { return api.ShownEvent(e) }, RootCAs: roots})
}
