package push_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/belfryhq/belfry/push"
)

func TestID_ReadsWhatItWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := anyID(t)
		parsed, err := push.ParseID(id.String())
		require.NoError(t, err)
		require.Equal(t, id, parsed)

		var decoded push.ID
		encoded, err := json.Marshal(id)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(encoded, &decoded))
		require.Equal(t, id, decoded)
	})
}

// There is one text for each ID, but for the case of its letters.
func FuzzParseID(f *testing.F) {
	for _, seed := range []string{
		"017f22e2-79b0-7cc3-98c4-dc0c0c07398f", "017F22E2-79B0-7CC3-98C4-DC0C0C07398F", "00000000-0000-0000-0000-000000000000", "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
		"017f22e279b07cc398c4dc0c0c07398f", "------------------------------------", "\xff", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var unmarshalled push.ID
		id, err := push.ParseID(text)
		if err != nil {
			require.True(t, id.IsZero())
			require.Error(t, unmarshalled.UnmarshalText([]byte(text)))
			return
		}
		require.Equal(t, strings.ToLower(text), id.String())
		require.NoError(t, unmarshalled.UnmarshalText([]byte(text)))
		require.Equal(t, id, unmarshalled)
		require.Zero(t, id.Compare(unmarshalled))
		require.Equal(t, id.IsZero(), id.Compare(push.ID{}) == 0)
		require.False(t, id.Time().Before(time.UnixMilli(0)))
	})
}

func TestID_ComparesAsItsTextDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyID(t), anyID(t)
		switch a.Compare(b) {
		case -1:
			require.Less(t, a.String(), b.String())
		case 0:
			require.Equal(t, a, b)
		case 1:
			require.Greater(t, a.String(), b.String())
		}
		require.Equal(t, -a.Compare(b), b.Compare(a))
		require.Zero(t, a.Compare(a))
	})
}

func TestID_HoldsItsMillisecond(t *testing.T) {
	id, err := push.ParseID("017f22e2-79b0-7cc3-98c4-dc0c0c07398f") // RFC 9562, Appendix A.6
	require.NoError(t, err)
	require.Equal(t, "2022-02-22T19:22:22Z", id.Time().UTC().Format(time.RFC3339))
	require.False(t, id.IsZero())
	require.True(t, push.ID{}.IsZero())
}

func TestID_TakesOnlyTheCanonicalForm(t *testing.T) {
	for _, s := range []string{
		"", "017f22e2", "017f22e279b07cc398c4dc0c0c07398f", "{017f22e2-79b0-7cc3-98c4-dc0c0c07398f}",
		"017f22e2-79b0-7cc3-98c4_dc0c0c07398f", "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
	} {
		_, err := push.ParseID(s)
		require.Error(t, err, s)
		require.Error(t, new(push.ID).UnmarshalText([]byte(s)), s)
	}
}

func anyID(t *rapid.T) push.ID {
	return push.ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
}
