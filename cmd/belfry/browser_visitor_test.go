package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/SherClockHolmes/webpush-go"
	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/cmd/belfry/browsertest"
	"github.com/belfryhq/belfry/push/simulate"
)

// A scenario is a visit to the website of an application that uses Belfry:
//
//	site (an origin of its own per test) ──belfry.js──▶ server
//	Firefox ──subscribes──▶ simulate.WebPush ◀──sends── server
//
// One Firefox and one push service serve the whole package.

// server is a running Belfry as the scenarios see it: one whose pages on the
// website's origin may register browsers, and that sends to the push service on
// loopback.
type server struct {
	*daemon
	URL string
}

func startServer(t *testing.T, origin string, service *simulate.WebPush, flags ...string) server {
	d := startDaemon(t, append(append(allowing(service), "--allowed-origins", origin), flags...)...)
	return server{daemon: d, URL: d.url}
}

// Token makes a user token, as the application's backend does.
func (s server) Token(t *testing.T, user string) string {
	t.Helper()
	var made struct{ Token string }
	s.call("POST", "/v1/users/"+user+"/tokens", nil, &made)
	return made.Token
}

// Send returns when the notification is accepted, with its ID.
func (s server) Send(t *testing.T, user string, c content) (id string) {
	t.Helper()
	var accepted struct{ Notifications []struct{ ID string } }
	s.call("POST", "/v1/notifications", map[string]any{
		"user": user, "title": c.Title, "body": c.Body, "url": c.URL, "tag": c.Tag, "receipts": c.Receipts,
	}, &accepted)
	return accepted.Notifications[0].ID
}

// Told gives what browsers said of a notification that was sent to one.
func (s server) Told(t *testing.T, id string) (told []string) {
	t.Helper()
	var n struct {
		Deliveries []struct {
			ShownAt   *time.Time `json:"shown_at"`
			ClickedAt *time.Time `json:"clicked_at"`
			ClosedAt  *time.Time `json:"closed_at"`
		}
	}
	s.call("GET", "/v1/notifications/"+id, nil, &n)
	for _, d := range n.Deliveries {
		for what, at := range map[string]*time.Time{"shown": d.ShownAt, "clicked": d.ClickedAt, "closed": d.ClosedAt} {
			if at != nil {
				told = append(told, what)
			}
		}
	}
	slices.Sort(told)
	return told
}

// Events gives the types of a notification's events, in order.
func (s server) Events(t *testing.T, id string) (types []string) {
	t.Helper()
	var page struct {
		Events []struct{ Type, Notification string }
	}
	s.call("GET", "/v1/events?limit=1000", nil, &page)
	for _, e := range page.Events {
		if e.Notification == id {
			types = append(types, e.Type)
		}
	}
	return types
}

// Subscriptions gives the IDs of a user's subscriptions.
func (s server) Subscriptions(t *testing.T, user string) (ids []string) {
	t.Helper()
	var list struct{ Subscriptions []struct{ ID string } }
	s.call("GET", "/v1/users/"+user+"/subscriptions", nil, &list)
	for _, each := range list.Subscriptions {
		ids = append(ids, each.ID)
	}
	return ids
}

// RotateKey makes a new VAPID key the current one.
func (s server) RotateKey(t *testing.T) {
	t.Helper()
	s.call("POST", "/v1/apps/default/vapid-keys", nil, nil)
}

// content is what the application sends.
type content struct {
	Title, Body, URL, Tag string
	Receipts              []string
}

// visitTime is what a visit may take on a slow machine, and Firefox to start.
const visitTime = 5 * time.Minute

// nowhere is the address of no server.
const nowhere = "http://127.0.0.1:9"

// stop ends what browserAndService started, if it did.
var stop func()

// browserAndService starts both with the first test that needs them.
var browserAndService = sync.OnceValues(func() (pair, error) {
	if _, err := browsertest.Find(); err != nil {
		return pair{}, err
	}
	service, err := simulate.OpenWebPush()
	if err != nil {
		return pair{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), visitTime)
	defer cancel()
	firefox, err := browsertest.Start(ctx, browsertest.Config{AutopushURL: service.AutopushURL()})
	if err != nil {
		service.Stop()
		return pair{}, err
	}
	stop = func() {
		firefox.Close()
		service.Stop()
	}
	return pair{firefox, service}, nil
})

type pair struct {
	firefox *browsertest.Firefox
	service *simulate.WebPush
}

// visitor is a person who visits the application's website with Firefox.
type visitor struct {
	*testing.T
	pair
	server server
	origin string // the website's
	page   *browsertest.Page
	ctx    context.Context

	vapidPublic, vapidPrivate string                // of subscribeWorker
	subscription              *webpush.Subscription // of subscribeWorker
}

// visit begins a scenario: a fresh website, a fresh server, no page open yet.
func visit(t *testing.T, flags ...string) *visitor {
	t.Helper()
	if testing.Short() || os.Getenv("BELFRY_SKIP_BROWSER") == "1" {
		t.Skip("takes a browser")
	}
	both, err := browserAndService()
	browsertest.Need(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), visitTime)
	t.Cleanup(cancel)
	v := &visitor{T: t, pair: both, ctx: ctx}
	v.origin = v.startSite()
	v.server = startServer(t, v.origin, v.service, flags...)
	v.permission(v.origin, "granted")
	t.Cleanup(v.goHome)
	return v
}

// startSite serves the application's website: pages without content, and
// service workers that import Belfry's.
func (v *visitor) startSite() (origin string) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".js") {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, `<!doctype html><title>an application</title>`)
	})
	mux.HandleFunc("GET /belfry-sw.js", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprintf(w, "importScripts(%q);", v.server.URL+"/belfry-sw.js")
	})
	mux.HandleFunc("GET /app-sw.js", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprintf(w, `
			importScripts(%q);
			addEventListener("push", (event) => {
				if (!event.data.text().startsWith("{")) event.waitUntil(registration.showNotification("the application’s"));
			});`, v.server.URL+"/belfry-sw.js")
	})
	site := httptest.NewServer(mux)
	v.Cleanup(func() {
		site.CloseClientConnections()
		site.Close()
	})
	return site.URL
}

// options are what the page gives the constructor beside the token.
type options struct {
	URL           string // by default the server's
	Token         string // by default one for the user, if there is one
	ServiceWorker string // by default /belfry-sw.js
	OwnWorker     string // the page registers this one first and gives it
	Timeout       int    // milliseconds
}

// open opens the website's page as a user who is signed in, and gives the
// state once belfry.js is ready.
func (v *visitor) open(user string) (state string) {
	v.Helper()
	return v.openWith(user, options{})
}

func (v *visitor) openWith(user string, o options) (state string) {
	v.Helper()
	if o.Token == "" && user != "" {
		o.Token = v.server.Token(v.T, user)
	}
	if o.URL == "" {
		o.URL = v.server.URL
	}
	v.load(v.origin + "/")
	v.eval(&state, `
		const [module, { URL, Token, ServiceWorker, OwnWorker, Timeout }] = args;
		const { Belfry } = await import(module);
		if (OwnWorker) await navigator.serviceWorker.register(OwnWorker);
		window.belfry = new Belfry({
			url: URL,
			token: () => Token,
			serviceWorker: OwnWorker ? navigator.serviceWorker.ready : ServiceWorker || undefined,
			timeout: Timeout || undefined,
		});
		return belfry.ready`, v.server.URL+"/belfry.js", o)
	return state
}

// load opens an address in the visitor's tab.
func (v *visitor) load(url string) {
	v.Helper()
	if v.page == nil {
		v.page = v.tab(url)
		return
	}
	require.NoError(v, v.page.Navigate(v.ctx, url))
}

// tab opens an address in a new tab.
func (v *visitor) tab(url string) *browsertest.Page {
	v.Helper()
	page, err := v.firefox.Open(v.ctx, url)
	require.NoError(v, err)
	return page
}

// must calls a method of Belfry's in the page and gives the state it resolves to.
func (v *visitor) must(method string) (state string) {
	v.Helper()
	v.eval(&state, `return belfry[args[0]]()`, method)
	return state
}

// failure is a BelfryError.
type failure struct {
	Code, Message string
	Status        int
}

// fails calls a method of Belfry's in the page and gives the error it rejects with.
func (v *visitor) fails(method string) (f failure) {
	v.Helper()
	v.eval(&f, `
		try {
			return { code: "none", message: await belfry[args[0]]() };
		} catch ({ code, message, status }) {
			return { code, message, status };
		}`, method)
	return f
}

// permission decides about notifications from an origin.
func (v *visitor) permission(origin, state string) {
	v.Helper()
	require.NoError(v, v.firefox.SetPermission(v.ctx, origin, "notifications", state))
}

// endpoint is where the page's worker is subscribed.
func (v *visitor) endpoint() *simulate.Endpoint {
	v.Helper()
	var url string
	v.eval(&url, inWorker+`return (await registration.pushManager.getSubscription()).endpoint`)
	endpoint := v.service.Endpoint(url)
	require.NotNil(v, endpoint)
	return endpoint
}

// inWorker gives a script in a page the registration of its service worker.
const inWorker = `const [registration] = await navigator.serviceWorker.getRegistrations(); `

// subscribeWorker subscribes the website's service worker without Belfry, with
// a VAPID key of the test's own, so that the test pushes what it likes.
func (v *visitor) subscribeWorker(script string) {
	v.Helper()
	var err error
	v.vapidPrivate, v.vapidPublic, err = webpush.GenerateVAPIDKeys()
	require.NoError(v, err)
	v.load(v.origin + "/")
	v.eval(&v.subscription, `
		const [script, applicationServerKey] = args;
		await navigator.serviceWorker.register(script);
		const registration = await navigator.serviceWorker.ready;
		return registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey })`, script, v.vapidPublic)
}

// push sends a message to the subscription of subscribeWorker, and returns
// when the browser has handled it.
func (v *visitor) push(message string) {
	v.Helper()
	endpoint := v.service.Endpoint(v.subscription.Endpoint)
	sendWebPush(v.T, []byte(message), v.subscription, v.vapidPublic, v.vapidPrivate)
	v.awaitDecrypted(endpoint, len(endpoint.Receipts()))
}

func sendWebPush(t *testing.T, message []byte, to *webpush.Subscription, public, private string) int {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	response, err := webpush.SendNotification(message, to, &webpush.Options{
		HTTPClient:      &http.Client{Transport: transport, Timeout: time.Minute},
		Subscriber:      "operator@example.org",
		TTL:             60,
		VAPIDPublicKey:  public,
		VAPIDPrivateKey: private,
	})
	require.NoError(t, err)
	response.Body.Close()
	return response.StatusCode
}

// awaitDecrypted waits until the browser acknowledged n messages, all of them
// decrypted and handled without an error.
func (v *visitor) awaitDecrypted(endpoint *simulate.Endpoint, n int) {
	v.Helper()
	acks, err := endpoint.AwaitAck(v.ctx, n)
	require.NoError(v, err)
	for _, ack := range acks {
		require.Equal(v, simulate.Decrypted, ack.Code)
	}
}

// shown is a notification on the screen.
type shown struct {
	Title, Body, Tag string
	Data             struct {
		Belfry struct{ ID, Navigate string }
	}
}

// awaitShown waits until a notification with the title is shown, and gives all that are.
func (v *visitor) awaitShown(title string) (all []shown) {
	v.Helper()
	v.awaitTrue(v.page, fmt.Sprintf(`(await registration.getNotifications()).some(({ title }) => title === %s)`, quoted(title)))
	v.eval(&all, inWorker+`
		const all = await registration.getNotifications();
		return all.map(({ title, body, tag, data }) => ({ title, body, tag, data }))`)
	return all
}

// awaitTrue waits until an expression is true in a page.
func (v *visitor) awaitTrue(page *browsertest.Page, expression string) {
	v.Helper()
	err := page.Eval(v.ctx, nil, inWorker+`
		for (const start = Date.now(); Date.now() - start < 60_000; ) {
			if (`+expression+`) return;
			await new Promise((resolve) => setTimeout(resolve, 20));
		}
		throw new Error("not within a minute: " + args[0])`, expression)
	require.NoError(v, err)
}

// click clicks a notification on the screen.
func (v *visitor) click(title string) {
	v.Helper()
	eventually(v.T, "a notification to click: "+title, func() bool { return v.firefox.ClickAlert(v.ctx, title) == nil })
}

// dismiss closes a notification on the screen.
func (v *visitor) dismiss(title string) {
	v.Helper()
	eventually(v.T, "a notification to close: "+title, func() bool { return v.firefox.CloseAlert(v.ctx, title) == nil })
}

// awaitTold waits until the browser has said this of a notification, in order.
func (v *visitor) awaitTold(id string, what ...string) {
	v.Helper()
	eventually(v.T, fmt.Sprintf("the browser tells that it was %v", what), func() bool {
		return slices.Equal(v.server.Told(v.T, id), slices.Sorted(slices.Values(what)))
	})
}

// tabs gives the open tabs of the website.
func (v *visitor) tabs() (tabs []*browsertest.Page) {
	v.Helper()
	all, err := v.firefox.Pages(v.ctx)
	require.NoError(v, err)
	for _, tab := range all {
		if strings.HasPrefix(tab.URL, v.origin+"/") {
			tabs = append(tabs, tab)
		}
	}
	return tabs
}

// awaitTab waits until an address is open in a tab.
func (v *visitor) awaitTab(url string) (found *browsertest.Page) {
	v.Helper()
	eventually(v.T, url+" is open", func() bool {
		for _, tab := range v.tabs() {
			if tab.URL == url {
				found = tab
			}
		}
		return found != nil
	})
	return found
}

func (v *visitor) activate(page *browsertest.Page) {
	v.Helper()
	require.NoError(v, page.Activate(v.ctx))
}

// leave closes the website.
func (v *visitor) leave() {
	v.Helper()
	require.NoError(v, v.page.Close(v.ctx))
	v.page = nil
}

// goHome leaves no trace of the website in the browser.
func (v *visitor) goHome() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	pages, _ := v.firefox.Pages(ctx)
	for _, page := range pages {
		if !strings.HasPrefix(page.URL, v.origin) && !strings.HasPrefix(page.URL, v.server.URL) {
			continue
		}
		page.Eval(ctx, nil, `for (const each of await navigator.serviceWorker.getRegistrations()) await each.unregister()`)
		page.Close(ctx)
	}
}

func (v *visitor) host() string { return strings.TrimPrefix(v.origin, "http://") }

func (v *visitor) eval(out any, body string, args ...any) {
	v.Helper()
	require.NoError(v, v.page.Eval(v.ctx, out, body, args...))
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	require.Eventually(t, is, time.Minute, 20*time.Millisecond, what)
}

func quoted(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}
