package push_test

import (
	"encoding/json"
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
