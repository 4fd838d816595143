package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// raw is what is sent to the daemon as it is.
type raw struct {
	what  string
	sends string
	want  []int // statuses, of which the first answer has one; 0 for a connection that is closed without a word
}

// post is a request with the admin key and a JSON body.
func post(path, body string, more ...string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s",
		path, adminKey, len(body), strings.Join(append(more, ""), "\r\n"), body)
}

func get(path string, more ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: x\r\n" + strings.Join(append(more, ""), "\r\n") + "\r\n"
}

const bearer = "Authorization: Bearer "

// answersTo sends bytes on a connection of its own and gives the statuses of the
// answers, until the daemon closes it or has nothing more to say.
func (d *daemon) answersTo(sends string) (statuses []int) {
	d.t.Helper()
	_, address, _ := strings.Cut(d.url, "://")
	conn, err := net.Dial("tcp", address)
	require.NoError(d.t, err)
	defer conn.Close()
	require.NoError(d.t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	go io.WriteString(conn, sends+get("/healthz", "Connection: close")) //nolint:errcheck // it may be cut in the middle
	answers := bufio.NewReader(conn)
	for {
		answer, err := http.ReadResponse(answers, nil)
		if err != nil {
			netErr, ok := err.(net.Error)
			require.False(d.t, ok && netErr.Timeout(), "neither answered nor cut: %.100q", sends)
			return statuses
		}
		_, err = io.Copy(io.Discard, answer.Body)
		statuses = append(statuses, answer.StatusCode)
		if err != nil {
			return statuses
		}
	}
}

// hostile are requests that no honest client sends.
func hostile() []raw {
	const notifications = "/v1/notifications"
	deep := func(n int) string { return strings.Repeat("[", n) }
	many := func(n int, one string) string { return strings.Repeat(one, n) }
	return []raw{
		// Sizes.
		{"a header of 1 MB", get("/healthz", "X-A: "+many(1<<20, "a")), []int{431, 0}},
		{"a header of 60 KB", get("/healthz", "X-A: "+many(60<<10, "a")), []int{431}},
		{"10,000 headers", get("/healthz", strings.TrimSuffix(many(10_000, "X-A: b\r\n"), "\r\n")), []int{431}},
		{"500 headers", get("/healthz", strings.TrimSuffix(many(500, "X-A: b\r\n"), "\r\n")), []int{200}},
		{"a path of 15 KB", get("/" + many(15<<10, "a")), []int{404}},
		{"a path of many segments", get("/" + many(5<<10, "a/")), []int{404}},
		{"a user of 15 KB", get("/v1/users/"+many(15<<10, "a")+"/subscriptions", bearer+adminKey), []int{400}},
		{"3,000 parameters", get("/v1/config?" + many(3000, "a=b&")), []int{200}},
		{"3,000 times one that there is", get("/debug/actors?"+many(1500, "limit=1&"), bearer+adminKey), []int{400}},
		{"a body of 10 GB, as it says", post(notifications, "", "Content-Length: 10000000000"), []int{400}}, // two lengths
		{"a body that is too large", post(notifications, `{"user":"a","title":"`+many(100<<10, "x")+`"}`), []int{413}},
		{"a body of 20 MB for nobody", strings.Replace(post(notifications, many(20<<20, "x")), adminKey, "wrong", 1), []int{401}},
		{"chunks without end", "POST " + notifications + " HTTP/1.1\r\nHost: x\r\n" + bearer + adminKey + "\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + many(1000, "400\r\n"+many(1024, " ")+"\r\n"), []int{413}},
		{"chunks with long extensions", "POST " + notifications + " HTTP/1.1\r\nHost: x\r\n" + bearer + adminKey + "\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + many(1000, "1;"+many(3000, "x")+"\r\nx\r\n"), []int{400, 413}},
		{"a body where there is none to be", get("/healthz", "Content-Length: 5") + "hello", []int{200}},

		// JSON.
		{"64 KiB of brackets", post(notifications, deep(60<<10)), []int{400}},
		{"2 MiB of brackets", post(notifications+"/batch", deep(2<<20-100)), []int{400}},
		{"9,000 levels", post(notifications, `{"user":"a","title":"x","data":`+deep(9000)+many(9000, "]")+`}`), []int{413}},
		{"1,900 levels", post(notifications, `{"user":"a","title":"x","data":`+deep(1900)+many(1900, "]")+`}`), []int{202}},
		{"bad UTF-8", post(notifications, "{\"user\":\"a\",\"title\":\"\xff\xfe\"}"), []int{400}},
		{"a NUL byte", post(notifications, "{\"user\":\"a\x00\",\"title\":\"x\"}"), []int{400}},
		{"an escaped NUL", post(notifications, `{"user":"a\u0000","title":"x"}`), []int{400}},
		{"lone surrogates", post(notifications, `{"user":"a\ud800","title":"x\udc00","data":"\ud800\ud800"}`), []int{202}},
		{"a number without end", post(notifications, `{"user":"a","title":"x","ttl":`+many(50<<10, "9")+`}`), []int{400}},
		{"a tiny number", post(notifications, `{"user":"a","title":"x","ttl":1e-999999999}`), []int{400}},
		{"members again and again", post(notifications, `{`+many(3000, `"title":"x",`)+`"user":"a"}`), []int{202}},
		{"thousands of members that there are not", post(notifications, `{`+many(3000, `"x":1,`)+`"user":"a"}`), []int{400}},
		{"a receipt of 10 KB", post("/v1/receipts", `{"token":"`+many(10<<10, "x")+`"}`), []int{413}},
		{"a user without end", post(notifications, `{"user":"`+many(60<<10, "é")[:60<<10]+`","title":"x"}`), []int{400, 413}},

		// Keys and tokens.
		{"a key of 15 KB", get("/v1/keys", bearer+many(15<<10, "a")), []int{401}},
		{"a token of 15 KB", get("/v1/me/subscriptions", bearer+"eyJ"+many(14<<10, "a")+".a.a"), []int{401, 405}},
		{"a token of dots", get("/v1/config", bearer+"eyJ"+many(14<<10, ".")), []int{401}},
		{"a key with spaces", get("/v1/keys", bearer+" "+adminKey), []int{401}},
		{"two keys", get("/v1/keys", bearer+"wrong", bearer+adminKey), []int{401}},
		{"another scheme", get("/v1/keys", "Authorization: Basic "+adminKey), []int{401}},
		{"an Idempotency-Key of 10 KB", post(notifications, `{"user":"a","title":"x"}`, "Idempotency-Key: "+many(10<<10, "k")), []int{400}},
		{"an Idempotency-Key of bad UTF-8", post(notifications, `{"user":"a","title":"x"}`, "Idempotency-Key: \xff\xfe"), []int{400}},
		{"an Idempotency-Key with a tab", post(notifications, `{"user":"a","title":"x"}`, "Idempotency-Key: a\tb"), []int{400}},
		{"two of them", post(notifications, `{"user":"a","title":"x"}`, "Idempotency-Key: a", "Idempotency-Key: b"), []int{400}},

		// Paths.
		{"a way up", get("/../../etc/passwd"), []int{301, 307, 404}},
		{"a way up in disguise", get("/%2e%2e/%2e%2e/etc/passwd"), []int{301, 307, 404}},
		{"a way up in a user", get("/v1/users/..%2f..%2fv1%2fkeys/subscriptions", bearer+adminKey), []int{200}}, // a user may be called so
		{"NUL in a user", get("/v1/users/a%00b/subscriptions", bearer+adminKey), []int{400}},
		{"bad UTF-8 in a user", get("/v1/users/a%ff/subscriptions", bearer+adminKey), []int{400}},
		{"a broken escape", get("/v1/users/a%f/subscriptions", bearer+adminKey), []int{400}},
		{"bad UTF-8 in a parameter", get("/debug/search?q=%ff%00", bearer+adminKey), []int{200, 400}},
		{"bad parameters", get("/debug/actors?limit=;%zz", bearer+adminKey), []int{200, 400}},
		{"negative", get("/v1/events?limit=-1", bearer+adminKey), []int{400}},
		{"an odd cursor", get("/v1/events?after="+many(5000, "x"), bearer+adminKey), []int{400}},
		{"an odd header cursor", get("/v1/events?limit=1", bearer+adminKey, "Accept: text/event-stream", "Last-Event-ID: "+many(5000, "x")), []int{400}},
		{"many ranges", get("/belfry.js", "Range: bytes="+many(2000, "0-1,")+"0-1"), []int{200, 206, 416}},

		// What is no HTTP, or not quite.
		{"noise", "\x00\x01\x02\xff\xfe\r\n\r\n", []int{400, 0}},
		{"a TLS greeting", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + many(500, "a") + "\r\n\r\n", []int{400, 0}},
		{"HTTP/0.9", "GET /\r\n\r\n", []int{400}},
		{"HTTP/2 by surprise", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{400, 404, 405, 501, 505, 0}},
		{"HTTP/9", "GET / HTTP/9.9\r\nHost: x\r\n\r\n", []int{505, 400}},
		{"a method that there is not", "BREW / HTTP/1.1\r\nHost: x\r\n\r\n", []int{404, 405}},
		{"no proxy", "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n", []int{400, 404, 405}},
		{"no proxy either", "GET http://169.254.169.254/latest HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n", []int{404}},
		{"no host", "GET /healthz HTTP/1.1\r\n\r\n", []int{400}},
		{"two hosts", get("/healthz", "Host: y"), []int{400}},
		{"a host that is none", "GET /healthz HTTP/1.1\r\nHost: a b/c\r\n\r\n", []int{400}},
		{"a NUL in a header", get("/healthz", "X-A: a\x00b"), []int{400}},
		{"a folded header", get("/healthz", "X-A: a\r\n b"), []int{200, 400}},
		{"a space before the colon", post("/v1/notifications", "{}", "Transfer-Encoding : chunked"), []int{400}},
		{"bare line feeds in a header", get("/healthz", "X-A: a\nX-B: b"), []int{200, 400}},
		{"Expect something", get("/healthz", "Expect: the-unexpected"), []int{417}},
		{"an upgrade", get("/healthz", "Connection: Upgrade", "Upgrade: websocket"), []int{200}},

		// One request that others might take for two.
		{"two lengths", post(notifications, "{}", "Content-Length: 3"), []int{400}},
		{"a length of two", post(notifications, "{}", "X: y\r\nContent-Length: 2, 3"), []int{400}},
		{"a negative length", "POST " + notifications + " HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", []int{400}},
		{"a length with a sign", "POST " + notifications + " HTTP/1.1\r\nHost: x\r\nContent-Length: +2\r\n\r\n{}", []int{400}},
		{"chunks of chunks", post(notifications, "{}", "Transfer-Encoding: chunked, chunked"), []int{400, 501}},
		{"an unknown transfer encoding", post(notifications, "{}", "Transfer-Encoding: xchunked"), []int{400, 501}},
		{"a disguised transfer encoding", post(notifications, "{}", "Transfer-Encoding: \x0bchunked"), []int{400, 501}},
		{"a chunk with a length that overflows", "POST " + notifications + " HTTP/1.1\r\nHost: x\r\n" + bearer + adminKey + "\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx", []int{400}},
		{"nonsense behind an answer", get("/healthz") + "nonsense\r\n\r\n", []int{200}},
	}
}

func TestMalicious_RequestsAreRefusedAndTheServiceStaysWell(t *testing.T) {
	d := startDaemon(t)
	before := d.residentMemory()
	for _, c := range hostile() {
		statuses := append(d.answersTo(c.sends), 0)
		require.Contains(t, c.want, statuses[0], "%s: %v", c.what, statuses)
		for _, status := range statuses {
			require.Less(t, status, 506, c.what)
			require.NotContains(t, []int{500, 502, 503}, status, c.what)
		}
		require.Equal(t, http.StatusOK, d.status("/readyz"), "the next request, after %s", c.what)
	}
	d.requireWell(before, 100)
}

// A server in front that goes by one of the two sees another request than one
// that goes by the other: nothing that follows may be taken for a request.
func TestMalicious_LengthAndChunksTogetherEndTheConnection(t *testing.T) {
	d := startDaemon(t)
	body := "0\r\n\r\n" + get("/healthz")
	for _, order := range []string{
		"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n",
		"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n",
	} {
		request := "POST /v1/receipts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + fmt.Sprintf(order, len(body)) + "\r\n" + body
		statuses := d.answersTo(request)
		require.Len(t, statuses, 1, "%v", statuses)
		require.Equal(t, http.StatusBadRequest, statuses[0])
	}
}
