package push_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/belfryhq/belfry/push"
)

var (
	receiptSecret       = []byte("the token secret of the app shop")
	receiptNotification = push.ID{1, 2, 3, 15: 4}
	receiptSubscription = push.DigestOf("https://push.example.org/1")
)

func TestReceiptToken_OpensWithTheSecretItWasMadeWith(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.SliceOfN(rapid.Byte(), 1, 64).Draw(t, "secret")
		app := rapid.StringMatching(`[a-z0-9-]{1,32}`).Draw(t, "app")
		id := anyID(t)
		digest := push.Digest(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "digest"))
		token := push.ReceiptToken(secret, app, id, digest)
		require.LessOrEqual(t, len(token), push.MaxReceiptToken)
		require.Regexp(t, `^[a-zA-Z0-9._-]+$`, token, "it stands in JSON and in a header as it is")

		claimed, err := push.ReceiptApp(token)
		require.NoError(t, err)
		require.Equal(t, app, claimed)
		gotID, gotDigest, err := push.OpenReceiptToken(secret, token)
		require.NoError(t, err)
		require.Equal(t, id, gotID)
		require.Equal(t, digest, gotDigest)
	})
}

func TestReceiptToken_IsAsLongAsPromised(t *testing.T) {
	longest := push.ReceiptToken(receiptSecret, strings.Repeat("a", 32), receiptNotification, receiptSubscription)
	require.Len(t, longest, push.MaxReceiptToken)
	_, _, err := push.OpenReceiptToken(receiptSecret, longest)
	require.NoError(t, err)
}

func TestReceiptToken_IsForNoOtherAppAndSecret(t *testing.T) {
	token := push.ReceiptToken(receiptSecret, "shop", receiptNotification, receiptSubscription)
	_, rest, _ := strings.Cut(token, ".")
	for name, attempt := range map[string]struct {
		secret []byte
		token  string
	}{
		"another secret":              {[]byte("another secret"), token},
		"no secret":                   {nil, token},
		"another app":                 {receiptSecret, "blog." + rest},
		"no app":                      {receiptSecret, "." + rest},
		"nothing":                     {receiptSecret, ""},
		"the app alone":               {receiptSecret, "shop"},
		"the app and nothing":         {receiptSecret, "shop."},
		"padding":                     {receiptSecret, token + "="},
		"a line break":                {receiptSecret, token[:len(token)-4] + "\n" + token[len(token)-4:]},
		"a byte more":                 {receiptSecret, token + "AA"},
		"a byte less":                 {receiptSecret, token[:len(token)-2]},
		"a user token":                {receiptSecret, "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJzaG9wIn0.c2lnbmVk"},
		"longer than any that exists": {receiptSecret, strings.Repeat("a", push.MaxReceiptToken) + token},
	} {
		_, _, err := push.OpenReceiptToken(attempt.secret, attempt.token)
		require.ErrorIs(t, err, push.ErrReceiptToken, name)
	}
	for _, other := range []string{"", "shop", strings.Repeat("a", push.MaxReceiptToken) + "." + rest} {
		_, err := push.ReceiptApp(other)
		require.ErrorIs(t, err, push.ErrReceiptToken, other)
	}
}

func TestReceiptToken_DoesNotOpenWithAnyBitFlipped(t *testing.T) {
	token := push.ReceiptToken(receiptSecret, "shop", receiptNotification, receiptSubscription)
	app, encoded, _ := strings.Cut(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(encoded)
	require.NoError(t, err)
	for i := range len(raw) * 8 {
		raw[i/8] ^= 1 << (i % 8)
		_, _, err := push.OpenReceiptToken(receiptSecret, app+"."+base64.RawURLEncoding.EncodeToString(raw))
		require.ErrorIs(t, err, push.ErrReceiptToken, "bit %d", i)
		raw[i/8] ^= 1 << (i % 8)
	}
	for i := range len(token) * 8 {
		flipped := []byte(token)
		flipped[i/8] ^= 1 << (i % 8)
		_, _, err := push.OpenReceiptToken(receiptSecret, string(flipped))
		require.ErrorIs(t, err, push.ErrReceiptToken, "bit %d of the text", i)
	}
}

// What the same secret signs otherwise is no receipt token's signature.
func TestReceiptToken_HasASignatureOfItsOwn(t *testing.T) {
	one := push.ReceiptToken(receiptSecret, "shop", receiptNotification, receiptSubscription)
	for _, other := range []string{
		push.ReceiptToken(receiptSecret, "shop", push.ID{9}, receiptSubscription),
		push.ReceiptToken(receiptSecret, "shop", receiptNotification, push.Digest{9}),
		push.ReceiptToken([]byte("another"), "shop", receiptNotification, receiptSubscription),
		push.ReceiptToken(receiptSecret, "sho", receiptNotification, receiptSubscription),
	} {
		require.NotEqual(t, one[len(one)-21:], other[len(other)-21:])
	}
}

func TestReceiptType_IsReadAsItIsWritten(t *testing.T) {
	for _, receipt := range []push.ReceiptType{push.ReceiptShown, push.ReceiptClicked, push.ReceiptClosed} {
		parsed, err := push.ParseReceiptType(receipt.String())
		require.NoError(t, err)
		require.Equal(t, receipt, parsed)
	}
	_, err := push.ParseReceiptType("seen")
	require.ErrorContains(t, err, "use shown, clicked or closed")
	require.Equal(t, "receipt(9)", push.ReceiptType(9).String())
}

func TestReceipts_AreAMemberOfTheContent(t *testing.T) {
	wanted := []push.ReceiptType{push.ReceiptShown, push.ReceiptClicked}
	encoded, err := push.Content{Title: "Hi", Receipts: wanted}.Encode()
	require.NoError(t, err)
	require.JSONEq(t, `{"title":"Hi","receipts":["shown","clicked"]}`, string(encoded))
	n := push.Notification{Content: encoded}
	require.True(t, n.WantsReceipts())
	require.Equal(t, wanted, n.Receipts())

	for name, content := range map[string]push.Content{
		"nothing of it":    {Title: "Hi"},
		"an empty list":    {Title: "Hi", Receipts: []push.ReceiptType{}},
		"it is in a text":  {Title: `"receipts":["shown"]`},
		"it is in data":    {Title: "Hi", Data: json.RawMessage(`{"receipts":["shown"]}`)},
		"unknown, in data": {Title: "Hi", Data: json.RawMessage(`{"receipts":[1]}`)},
	} {
		encoded, err := content.Encode()
		require.NoError(t, err)
		require.False(t, push.Notification{Content: encoded}.WantsReceipts(), name)
	}
}

func FuzzOpenReceiptToken(f *testing.F) {
	token := push.ReceiptToken(receiptSecret, "shop", receiptNotification, receiptSubscription)
	for _, seed := range []string{token, "", ".", "shop.", token[:40], token + "A", "shop.AAAA", "a.b.c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		app, appErr := push.ReceiptApp(token)
		id, digest, err := push.OpenReceiptToken(receiptSecret, token)
		if err != nil {
			require.ErrorIs(t, err, push.ErrReceiptToken)
			require.True(t, id.IsZero() && digest.IsZero())
			return
		}
		require.NoError(t, appErr)
		require.Equal(t, push.ReceiptToken(receiptSecret, app, id, digest), token, "there is one token for a thing")
	})
}
