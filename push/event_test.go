package push_test

import (
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/belfryhq/belfry/push"
)

func TestEventTypes_AreThoseOfTheContract(t *testing.T) {
	raw, err := os.ReadFile("../api/openapi.yaml")
	require.NoError(t, err)
	described := regexp.MustCompile(`(?m)^ +- ((?:delivery|subscription|lane)\.[a-z_]+)$`).FindAllStringSubmatch(string(raw), -1)
	var names, known []string
	for _, match := range described {
		names = append(names, match[1])
	}
	for _, eventType := range push.EventTypes() {
		known = append(known, eventType.String())
	}
	slices.Sort(names)
	slices.Sort(known)
	require.NotEmpty(t, known)
	require.Equal(t, known, names)
}

func TestEventTypes_AreReadAsTheyAreWritten(t *testing.T) {
	require.True(t, slices.IsSorted(push.EventTypes()))
	for _, eventType := range push.EventTypes() {
		parsed, err := push.ParseEventType(eventType.String())
		require.NoError(t, err)
		require.Equal(t, eventType, parsed)
	}
	for _, other := range []string{"", "delivered", "delivery.", "Delivery.delivered", "event(1)"} {
		_, err := push.ParseEventType(other)
		require.ErrorContains(t, err, "there is no event type", other)
	}
	require.Equal(t, "event(99)", push.EventType(99).String())
}

// The event of a delivery's state, or of a receipt, is named after it.
func TestEventTypes_OfDeliveriesAndReceiptsBearTheirNames(t *testing.T) {
	for state := push.StateDelivered; state <= push.StateCancelled; state++ {
		require.Equal(t, "delivery."+state.String(), push.EventOf(state).String())
	}
	for _, receipt := range []push.ReceiptType{push.ReceiptShown, push.ReceiptClicked, push.ReceiptClosed} {
		require.Equal(t, "delivery."+receipt.String(), receipt.Event().String())
	}
}

func TestEventDetail_IsReadAsItWasWritten(t *testing.T) {
	require.Equal(t, "{}", string(push.EventDetail{}.Encode()), "what says nothing takes no room")
	rapid.Check(t, func(t *rapid.T) {
		detail := push.EventDetail{
			Kind: push.Kind(rapid.IntRange(0, 3).Draw(t, "kind")), Host: rapid.String().Draw(t, "host"),
			Attempts: rapid.IntRange(0, 1<<20).Draw(t, "attempts"), Status: rapid.IntRange(0, 599).Draw(t, "status"),
			Reason: rapid.String().Draw(t, "reason"), MessageID: rapid.String().Draw(t, "message"),
			Lane: rapid.String().Draw(t, "lane"), Cause: rapid.String().Draw(t, "cause"), From: rapid.String().Draw(t, "from"),
		}
		if rapid.Bool().Draw(t, "with a time") {
			detail.Next = time.UnixMilli(rapid.Int64Range(0, 253402300799999).Draw(t, "next")).UTC()
		}
		read, err := push.DecodeEventDetail(detail.Encode())
		require.NoError(t, err)
		require.Equal(t, detail, read)
	})
}

func FuzzDecodeEventDetail(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"k":1,"h":"push.example.org","n":3,"s":503,"r":"it is full","t":"2026-03-01T09:00:00Z"}`, `{"l":"a:webpush:h","c":"refused"}`,
		`{"n":-1}`, `{"k":256}`, `{"t":"10000-01-01T00:00:00Z"}`, `null`, `[`, "\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, encoded []byte) {
		detail, err := push.DecodeEventDetail(encoded)
		if err != nil {
			require.Equal(t, push.EventDetail{}, detail)
			return
		}
		again, err := push.DecodeEventDetail(detail.Encode())
		require.NoError(t, err)
		require.True(t, detail.Next.Equal(again.Next))
		detail.Next, again.Next = time.Time{}, time.Time{}
		require.Equal(t, detail, again)
	})
}
