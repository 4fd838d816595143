package push_test

import (
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/belfryhq/belfry/push"
)

func TestDecodeBase64_ReadsEveryVariant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOf(rapid.Byte()).Draw(t, "key")
		for name, encoding := range map[string]*base64.Encoding{
			"std": base64.StdEncoding, "raw std": base64.RawStdEncoding,
			"url": base64.URLEncoding, "raw url": base64.RawURLEncoding,
		} {
			decoded, err := push.DecodeBase64(encoding.EncodeToString(key))
			require.NoError(t, err, name)
			require.Equal(t, key, decoded, name)
		}
		require.Equal(t, base64.RawURLEncoding.EncodeToString(key), push.EncodeBase64(key))
	})
}

func TestDecodeBase64_RefusesWhatIsNotBase64(t *testing.T) {
	for _, s := range []string{
		"A", "AAAAA", "=", "====", "AA=", "AAA==", "AA===", "AAAA====", "A=AA", "AB", // AB has bits after the end
		" AAAA", "AAAA ", "AA\nAA", "AAAA\r\n", "AA AA", "AAA%", "ＡＡＡＡ", "AA\x00A",
	} {
		_, err := push.DecodeBase64(s)
		require.EqualError(t, err, "not base64", "%q", s)
	}
	empty, err := push.DecodeBase64("")
	require.NoError(t, err)
	require.Empty(t, empty)
}

func FuzzDecodeBase64(f *testing.F) {
	for _, s := range []string{"", "AA==", "AA", "-_8", "+/8=", "AA\n", "\xff", "BTBZMqHH6r4Tts7J_aSIgg"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		decoded, err := push.DecodeBase64(s)
		if err != nil {
			return
		}
		again, err := push.DecodeBase64(push.EncodeBase64(decoded))
		require.NoError(t, err)
		require.Equal(t, decoded, again)
	})
}
