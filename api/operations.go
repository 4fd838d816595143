package api

// scope is what an API key may do. The scope admin includes all others.
type scope string

// The scopes, and the other ways to be let in.
const (
	scopeSend      scope = "send"
	scopeSubscribe scope = "subscribe"
	scopeRead      scope = "read"
	scopeAdmin     scope = "admin"

	userToken scope = "(user token)" // a browser's
	anyone    scope = "(anyone)"     // with or without a key or token: the answer depends on its app
	open      scope = "(open)"       // anybody, without looking
)

// operation is what is known of one besides its handler. A test compares
// this table with openapi.yaml.
type operation struct {
	needs    scope
	body     func() any // a new value for the body; nil if it takes none
	browser  bool       // pages of the app's origins may call it
	operator bool       // for keys of the app default alone: it shows or makes what is not one app's

	bodyOptional bool
	bodyMax      int64 // bytes; 0 for maxBody
	plainText    bool  // the body's media type may be text/plain, for which browsers ask no permission
}

// operations is by the pattern that the mux matched.
var operations = map[string]operation{
	"POST /v1/notifications":                     {needs: scopeSend, body: bodyOf[NewNotifications]},
	"POST /v1/notifications/batch":               {needs: scopeSend, body: bodyOf[NewNotificationBatch], bodyMax: 2 << 20},
	"GET /v1/notifications/{id}":                 {needs: scopeRead},
	"DELETE /v1/notifications/{id}":              {needs: scopeSend},
	"DELETE /v1/users/{user}":                    {needs: scopeSubscribe},
	"GET /v1/users/{user}/subscriptions":         {needs: scopeRead},
	"PUT /v1/users/{user}/subscriptions":         {needs: scopeSubscribe, body: bodyOf[Registration]},
	"DELETE /v1/users/{user}/subscriptions/{id}": {needs: scopeSubscribe},
	"POST /v1/users/{user}/tokens":               {needs: scopeSubscribe, body: bodyOf[NewUserToken], bodyOptional: true},
	"PUT /v1/me/subscriptions":                   {needs: userToken, body: bodyOf[Registration], browser: true},
	"DELETE /v1/me/subscriptions":                {needs: userToken, browser: true},
	"GET /v1/config":                             {needs: anyone, browser: true},
	"GET /v1/users/{user}/explain":               {needs: scopeRead},
	"DELETE /v1/users/{user}/tokens":             {needs: scopeSubscribe},
	"POST /v1/receipts":                          {needs: open, body: bodyOf[NewReceipt], browser: true, bodyMax: 1 << 10, plainText: true},
	"GET /v1/events":                             {needs: scopeRead},
	"POST /v1/apps/{app}/token-secret":           {needs: scopeAdmin},
	"PUT /v1/apps/{app}/webhooks/{name}":         {needs: scopeAdmin, body: bodyOf[NewWebhook]},
	"DELETE /v1/apps/{app}/webhooks/{name}":      {needs: scopeAdmin},
	"POST /v1/apps/{app}/webhooks/{name}/test":   {needs: scopeAdmin},
	"POST /v1/keys/{id}/rotate":                  {needs: scopeAdmin},
	"GET /debug/overview":                        {needs: scopeAdmin, operator: true},
	"GET /debug/search":                          {needs: scopeAdmin, operator: true},
	"GET /v1/apps":                               {needs: scopeAdmin, operator: true},
	"POST /v1/apps":                              {needs: scopeAdmin, operator: true, body: bodyOf[NewApp]},
	"GET /v1/apps/{app}":                         {needs: scopeAdmin},
	"PATCH /v1/apps/{app}":                       {needs: scopeAdmin, body: bodyOf[AppChange]},
	"POST /v1/apps/{app}/vapid-keys":             {needs: scopeAdmin},
	"PUT /v1/apps/{app}/credentials/{name}":      {needs: scopeAdmin, body: bodyOf[NewCredential]},
	"DELETE /v1/apps/{app}/credentials/{name}":   {needs: scopeAdmin},
	"GET /v1/keys":                               {needs: scopeAdmin},
	"POST /v1/keys":                              {needs: scopeAdmin, body: bodyOf[NewKey]},
	"DELETE /v1/keys/{id}":                       {needs: scopeAdmin},
	"GET /debug/actors":                          {needs: scopeAdmin, operator: true},
	"GET /debug/actors/{path}":                   {needs: scopeAdmin, operator: true},
	"GET /metrics":                               {needs: scopeRead, operator: true},
	"GET /healthz":                               {needs: open},
	"GET /readyz":                                {needs: open},
}

func bodyOf[T any]() any { return new(T) }
