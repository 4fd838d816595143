package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/belfryhq/belfry/api/client"
	"github.com/belfryhq/belfry/push"
)

// service accepts batches as Belfry does: once for each idempotency key.
type service struct {
	mu       sync.Mutex
	answers  map[string][]byte // by key
	requests atomic.Int64
	largest  int      // bytes of a request
	users    []string // who was notified, in order
	titles   map[string]bool

	refuse func(user string) string                           // why a user is refused; nil: nobody is
	fail   func(n int, w http.ResponseWriter) (answered bool) // what the n-th request meets with, from 1
	cut    func(n int) bool                                   // whether the answer to it is lost
}

// ServeHTTP takes a batch.
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	n := int(s.requests.Add(1))
	if s.fail != nil && s.fail(n, w) {
		return
	}
	answer := s.accept(r.Header.Get("Idempotency-Key"), body)
	if s.cut != nil && s.cut(n) {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	w.Write(answer)
}

func (s *service) accept(key string, body []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.largest = max(s.largest, len(body))
	if known, ok := s.answers[key]; ok {
		return known
	}
	var request client.NewNotificationBatch
	if err := json.Unmarshal(body, &request); err != nil {
		panic(err)
	}
	answer := client.NotificationBatch{Results: make([]client.BatchResult, len(request.Notifications))}
	for i, n := range request.Notifications {
		if why := s.refusal(n.User); why != "" {
			answer.Results[i].Problem = client.Problem{Code: "invalid_field", Detail: why, Field: fmt.Sprintf("notifications[%d].title", i)}
			continue
		}
		s.users = append(s.users, n.User)
		s.titles[n.Title] = true
		answer.Results[i] = client.BatchResult{Id: idAt(time.Now(), len(s.users)), User: n.User}
	}
	s.answers[key], _ = json.Marshal(answer)
	return s.answers[key]
}

func (s *service) refusal(user string) string {
	if s.refuse == nil {
		return ""
	}
	return s.refuse(user)
}

func (s *service) notified() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.users...)
}

func idAt(at time.Time, n int) string {
	var id push.ID
	for i, shift := range []int{40, 32, 24, 16, 8, 0} {
		id[i] = byte(at.UnixMilli() >> shift)
	}
	id[12], id[13], id[14], id[15] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	return id.String()
}

// Do answers without a network, for tests in fake time.
func (s *service) Do(r *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	s.ServeHTTP(recorder, r)
	return recorder.Result(), nil
}

func newService() *service {
	return &service{answers: map[string][]byte{}, titles: map[string]bool{}}
}

// clerk sends to many, through the service.
type clerk struct {
	t        *testing.T
	url      string
	doer     client.HttpRequestDoer // nil: a real connection
	title    string
	salt     string
	position string
	patience time.Duration

	out, err syncedBuffer // of the last run
}

func newClerk(t *testing.T, s *service) *clerk {
	server := httptest.NewServer(s)
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		server.Close()
	})
	return &clerk{t: t, url: server.URL, title: "The bells", patience: time.Minute}
}

func newClerkInFakeTime(t *testing.T, s *service) *clerk {
	return &clerk{t: t, url: "http://belfry", doer: s, title: "The bells", patience: 5 * time.Minute}
}

func (c *clerk) send(ctx context.Context, input io.Reader) error {
	c.t.Helper()
	doer := c.doer
	if doer == nil {
		doer = caller{c.url}
	}
	server, err := client.NewClientWithResponses(c.url, client.WithHTTPClient(doer))
	require.NoError(c.t, err)
	c.out, c.err = syncedBuffer{}, syncedBuffer{}
	screen := newScreen(&c.err, 0)
	m := mailing{
		server: c.url, notification: client.NewNotifications{Title: c.title}, salt: c.salt,
		input: input, inputName: "users.txt", positionFile: c.position,
		office: postOffice{service: server, patience: c.patience, screen: screen},
		screen: screen, out: &c.out,
	}
	return m.run(ctx)
}

// saved is what the position file says.
func (c *clerk) saved() position {
	c.t.Helper()
	p, err := loadPosition(c.position)
	require.NoError(c.t, err)
	require.NotNil(c.t, p)
	return *p
}

func (c *clerk) keepsPosition() *clerk {
	c.position = filepath.Join(c.t.TempDir(), "position")
	return c
}

// syncedBuffer may be read while it is written.
type syncedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write adds to it.
func (b *syncedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String is all that was written.
func (b *syncedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// listOf is a list of n users, and the same as the command reads it.
func listOf(n int) (users []string, text string) {
	for i := range n {
		users = append(users, "user-"+strconv.Itoa(i+1))
	}
	return users, strings.Join(users, "\n") + "\n"
}

// failingAt refuses one request; request 0 is all of them.
func failingAt(n, status int, retryAfter string) func(int, http.ResponseWriter) bool {
	return func(now int, w http.ResponseWriter) bool {
		if n != 0 && n != now {
			return false
		}
		w.Header().Set("Content-Type", "application/problem+json")
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"status":%d,"code":"code_%d","detail":"It is so."}`, status, status)
		return true
	}
}

// cutAt3 loses the answer to the third request, and to the fourth: the standard
// library repeats a request with an Idempotency-Key by itself, once.
func cutAt3(n int) bool { return n == 3 || n == 4 }

func TestSendToMany_NotifiesEveryUserOnceAndInOrder(t *testing.T) {
	s := newService()
	c := newClerk(t, s)
	users, text := listOf(2500)
	require.NoError(t, c.send(t.Context(), strings.NewReader(text)))
	require.Equal(t, users, s.notified())
	require.EqualValues(t, 3, s.requests.Load())
	require.Regexp(t, `^Users read +2,500\nAccepted +2,500\nRefused +0\nInvalid lines +0\nTime +[0-9.]+m?s, [0-9,]+ users/s\n$`, c.out.String())
	require.Empty(t, c.err.String())
}

func TestSendToMany_TakesListsAsPeopleMakeThem(t *testing.T) {
	for what, text := range map[string]string{
		"Unix":            "ann\nbob, the builder\nzoë\n",
		"Windows":         "\xef\xbb\xbfann\r\nbob, the builder\r\nzoë\r\n",
		"no end":          "ann\nbob, the builder\nzoë",
		"no end, Windows": "ann\r\nbob, the builder\r\nzoë\r",
		"empty lines":     "\n\nann\n\r\nbob, the builder\n\nzoë\n\n\n",
	} {
		t.Run(what, func(t *testing.T) {
			s := newService()
			require.NoError(t, newClerk(t, s).send(t.Context(), iotest.OneByteReader(strings.NewReader(text))))
			require.Equal(t, []string{"ann", "bob, the builder", "zoë"}, s.notified())
		})
	}
	t.Run("nobody", func(t *testing.T) {
		s := newService()
		require.NoError(t, newClerk(t, s).send(t.Context(), strings.NewReader("")))
		require.Zero(t, s.requests.Load())
	})
}

func TestSendToMany_ReportsInvalidLinesAndGoesOn(t *testing.T) {
	s := newService()
	c := newClerk(t, s)
	text := "ann\n" + strings.Repeat("a\tb\n", 30) + strings.Repeat("x", 600_000) + "\n..\nbob\n"
	err := c.send(t.Context(), strings.NewReader(text))
	require.EqualError(t, err, "not everybody was notified: 32 lines cannot be user ids")
	require.Equal(t, []string{"ann", "bob"}, s.notified())
	lines := strings.Split(strings.TrimSpace(c.err.String()), "\n")
	require.Len(t, lines, shownMax+1)
	require.Equal(t, `belfry: line 2: "a\tb" cannot be a user id: 1 to 255 bytes of UTF-8 without control characters`, lines[0])
	require.Equal(t, "belfry: and 12 more lines that cannot be user ids", lines[shownMax])
	require.Regexp(t, `Users read +2\nAccepted +2\nRefused +0\nInvalid lines +32\n`, c.out.String())
}

func TestSendToMany_ShowsWhoWasRefusedAndWhy(t *testing.T) {
	s := newService()
	s.refuse = func(user string) string {
		if strings.HasSuffix(user, "7") {
			return "No sevens."
		}
		return ""
	}
	c := newClerk(t, s)
	_, text := listOf(1500)
	require.EqualError(t, c.send(t.Context(), strings.NewReader("\n"+text)), "not everybody was notified: 150 users were refused")
	require.Len(t, s.notified(), 1350)
	lines := strings.Split(strings.TrimSpace(c.err.String()), "\n")
	require.Len(t, lines, shownMax+1)
	require.Equal(t, `belfry: line 8: "user-7" was refused: No sevens. (invalid_field, field title)`, lines[0])
	require.Equal(t, "belfry: and 130 more users who were refused", lines[shownMax])
}

func TestSendToMany_StopsWhenNobodyIsAccepted(t *testing.T) {
	s := newService()
	s.refuse = func(string) string { return "title is missing or empty." }
	c := newClerk(t, s).keepsPosition()
	_, text := listOf(5000)
	require.EqualError(t, c.send(t.Context(), strings.NewReader(text)), "none of the first 1,000 users was accepted: title is missing or empty. (invalid_field, field title)")
	require.EqualValues(t, 1, s.requests.Load())
	s.refuse, c.title = nil, "Corrected"
	require.NoError(t, c.send(t.Context(), strings.NewReader(text)), "nothing was sent, so the position is nobody's")
	require.Len(t, s.notified(), 5000)
}

func TestSendToMany_GoesOnAfterAFailureAndNotifiesEverybodyOnce(t *testing.T) {
	for what, fails := range map[string]func(s *service){
		"the server refuses": func(s *service) { s.fail = failingAt(3, http.StatusUnauthorized, "") },
		"the server fails":   func(s *service) { s.fail = failingAt(3, http.StatusInternalServerError, "") },
		"the answer is lost": func(s *service) { s.cut = cutAt3 },
	} {
		for _, keeps := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, position %t", what, keeps), func(t *testing.T) {
				s := newService()
				fails(s)
				c := newClerk(t, s)
				c.patience = 0
				if keeps {
					c.keepsPosition()
				}
				users, text := listOf(5500)
				err := c.send(t.Context(), strings.NewReader(text))
				require.ErrorContains(t, err, "It got as far as line 2,000. The same command")
				require.Regexp(t, `Users read +2,000\nAccepted +2,000\n`, c.out.String())
				requests := s.requests.Load()
				require.NoError(t, c.send(t.Context(), strings.NewReader(text)))
				require.Equal(t, users, s.notified())
				if keeps {
					require.EqualValues(t, 4, s.requests.Load()-requests, "it began where it was")
					require.Regexp(t, `Users read +5,500 \(2,000 of them before this run\)\nAccepted +5,500\n`, c.out.String())
				}
			})
		}
	}
}

func TestSendToMany_GoesOnByItselfWhenTheConnectionBreaks(t *testing.T) {
	s := newService()
	s.cut = cutAt3
	c := newClerk(t, s)
	users, text := listOf(3500)
	require.NoError(t, c.send(t.Context(), strings.NewReader(text)))
	require.Equal(t, users, s.notified())
	require.Contains(t, c.err.String(), "no answer from "+c.url)
	require.Contains(t, c.err.String(), "trying again in")
}

func TestSendToMany_SaysThatItWasAlreadySent(t *testing.T) {
	s := newService()
	c := newClerk(t, s).keepsPosition()
	for _, n := range []int{2000, 2500} {
		_, text := listOf(n)
		require.NoError(t, c.send(t.Context(), strings.NewReader(text)))
		require.True(t, c.saved().Finished)
		requests := s.requests.Load()
		require.NoError(t, c.send(t.Context(), strings.NewReader(text)))
		require.Contains(t, c.out.String(), "Already sent: "+c.position+" says so. Nothing was sent now.\n")
		require.Equal(t, requests, s.requests.Load())
		c.keepsPosition()
	}
}

func TestSendToMany_RefusesToGoOnWithSomethingElse(t *testing.T) {
	const half = "belongs to another notification"
	_, text := listOf(2500)
	for _, c := range []struct {
		what   string
		change func(c *clerk)
		text   string
		says   string
	}{
		{"another text", func(c *clerk) { c.title = "Other bells" }, text, half},
		{"another key", func(c *clerk) { c.salt = "x" }, text, half},
		{"another server", func(c *clerk) { c.url = strings.Replace(c.url, "127.0.0.1", "localhost", 1) }, text, "and --server says http://localhost"},
		{"another user", nil, "x" + text, "the list of users is not the one that was begun"},
		{"fewer users", nil, text[:1000], "the list of users is not the one that was begun"},
		{"no file of positions", func(c *clerk) { require.NoError(t, os.WriteFile(c.position, []byte(text), 0o600)) }, text, "holds something else"},
		{"another JSON", func(c *clerk) { require.NoError(t, os.WriteFile(c.position, []byte("{}"), 0o600)) }, text, "holds something else"},
		{"no folder", func(c *clerk) { c.position += "/in/vain" }, text, "--position: open"},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := newService()
			s.fail = failingAt(3, http.StatusForbidden, "")
			begun := newClerk(t, s).keepsPosition()
			require.Error(t, begun.send(t.Context(), strings.NewReader(text)))
			if c.change != nil {
				c.change(begun)
			}
			require.ErrorContains(t, begun.send(t.Context(), strings.NewReader(c.text)), c.says)
			require.EqualValues(t, 3, s.requests.Load(), "nothing more was sent")
		})
	}
	t.Run("more users, behind the end", func(t *testing.T) {
		s := newService()
		c := newClerk(t, s).keepsPosition()
		require.NoError(t, c.send(t.Context(), strings.NewReader(text)))
		require.ErrorContains(t, c.send(t.Context(), strings.NewReader(text+"one more\n")), "all 2,500 lines were sent already")
	})
}

func TestSendToMany_SendsAgainOnPurposeWithAnotherKey(t *testing.T) {
	s := newService()
	c := newClerk(t, s)
	_, text := listOf(1500)
	for _, c.salt = range []string{"", "", "Tuesday", "Tuesday"} {
		require.NoError(t, c.send(t.Context(), strings.NewReader(text)))
	}
	require.Len(t, s.notified(), 3000)
}

func TestSendToMany_SaysThatABatchWasAcceptedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		s.fail = func(_ int, w http.ResponseWriter) bool {
			w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
			return false
		}
		c := newClerkInFakeTime(t, s)
		_, text := listOf(1500)
		require.NoError(t, c.send(t.Context(), strings.NewReader(text)))
		require.NotContains(t, c.out.String(), "before")
		time.Sleep(time.Hour)
		require.NoError(t, c.send(t.Context(), strings.NewReader(text)))
		require.Contains(t, c.out.String(), "1,500 (some or all of them before, from the same command; nobody is notified twice)")
	})
}

func TestSendToMany_WaitsAsLongAsTheServerAsks(t *testing.T) {
	for what, c := range map[string]struct {
		status int
		after  func() string
	}{
		"429, in seconds": {http.StatusTooManyRequests, func() string { return "90" }},
		"503, by date":    {http.StatusServiceUnavailable, func() string { return time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat) }},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService()
				s.fail = failingAt(2, c.status, c.after())
				clerk := newClerkInFakeTime(t, s)
				users, text := listOf(2500)
				began := time.Now()
				require.NoError(t, clerk.send(t.Context(), strings.NewReader(text)))
				require.Equal(t, 90*time.Second, time.Since(began))
				require.Equal(t, users, s.notified())
				require.Equal(t, fmt.Sprintf("belfry: It is so. (code_%d); trying again in 1m30s, and giving up in 5m0s\n", c.status), clerk.err.String())
			})
		})
	}
}

func TestSendToMany_GivesUpWhenItsPatienceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		s.fail = failingAt(0, http.StatusServiceUnavailable, "")
		c := newClerkInFakeTime(t, s)
		_, text := listOf(10)
		began := time.Now()
		require.EqualError(t, c.send(t.Context(), strings.NewReader(text)), "It is so. (code_503); gave up after --retry-for=5m0s")
		require.Equal(t, 5*time.Minute, time.Since(began))
		require.Greater(t, s.requests.Load(), int64(10))
		require.Less(t, s.requests.Load(), int64(40))
	})
}

func TestSendToMany_GivesUpAtOnceWhenTheServerAsksForTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService()
		s.fail = failingAt(0, http.StatusServiceUnavailable, "3600")
		c := newClerkInFakeTime(t, s)
		_, text := listOf(10)
		began := time.Now()
		require.ErrorContains(t, c.send(t.Context(), strings.NewReader(text)), "asks for a pause of 1h0m0s, which is longer than --retry-for=5m0s allows")
		require.Zero(t, time.Since(began))
	})
}

func TestSendToMany_TriesAgainOnlyWhatMayHeal(t *testing.T) {
	for status := 400; status < 600; status++ {
		synctest.Test(t, func(t *testing.T) {
			s := newService()
			s.fail = failingAt(1, status, "")
			_, text := listOf(10)
			err := newClerkInFakeTime(t, s).send(t.Context(), strings.NewReader(text))
			if status == 408 || status == 429 || status >= 500 {
				require.NoError(t, err, status)
			} else {
				require.EqualError(t, err, fmt.Sprintf("It is so. (code_%d)", status))
			}
		})
	}
}

func TestSendToMany_InterruptedFinishesTheBatchUnderWay(t *testing.T) {
	s := newService()
	ctx, interrupt := context.WithCancel(t.Context())
	s.fail = func(n int, _ http.ResponseWriter) bool {
		if n == 2 {
			interrupt()
		}
		return false
	}
	c := newClerk(t, s).keepsPosition()
	users, text := listOf(5500)
	err := c.send(ctx, strings.NewReader(text))
	require.ErrorIs(t, err, errInterrupted)
	require.EqualError(t, err, "interrupted\nIt got as far as line 2,000. The same command goes on from there")
	require.Equal(t, users[:2000], s.notified())
	require.Equal(t, int64(2000), c.saved().Input.Line)
	require.Regexp(t, `Users read +2,000\nAccepted +2,000\n`, c.out.String())
	require.NoError(t, c.send(t.Context(), strings.NewReader(text)))
	require.Equal(t, users, s.notified())
}

func TestSendToMany_CanBeInterruptedWhileItWaits(t *testing.T) {
	t.Run("for the server", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newService()
			s.fail = failingAt(0, http.StatusServiceUnavailable, "60")
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, text := listOf(10)
			began := time.Now()
			require.ErrorIs(t, newClerkInFakeTime(t, s).send(ctx, strings.NewReader(text)), errInterrupted)
			require.Equal(t, time.Second, time.Since(began))
		})
	})
	t.Run("for the list", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newService()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			list, writer := io.Pipe()
			_, text := listOf(1000)
			go io.WriteString(writer, text)
			require.ErrorIs(t, newClerkInFakeTime(t, s).send(ctx, list), errInterrupted)
			require.Len(t, s.notified(), 1000, "a whole batch waits for nothing")
			list.Close()
			writer.Close()
		})
	})
	t.Run("to find its place", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newService()
			c := newClerkInFakeTime(t, s).keepsPosition()
			users, text := listOf(1500)
			require.NoError(t, c.send(t.Context(), strings.NewReader(text)))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			list, writer := io.Pipe()
			go io.WriteString(writer, text[:100])
			require.ErrorIs(t, c.send(ctx, list), errInterrupted)
			require.Equal(t, users, s.notified())
			list.Close()
			writer.Close()
		})
	})
}

func TestSendToMany_LongNotificationsTravelInSmallerBatches(t *testing.T) {
	s := newService()
	c := newClerk(t, s)
	c.title = strings.Repeat("x", 3000)
	users, text := listOf(1000)
	require.NoError(t, c.send(t.Context(), strings.NewReader(text)))
	require.Equal(t, users, s.notified())
	require.Less(t, s.largest, batchBytes)
	require.EqualValues(t, 4, s.requests.Load())
}

func TestSendUsers_MakeTheSameRequestsFromTheEndOfAnyBatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.SampledFrom([]string{"", "ann", "<zoë>", "a\tb", "bob", strings.Repeat("y", 300_000)})
		end := rapid.SampledFrom([]string{"\n", "\r\n"})
		var text strings.Builder
		for range rapid.IntRange(0, 6).Draw(t, "stretches") {
			stretch := line.Draw(t, "line") + end.Draw(t, "end")
			text.WriteString(strings.Repeat(stretch, rapid.IntRange(1, 1+6000/len(stretch)).Draw(t, "times")))
		}
		notification := encodeNotification(client.NewNotifications{Title: strings.Repeat("t", rapid.IntRange(1, 2000).Draw(t, "title"))})
		open := func() *userReader { return newUserReader(strings.NewReader(text.String()), notification, "f") }
		var whole []*batch
		for r := open(); len(whole) == 0 || !whole[len(whole)-1].last; {
			whole = append(whole, r.batch())
		}
		keys := map[string]bool{}
		for i, b := range whole {
			require.False(t, keys[b.key], "each has a key of its own")
			keys[b.key] = true
			r := open()
			require.NoError(t, r.skipTo(b.end, b.last))
			if !b.last {
				require.Equal(t, whole[i+1], r.batch())
			}
		}
		require.Equal(t, int64(text.Len()), whole[len(whole)-1].end.Bytes)
		require.Equal(t, int64(strings.Count(text.String(), "\n")), whole[len(whole)-1].end.Line)
	})
}

func TestSendScreen_SaysHowFarItIs(t *testing.T) {
	began := time.Now()
	s := screen{size: 40_000, from: progress{bytes: 10_000, users: 1_000, at: began}}
	later := progress{bytes: 30_000, users: 3_000, at: began.Add(10 * time.Second)}
	require.Equal(t, "3,000 users, 200 users/s, 5s left", s.describe(later))
	require.Equal(t, "1,000 users", s.describe(s.from))
	s.size = 0
	require.Equal(t, "3,000 users, 200 users/s", s.describe(later))
}
