package main_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/push/webpush"
	"github.com/belfryhq/belfry/store/storetest"
)

// These scenarios run in a real Firefox, against a real Belfry and a push
// service of our own: see browser_visitor_test.go for how they are set up.

func TestBrowser_ShowsWhatWasSent(t *testing.T) {
	v := visit(t)
	require.Equal(t, "unsubscribed", v.open("alice"))
	require.Equal(t, "subscribed", v.must("subscribe"))
	require.Len(t, v.server.Subscriptions(t, "alice"), 1)

	v.server.Send(t, "alice", content{Title: "Grüße aus 東京", Body: "Die Glocke 🔔 läutet", URL: v.origin + "/read"})
	v.awaitDecrypted(v.endpoint(), 1)
	shown := v.awaitShown("Grüße aus 東京")
	require.Len(t, shown, 1)
	require.Equal(t, "Die Glocke 🔔 läutet", shown[0].Body)
	require.Equal(t, v.origin+"/read", shown[0].Data.Belfry.Navigate)
	require.NotEmpty(t, shown[0].Data.Belfry.ID)
	require.Equal(t, shown[0].Data.Belfry.ID, shown[0].Tag, "without a tag, a notification replaces only itself")
}

func TestBrowser_ShowsWhatWasSentOverPostgreSQL(t *testing.T) {
	v := visit(t, "--database-url", storetest.Postgres(t).NewDatabase(t))
	v.open("alice")
	require.Equal(t, "subscribed", v.must("subscribe"))
	v.server.Send(t, "alice", content{Title: "kept in PostgreSQL"})
	v.awaitDecrypted(v.endpoint(), 1)
	v.awaitShown("kept in PostgreSQL")
}

func TestBrowser_ANewerNotificationOfTheSameTagReplaces(t *testing.T) {
	v := visit(t)
	v.open("alice")
	v.must("subscribe")
	v.server.Send(t, "alice", content{Title: "one message", Tag: "inbox"})
	v.awaitShown("one message")
	v.server.Send(t, "alice", content{Title: "two messages", Tag: "inbox"})
	shown := v.awaitShown("two messages")
	require.Len(t, shown, 1)
	require.Equal(t, "inbox", shown[0].Tag)
}

func TestBrowser_AClickOpensTheURLOrGoesToItsTab(t *testing.T) {
	v := visit(t)
	v.open("alice")
	v.must("subscribe")
	url := v.origin + "/read?all=1#last"

	v.server.Send(t, "alice", content{Title: "first", URL: url})
	v.awaitShown("first")
	v.click("first")
	read := v.awaitTab(url)

	v.activate(v.page)
	v.server.Send(t, "alice", content{Title: "second", URL: url})
	v.awaitShown("second")
	v.click("second")
	v.awaitTrue(read, `document.hasFocus()`)
	require.Len(t, v.tabs(), 2, "the page that was there, and the one that the first click opened")
}

func TestBrowser_TellsWhatBecameOfANotification(t *testing.T) {
	v := visit(t)
	v.open("alice")
	v.must("subscribe")
	all := []string{"shown", "clicked", "closed"}

	id := v.server.Send(t, "alice", content{Title: "to be clicked", URL: v.origin + "/read", Receipts: all})
	v.awaitShown("to be clicked")
	v.awaitTold(id, "shown")
	eventually(t, "both are events", func() bool { return len(v.server.Events(t, id)) == 2 })
	require.ElementsMatch(t, []string{"delivery.delivered", "delivery.shown"}, v.server.Events(t, id), "it may be shown before Belfry has the answer")
	v.click("to be clicked")
	v.awaitTold(id, "shown", "clicked")

	replaced := v.server.Send(t, "alice", content{Title: "one message", Tag: "inbox", Receipts: all})
	v.awaitShown("one message")
	v.awaitTold(replaced, "shown")
	closed := v.server.Send(t, "alice", content{Title: "two messages", Tag: "inbox", Receipts: all})
	v.awaitShown("two messages")
	v.awaitTold(closed, "shown")
	v.dismiss("two messages")
	v.awaitTold(closed, "shown", "closed")

	partly := v.server.Send(t, "alice", content{Title: "clicked, and that is all", Receipts: []string{"clicked"}})
	v.awaitShown("clicked, and that is all")
	v.click("clicked, and that is all")
	v.awaitTold(partly, "clicked")

	require.Equal(t, []string{"clicked", "shown"}, v.server.Told(t, id), "a click is no close")
	require.Equal(t, []string{"shown"}, v.server.Told(t, replaced), "nor is a newer one that takes the place")
}

func TestBrowser_ShowsWhatItCannotTell(t *testing.T) {
	v := visit(t)
	v.open("alice")
	v.must("subscribe")
	v.eval(nil, `
		const database = await new Promise((resolve) => { indexedDB.open("belfry", 1).onsuccess = ({ target }) => resolve(target.result); });
		const store = database.transaction("wishes", "readwrite").objectStore("wishes");
		const [wish] = await new Promise((resolve) => { store.getAll().onsuccess = ({ target }) => resolve(target.result); });
		await new Promise((resolve) => { store.put({ ...wish, url: args[0] }).onsuccess = resolve; });
		database.close();`, nowhere)
	id := v.server.Send(t, "alice", content{Title: "in the dark", Receipts: []string{"shown"}})
	v.awaitShown("in the dark")
	v.awaitDecrypted(v.endpoint(), 1)
	require.Empty(t, v.server.Told(t, id))
}

func TestBrowser_UnsubscribeEndsItEverywhere(t *testing.T) {
	v := visit(t)
	v.open("alice")
	v.must("subscribe")
	endpoint := v.endpoint()
	require.Equal(t, "unsubscribed", v.must("unsubscribe"))
	require.Empty(t, v.server.Subscriptions(t, "alice"))
	eventually(t, "the push service answers 410", endpoint.Expired)

	require.Equal(t, "unsubscribed", v.open("alice"), "opening the page does not subscribe again")
	require.Equal(t, "subscribed", v.must("subscribe"))
	require.Len(t, v.server.Subscriptions(t, "alice"), 1)
}

func TestBrowser_UnsubscribesWithoutBelfry(t *testing.T) {
	v := visit(t)
	v.open("alice")
	v.must("subscribe")
	endpoint := v.endpoint()
	v.openWith("alice", options{URL: nowhere})
	require.Equal(t, "unsubscribed", v.must("unsubscribe"))
	eventually(t, "the push service answers 410", endpoint.Expired)

	require.Len(t, v.server.Subscriptions(t, "alice"), 1, "Belfry was not told")
	v.server.Send(t, "alice", content{Title: "to nobody"})
	eventually(t, "the 410 deletes the row", func() bool { return len(v.server.Subscriptions(t, "alice")) == 0 })
}

func TestBrowser_WithoutStorageItStillWorksInThePage(t *testing.T) {
	v := visit(t)
	v.open("alice")
	v.eval(nil, `IDBFactory.prototype.open = () => { throw new DOMException("refused", "SecurityError") }`)
	require.Equal(t, "subscribed", v.must("subscribe"))
	require.Len(t, v.server.Subscriptions(t, "alice"), 1)
	require.Equal(t, "unsubscribed", v.must("unsubscribe"))
	require.Empty(t, v.server.Subscriptions(t, "alice"))
}

func TestBrowser_OpeningThePageMovesTheBrowserToWhoIsSignedIn(t *testing.T) {
	v := visit(t)
	v.open("alice")
	v.must("subscribe")
	require.Equal(t, "subscribed", v.open("bob"))
	require.Empty(t, v.server.Subscriptions(t, "alice"))
	require.Len(t, v.server.Subscriptions(t, "bob"), 1)

	v.server.Send(t, "bob", content{Title: "for bob"})
	v.awaitShown("for bob")
}

func TestBrowser_OpeningThePageSubscribesNobodyAnew(t *testing.T) {
	v := visit(t)
	v.open("alice")
	require.Equal(t, "unsubscribed", v.open("alice"))
	require.Empty(t, v.server.Subscriptions(t, "alice"))

	var workers int
	v.eval(&workers, `return (await navigator.serviceWorker.getRegistrations()).length`)
	require.Zero(t, workers)
}

func TestBrowser_OpeningThePageTakesUpANewVAPIDKey(t *testing.T) {
	v := visit(t)
	v.open("alice")
	v.must("subscribe")
	old, before := v.endpoint(), v.server.Subscriptions(t, "alice")
	v.server.RotateKey(t)

	require.Equal(t, "subscribed", v.open("alice"))
	after := v.server.Subscriptions(t, "alice")
	require.Len(t, after, 1, "the new subscription replaces the old one")
	require.NotEqual(t, before, after)
	eventually(t, "the old endpoint answers 410", old.Expired)

	v.server.Send(t, "alice", content{Title: "with the new key"})
	v.awaitShown("with the new key")
}

func TestBrowser_ANewVAPIDKeyAndANewUserAtOnce(t *testing.T) {
	v := visit(t)
	v.open("alice")
	v.must("subscribe")
	v.server.RotateKey(t)
	require.Equal(t, "subscribed", v.open("bob"), "what it replaces is not bob's, so it replaces nothing")
	require.Len(t, v.server.Subscriptions(t, "bob"), 1)
}

func TestBrowser_SubscribesAnewWhereThePushServiceKnowsAnotherKey(t *testing.T) {
	v := visit(t)
	v.open("alice")
	v.must("subscribe")
	old, before := v.endpoint(), v.server.Subscriptions(t, "alice")
	other, _, err := webpush.GenerateKey()
	require.NoError(t, err)
	old.BindTo(other)
	v.server.Send(t, "alice", content{Title: "refused"})
	eventually(t, "Belfry learns of it", func() bool {
		var list struct {
			Subscriptions []struct {
				KeyMismatch bool `json:"key_mismatch"`
			}
		}
		v.server.call("GET", "/v1/users/alice/subscriptions", nil, &list)
		return list.Subscriptions[0].KeyMismatch
	})

	require.Equal(t, "subscribed", v.open("alice"))
	after := v.server.Subscriptions(t, "alice")
	require.Len(t, after, 1, "the new subscription replaces the old one")
	require.NotEqual(t, before, after)
	eventually(t, "the old endpoint answers 410", old.Expired)
	v.server.Send(t, "alice", content{Title: "with the right key"})
	v.awaitShown("with the right key")
}

func TestBrowser_RegistersItsNewEndpointWithoutAPage(t *testing.T) {
	v := visit(t)
	v.open("alice")
	v.must("subscribe")
	v.leave()

	for _, what := range []string{"once", "and again, with a renewed renewal token"} {
		before := v.server.Subscriptions(t, "alice")
		v.service.ForgetBrowsers()
		eventually(t, "the service worker registers the new endpoint in place of the old one, "+what, func() bool {
			after := v.server.Subscriptions(t, "alice")
			return len(after) == 1 && after[0] != before[0]
		})
	}

	v.server.Send(t, "alice", content{Title: "still here"})
	require.Equal(t, "subscribed", v.open("alice"))
	v.awaitShown("still here")
}

func TestBrowser_KnowsWhereItStands(t *testing.T) {
	v := visit(t)
	v.permission(v.origin, "prompt")
	require.Equal(t, "prompt", v.open("alice"))
	v.permission(v.origin, "denied")
	require.Equal(t, "denied", v.must("state"))
	v.permission(v.origin, "granted")
	require.Equal(t, "unsubscribed", v.must("state"))
}

func TestBrowser_SaysWhatWentWrong(t *testing.T) {
	t.Run("notifications are blocked", func(t *testing.T) {
		v := visit(t)
		v.permission(v.origin, "denied")
		v.open("alice")
		failure := v.fails("subscribe")
		require.Equal(t, "denied", failure.Code)
		require.Contains(t, failure.Message, "site settings")
	})
	t.Run("Belfry cannot be reached", func(t *testing.T) {
		v := visit(t)
		v.openWith("alice", options{URL: nowhere})
		failure := v.fails("subscribe")
		require.Equal(t, "unreachable", failure.Code)
		require.Contains(t, failure.Message, strings.TrimPrefix(nowhere, "http://"))
		require.Equal(t, "unsubscribed", v.must("state"))

		require.Equal(t, "subscribed", v.open("alice"), "the next page open makes good what failed")
	})
	t.Run("nobody is signed in", func(t *testing.T) {
		v := visit(t)
		v.openWith("", options{})
		require.Equal(t, "unauthorized", v.fails("subscribe").Code)
	})
	t.Run("the token is not accepted", func(t *testing.T) {
		v := visit(t)
		v.openWith("", options{Token: "nonsense"})
		failure := v.fails("subscribe")
		require.Equal(t, "unauthorized", failure.Code)
		require.Equal(t, http.StatusUnauthorized, failure.Status)
	})
	t.Run("there is no service worker", func(t *testing.T) {
		v := visit(t)
		v.openWith("alice", options{ServiceWorker: "/nothing-here.js"})
		failure := v.fails("subscribe")
		require.Equal(t, "service-worker", failure.Code)
		require.Contains(t, failure.Message, "/nothing-here.js")
	})
	t.Run("the push service never answers", func(t *testing.T) {
		v := visit(t)
		v.openWith("alice", options{Timeout: 5000}) // for the worker and for Belfry too, which are to be in time
		v.eval(nil, `PushManager.prototype.subscribe = () => new Promise(() => {})`)
		require.Equal(t, "timeout", v.fails("subscribe").Code)
	})
	t.Run("the push service is away", func(t *testing.T) {
		v := visit(t)
		v.open("alice")
		v.service.Stop()
		t.Cleanup(func() { v.service.Start() })
		require.Equal(t, "push-service", v.fails("subscribe").Code)

		require.NoError(t, v.service.Start())
		require.Equal(t, "subscribed", v.open("alice"), "the next page open makes good what failed")
	})
}

func TestServiceWorker_ShowsAMessageThatIsNotBelfrys(t *testing.T) {
	v := visit(t)
	v.subscribeWorker("/belfry-sw.js")
	v.push("no JSON at all")
	shown := v.awaitShown(v.host())
	require.Equal(t, "no JSON at all", shown[0].Body)
}

func TestServiceWorker_ARepeatedMessageReplacesItself(t *testing.T) {
	v := visit(t)
	v.subscribeWorker("/belfry-sw.js")
	v.push(`{"id":"a","notification":{"title":"first"}}`)
	v.push(`{"id":"b","notification":{"title":"second"}}`)
	v.push(`{"id":"a","notification":{"title":"first"}}`)
	require.Len(t, v.awaitShown("first"), 2)
}

func TestServiceWorker_ShowsTheLongestMessage(t *testing.T) {
	const start, end = `{"id":"a","notification":{"title":"long","body":"`, `"}}`
	body := strings.Repeat("x", 3993-len(start)-len(end))
	v := visit(t)
	v.subscribeWorker("/belfry-sw.js")
	v.push(start + body + end)
	require.Equal(t, body, v.awaitShown("long")[0].Body)
}

func TestServiceWorker_OpensOnlyWebAddresses(t *testing.T) {
	v := visit(t)
	v.subscribeWorker("/belfry-sw.js")
	for _, address := range []string{"javascript:alert(1)", "data:text/html,hello", "file:///etc/passwd", "about:config"} {
		v.push(`{"id":"a","notification":{"title":"click me","navigate":"` + address + `"}}`)
		v.awaitShown("click me")
		v.click("click me")
		v.awaitTrue(v.page, `(await registration.getNotifications()).length === 0`)
	}
	v.push(`{"id":"b","notification":{"title":"a path","navigate":"/read"}}`)
	v.awaitShown("a path")
	v.click("a path")
	v.awaitTab(v.origin + "/read")
	require.Len(t, v.tabs(), 2)
}

func TestServiceWorker_LivesInTheApplicationsOwn(t *testing.T) {
	v := visit(t)
	v.openWith("alice", options{OwnWorker: "/app-sw.js"})
	require.Equal(t, "subscribed", v.must("subscribe"))
	v.server.Send(t, "alice", content{Title: "Belfry’s"})
	require.Len(t, v.awaitShown("Belfry’s"), 1)
	require.Equal(t, "unsubscribed", v.must("unsubscribe"))

	v.subscribeWorker("/app-sw.js")
	v.push("the application’s own message")
	require.Len(t, v.awaitShown("the application’s"), 2, "Belfry’s part shows nothing for it")
}

func TestDemo_SendsAndTellsWhatBecameOfIt(t *testing.T) {
	v := visit(t)
	v.permission(v.server.URL, "granted")
	v.load(v.server.URL + "/demo")
	v.awaitTrue(v.page, `document.querySelector("#subscribe:not([hidden])")`)
	v.eval(nil, `document.querySelector("#subscribe").click()`)
	v.awaitTrue(v.page, `document.querySelector("#state").dataset.state === "subscribed"`)
	v.eval(nil, `document.querySelector("#title").value = "from the demo"; document.querySelector("#send").click()`)
	v.awaitShown("from the demo")
	v.awaitTrue(v.page, `document.querySelector("#sent")?.innerText.includes("Shown by the browser")`)
	v.click("from the demo")
	v.awaitTrue(v.page, `document.querySelector("#sent")?.innerText.includes("Clicked")`)
	v.eval(nil, `document.querySelector("#unsubscribe").click()`)
	v.awaitTrue(v.page, `document.querySelector("#state").dataset.state === "unsubscribed"`)
}
