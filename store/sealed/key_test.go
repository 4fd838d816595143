package sealed

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseKey_TakesHexadecimalAndBase64(t *testing.T) {
	key := Key(bytes.Repeat([]byte{0xfb, 0xef, 0xbe, 0x01}, 8)) // has + and / in base64
	for _, s := range []string{
		hex.EncodeToString(key[:]), strings.ToUpper(hex.EncodeToString(key[:])),
		base64.StdEncoding.EncodeToString(key[:]), base64.RawStdEncoding.EncodeToString(key[:]),
		base64.URLEncoding.EncodeToString(key[:]), base64.RawURLEncoding.EncodeToString(key[:]),
	} {
		parsed, err := ParseKey(s)
		require.NoError(t, err)
		require.True(t, key == parsed, s)
	}
}

func TestParseKey_RefusesAllElseWithoutRepeatingIt(t *testing.T) {
	for _, s := range []string{
		"", "SECRET", strings.Repeat("ab", 31), strings.Repeat("ab", 33), strings.Repeat("xy", 32), strings.Repeat("SECRET+/", 6),
		" " + strings.Repeat("ab", 32), strings.Repeat("ab", 32) + "\n",
	} {
		_, err := ParseKey(s)
		require.EqualError(t, err, "it is not a key: 64 hexadecimal digits, or 32 bytes in base64", "%q", s)
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add(strings.Repeat("ab", 32))
	f.Add(strings.Repeat("A", 43))
	f.Add("=")
	f.Fuzz(func(t *testing.T, s string) {
		key, err := ParseKey(s)
		if err != nil {
			require.True(t, key == Key{})
			return
		}
		again, err := ParseKey(hex.EncodeToString(key[:]))
		require.NoError(t, err)
		require.True(t, key == again)
	})
}

func TestKey_NeverShowsItself(t *testing.T) {
	key := Key(bytes.Repeat([]byte{0xa7}, 32))
	holder := struct{ Master Key }{key}
	timeless := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr { // its digits may be anything
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	for _, value := range []any{key, &key, holder, &holder, []Key{key}, map[string]Key{"k": key}} {
		var text, structured bytes.Buffer
		slog.New(slog.NewTextHandler(&text, timeless)).Info("shown", "value", value)
		slog.New(slog.NewJSONHandler(&structured, timeless)).Info("shown", "value", value)
		encoded, err := json.Marshal(value)
		require.NoError(t, err)
		for _, shown := range []string{
			fmt.Sprintf("%v", value), fmt.Sprintf("%+v", value), fmt.Sprintf("%#v", value), fmt.Sprintf("%s", value),
			fmt.Sprintf("%q", value), fmt.Sprintf("%x", value), text.String(), structured.String(), string(encoded),
		} {
			require.NotContains(t, shown, "a7a7")
			require.NotContains(t, shown, "0xa7")
			require.NotContains(t, shown, "167")
			require.NotContains(t, shown, "p6en", "base64")
		}
	}
}

func TestOpenKeyFile_MakesOneForThisUserAloneAndUsesItAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "data", "master.key")
	key, created, err := OpenKeyFile(path)
	require.NoError(t, err)
	require.True(t, created)
	require.False(t, key == Key{})
	require.Equal(t, fs.FileMode(0o600), modeOf(t, path))
	require.Equal(t, fs.FileMode(0o700), modeOf(t, filepath.Dir(path)))
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, hex.EncodeToString(key[:])+"\n", string(content))

	again, created, err := OpenKeyFile(path)
	require.NoError(t, err)
	require.False(t, created)
	require.True(t, key == again)

	other, _, err := OpenKeyFile(filepath.Join(t.TempDir(), "master.key"))
	require.NoError(t, err)
	require.False(t, key == other, "every one is another")
}

func TestOpenKeyFile_RefusesOneThatOthersCanOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	_, _, err := OpenKeyFile(path)
	require.NoError(t, err)
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o660, 0o644} {
		require.NoError(t, os.Chmod(path, mode))
		_, _, err = OpenKeyFile(path)
		require.ErrorContains(t, err, fmt.Sprintf("%s is open to other users (mode %04o): shut them out with chmod 600 %s", path, mode, path))
	}
	for _, mode := range []fs.FileMode{0o600, 0o400} {
		require.NoError(t, os.Chmod(path, mode))
		_, _, err = OpenKeyFile(path)
		require.NoError(t, err)
	}
}

func TestOpenKeyFile_RefusesOneWithoutAKeyAndLeavesItAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	for _, content := range []string{"", "\n", "SECRET", strings.Repeat("ab", keyFileMax)} {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		_, _, err := OpenKeyFile(path)
		require.ErrorContains(t, err, path+": it is not a key")
		require.ErrorContains(t, err, "bring it back from a copy")
		require.NotContains(t, err.Error(), "SECRET")
		kept, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, content, string(kept))
	}
}

func TestOpenKeyFile_SaysWhereItCannotMakeOne(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, _, err := OpenKeyFile(filepath.Join(file, "master.key"))
	require.ErrorContains(t, err, file)
}

func TestReadKeyFile_MakesNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	_, err := ReadKeyFile(path)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoFileExists(t, path)
}

func modeOf(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Mode().Perm()
}
