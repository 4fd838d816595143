package main_test

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api"
	"github.com/belfryhq/belfry/cmd/belfry/browsertest"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/simulate"
)

// The page at /debug/ in a real Firefox, with a real Belfry behind it.

// operator is a person who looks at the page.
type operator struct {
	*visitor
	recording *browsertest.Recording
}

// look opens the page, which asks for the key. In the end, nothing may have
// failed in it, and nothing been asked of anybody else.
func look(t *testing.T, flags ...string) *operator {
	o := &operator{visitor: visit(t, flags...)}
	o.page = o.tab("about:blank")
	var err error
	o.recording, err = o.page.Record(o.ctx)
	require.NoError(t, err)
	o.load(o.server.URL + "/debug/")
	o.eval(nil, `
		window.violations = [];
		document.addEventListener("securitypolicyviolation", ({ blockedURI, violatedDirective }) => violations.push(violatedDirective + " " + blockedURI))`)
	t.Cleanup(func() {
		o.recording.Stop()
		if t.Failed() {
			return
		}
		require.Empty(t, o.recording.Errors())
		requests := o.recording.Requests()
		require.NotEmpty(t, requests)
		for _, url := range requests {
			if strings.HasPrefix(url, "data:") {
				continue
			}
			require.True(t, strings.HasPrefix(url, o.server.URL+"/debug/") || strings.HasPrefix(url, o.server.URL+"/v1/"), url)
			require.NotContains(t, url, adminKey)
		}
	})
	return o
}

// enter enters a key and looks inside.
func (o *operator) enter(key string) {
	o.Helper()
	o.eval(nil, `
		document.getElementById("key").value = args[0];
		document.querySelector("#enter button").click()`, key)
}

// await waits until the page shows a text.
func (o *operator) await(text string) {
	o.Helper()
	o.awaitIn("body", text)
}

// awaitIn waits until an element shows a text.
func (o *operator) awaitIn(selector, text string) {
	o.Helper()
	var shown string
	err := o.page.Eval(o.ctx, &shown, `
		const normal = (text) => text.replace(/\s+/g, " ");
		for (const start = Date.now(); Date.now() - start < 60_000; ) {
			if ([...document.querySelectorAll(args[0])].some((each) => normal(each.innerText).includes(args[1]))) return "";
			await new Promise((resolve) => setTimeout(resolve, 20));
		}
		return document.body.innerText`, selector, text)
	require.NoError(o, err)
	require.Empty(o, shown, "%s does not show %q within a minute, but this", selector, text)
}

// follow clicks the link with a text in one of the page's parts, as soon as it is there.
func (o *operator) follow(text string) {
	o.Helper()
	o.awaitIn("section a", text)
	o.eval(nil, `[...document.querySelectorAll("section a")].find((each) => each.innerText === args[0]).click()`, text)
}

// search uses the box in the header and one of its buttons.
func (o *operator) search(query, button string) {
	o.Helper()
	o.eval(nil, `
		document.getElementById("query").value = args[0];
		[...document.querySelectorAll("#search button")].find((each) => each.innerText === args[1]).click()`, query, button)
}

// goTo goes to an address within the page.
func (o *operator) goTo(hash string) {
	o.Helper()
	o.eval(nil, `location.hash = args[0]`, hash)
}

// fits requires that nothing is wider than a phone or a laptop, and that
// nothing was blocked.
func (o *operator) fits() {
	o.Helper()
	for _, width := range []int{390, 1280} {
		require.NoError(o, o.page.Resize(o.ctx, width, 800))
		var over int
		o.eval(&over, `return document.documentElement.scrollWidth - document.documentElement.clientWidth`)
		require.Zero(o, over, "so much wider than a screen of %d", width)
	}
	var violations []string
	o.eval(&violations, `return violations`)
	require.Empty(o, violations)
}

// browserOf registers a simulated browser for a user, with a key of the user's app.
func (s server) browserOf(t *testing.T, key, user string, service *simulate.WebPush, answers ...simulate.Answer) *simulate.Endpoint {
	t.Helper()
	endpoint := service.NewEndpoint(answers...)
	sub := simulate.NewBrowser(push.Endpoint(endpoint.URL)).Subscription(push.User{}, nil)
	status, answer := s.tryAs(key, "PUT", "/v1/users/"+url.PathEscape(user)+"/subscriptions", map[string]any{
		"endpoint": endpoint.URL,
		"keys":     map[string]string{"p256dh": push.EncodeBase64(sub.P256dh), "auth": push.EncodeBase64(sub.Auth)},
	})
	require.Equal(t, http.StatusCreated, status, "%s", answer)
	return endpoint
}

// deliver sends a user a notification that arrives, and gives its ID.
func (o *operator) deliver(user string) (id string) {
	o.Helper()
	var accepted struct{ Notifications []struct{ ID string } }
	o.server.call("POST", "/v1/notifications", map[string]string{"user": user, "title": "hello"}, &accepted)
	id = accepted.Notifications[0].ID
	eventually(o.T, "it is delivered", func() bool {
		var n struct{ State string }
		o.server.call("GET", "/v1/notifications/"+id, nil, &n)
		return n.State == "finished"
	})
	return id
}

func TestBrowser_DebugPageAsksForAKeyAndForgetsIt(t *testing.T) {
	o := look(t)
	o.await("API key of the app default, with the scope admin")
	o.enter("not a key")
	o.await("That is no API key")
	o.enter("belfry_somebody-elses")
	o.await("Belfry does not know this key.")
	var made struct{ Key string }
	o.server.call("POST", "/v1/keys", map[string]any{"scopes": []string{"read"}}, &made)
	o.enter(made.Key)
	o.await("it lacks the scope admin")
	o.await("To look inside takes the scope admin and the app default.")

	o.enter(adminKey)
	o.await("Everything flows.")
	o.fits()
	o.page.Navigate(o.ctx, o.server.URL+"/debug/#/lanes")
	o.await("No lanes: nothing was sent in the last minutes.")

	o.eval(nil, `document.getElementById("forget").click()`)
	o.awaitIn("#door", "API key of the app default")
	var kept string
	o.eval(&kept, `return JSON.stringify([sessionStorage, localStorage, document.cookie, document.body.innerText, location.href])`)
	require.NotContains(t, kept, adminKey)
	var view string
	o.eval(&view, `return document.getElementById("view").innerHTML`)
	require.Empty(t, view, "what it showed goes too")
}

func TestBrowser_DebugPageShowsWhatFlowsAndWhatIsPaused(t *testing.T) {
	refusing, err := simulate.OpenWebPush()
	require.NoError(t, err)
	t.Cleanup(refusing.Stop)
	o := look(t, append(allowing(refusing), "--idle-after", "1m")...)
	host := strings.TrimPrefix(refusing.Origin(), "http://")
	for _, user := range []string{"ann", "bob", "cem"} { // so many it takes
		o.server.browserOf(t, adminKey, user, refusing, simulate.Status(http.StatusUnauthorized))
		o.server.Send(t, user, content{Title: "refused"})
	}
	o.server.browserOf(t, adminKey, "alice", o.service)
	o.deliver("alice")

	o.enter(adminKey)
	o.awaitIn("#status", "1 lane is paused: "+host)
	o.awaitIn("tr", host+" webpush · app default paused credentials refused 401")
	o.awaitIn("tr", "in ")
	o.awaitIn("tr", strings.TrimPrefix(o.service.Origin(), "http://")+" webpush · app default open")
	o.awaitIn(".tile[data-name=backlog]", "Backlog 3")
	o.awaitIn(".tile[data-name=accepted]", "Accepted 0/s")
	o.awaitIn(".kinds", "user 4")
	o.awaitIn("table", "journal")
	o.await("None for ")
	o.fits()

	before := time.Now()
	o.eval(nil, `window.tile = document.querySelector(".tile[data-name=delivered]"); window.rates = new Set();
		new MutationObserver(() => rates.add(tile.querySelector(".value").innerText)).observe(tile, { subtree: true, childList: true, characterData: true })`)
	for range 20 {
		o.server.Send(t, "alice", content{Title: "more"})
	}
	o.eval(nil, `for (const start = Date.now(); Date.now() - start < 60_000 && ![...rates].some((each) => each !== "0"); ) await new Promise((resolve) => setTimeout(resolve, 20));
		if (![...rates].some((each) => each !== "0")) throw new Error("nothing is delivered in " + [...rates])`)
	t.Logf("a delivery was on the page %s after it was sent", time.Since(before).Round(time.Millisecond))

	o.follow("All lanes")
	o.awaitIn("h1", "Lanes")
	o.follow(host)
	o.awaitIn("h1", host)
	o.await("It is paused: credentials refused. The push host said: 401")
	o.fits()

	o.search("cem", "Open user")
	o.awaitIn(".sentences", "cem cannot be reached now: "+host+" refuses the app's credentials.")
	o.awaitIn(".title", "cem waiting app default")
	o.awaitIn(".cards .state[data-tone=bad]", "lane paused")
	o.awaitIn(".cards .state[data-tone=busy]", "waiting")
	o.awaitIn(".cards > li", "one waits for its lane")
}

func TestBrowser_DebugPageFindsAUserAndSaysWhy(t *testing.T) {
	o := look(t, "--idle-after", "1m")
	o.server.browserOf(t, adminKey, "alice", o.service)
	id := o.deliver("alice")
	o.enter(adminKey)
	o.await("Everything flows.")

	o.search("ALI", "Find")
	o.awaitIn("h1", "Search for “ALI”")
	o.fits()
	o.follow("alice")
	o.awaitIn("h1", "alice")
	o.awaitIn(".crumbs", "belfry Users Range")
	o.awaitIn(".cards > li", strings.TrimPrefix(o.service.Origin(), "http://")+" idle Active: registered at ")
	o.awaitIn("table", "delivered")
	o.follow(id)
	o.awaitIn(".why", "Notification "+id)
	o.awaitIn(".why .attempts", "delivered 201")
	var address string
	o.eval(&address, `return location.hash`)
	require.Contains(t, address, "/default:alice?notification="+id)
	o.fits()
	o.follow("Close")

	var failing []simulate.Answer
	for range 8 {
		failing = append(failing, simulate.Status(http.StatusInternalServerError))
	}
	o.server.browserOf(t, adminKey, "alice", o.service, failing...)
	o.server.Send(t, "alice", content{Title: "to both"})
	o.awaitIn(".cards > li", "waiting to retry")
	o.awaitIn(".cards > li", "last send: retry next try in ")

	o.search("bob", "Open user")
	o.awaitIn("h1", "bob")
	o.await("not in memory")
	o.await("None: nothing can be delivered to this user.")
	o.server.browserOf(t, adminKey, "bob", o.service)
	o.eval(nil, `location.reload()`)
	o.awaitIn(".cards", strings.TrimPrefix(o.service.Origin(), "http://"))
}

func TestBrowser_DebugPageShowsWhatOthersWroteAsText(t *testing.T) {
	o := look(t, "--idle-after", "1m")
	const evil = `<img src=x onerror="window.harm=1"><script>window.harm=1</script>`
	o.server.browserOf(t, adminKey, evil, o.service)
	id := o.deliver(evil)
	o.enter(adminKey)
	o.await("Everything flows.")
	o.search("<IMG SRC", "Find")
	o.awaitIn("h1", "Search for “<IMG SRC”")
	o.follow(evil)
	o.awaitIn("h1", evil)
	o.awaitIn(".crumbs", evil)
	o.follow(id)
	o.awaitIn(".why", "Notification "+id)
	o.fits()
	o.search(evil, "Open user")
	o.awaitIn("h1", evil)
	o.awaitIn(".crumbs", "Range")
	o.awaitIn(".cards", "Active: registered at ")
	o.goTo("#/lanes/" + url.PathEscape(evil))
	o.await("There is no actor at this path now")
	var harm []any
	o.eval(&harm, `return [document.querySelectorAll("img, body script").length, window.harm ?? null]`)
	require.Equal(t, []any{0.0, nil}, harm)
}

func TestBrowser_DebugPageShowsUsersOfOtherAppsAsFarAsTheyAreInMemory(t *testing.T) {
	o := look(t, "--idle-after", "1m")
	var shop struct{ Key string }
	o.server.call("POST", "/v1/apps", map[string]any{"name": "shop", "push_hosts": []string{strings.TrimPrefix(o.service.Origin(), "http://")}}, &shop)
	hold := make(chan struct{})
	defer close(hold)
	endpoint := o.server.browserOf(t, shop.Key, "zoe", o.service, simulate.Status(http.StatusCreated).When(hold))
	status, answer := o.server.tryAs(shop.Key, "POST", "/v1/notifications", map[string]string{"user": "zoe", "title": "hello"})
	require.Equal(t, http.StatusAccepted, status, "%s", answer)
	_, err := endpoint.Await(o.ctx, 1)
	require.NoError(t, err)
	o.enter(adminKey)
	o.await("Everything flows.")
	o.search("zoe", "Find")
	o.follow("zoe")
	o.awaitIn("h1", "zoe")
	o.await("What the store knows of users of the app shop is for that app’s keys alone")
	o.awaitIn(".title", "zoe delivering app shop")
	o.awaitIn(".cards", "webpush sending")
	o.awaitIn(".cards", "one in flight")
	o.fits()
}

func TestBrowser_DebugPagePages(t *testing.T) {
	o := look(t, "--idle-after", "1m")
	var users []string
	const shard = 64 // of 1,024, in each of 16 ranges
	for i := 0; len(users) < 60; i++ {
		if user := fmt.Sprintf("user-%04d", i); (push.User{App: push.DefaultApp, ID: user}).Shard() < shard {
			users = append(users, user)
		}
	}
	o.server.call("POST", "/v1/notifications", map[string]any{"users": users, "title": "hello"}, nil)
	o.enter(adminKey)
	o.await("Everything flows.")
	o.goTo("#/registry")
	o.follow("Range 00")
	o.await("1–50 of 60")
	o.awaitIn("tbody", users[49])
	o.fits()
	o.follow("Next 50")
	o.await("51–60 of 60")
	o.awaitIn("tbody", users[59])
	o.follow("First page")
	o.await("1–50 of 60")
}

func TestBrowser_DebugPageSaysThatNobodyAnswersAndGoesOn(t *testing.T) {
	o := look(t)
	o.enter(adminKey)
	o.await("Everything flows.")
	require.NoError(t, o.server.stop())
	o.awaitIn("#status", "Belfry does not answer.")
	o.awaitIn("#aside", "Trying again in ")
	o.awaitIn("#aside", "The figures are ")
	o.awaitIn("main.stale", "Accepted")

	// Another process is active, and this one stands by.
	listener, err := net.Listen("tcp", strings.TrimPrefix(o.server.URL, "http://"))
	require.NoError(t, err)
	standby := &http.Server{Handler: api.Waiting("it waits for another process that is active"), ReadHeaderTimeout: time.Minute}
	go standby.Serve(listener)
	t.Cleanup(func() { standby.Close() })
	o.eval(nil, `dispatchEvent(new Event("online"))`) // which tries at once
	o.awaitIn("#status", "This process does not serve yet: it waits for another process that is active.")
	o.awaitIn("main.stale", "Accepted")
	o.fits()
	require.NoError(t, standby.Close())

	o.server.start()
	o.eval(nil, `dispatchEvent(new Event("online"))`)
	o.awaitIn("#status", "Everything flows.")
	o.awaitIn("main:not(.stale)", "Accepted")
}
