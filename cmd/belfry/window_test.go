package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// windowOf is a terminal of a size, and what it was sent.
func windowOf(width, height int) (*window, *bytes.Buffer) {
	var sent bytes.Buffer
	return &window{to: &sent, size: func() (int, int) { return width, height }}, &sent
}

func TestWindow_DrawsOverWhatIsThereWithoutClearingIt(t *testing.T) {
	w, sent := windowOf(20, 10)
	require.NoError(t, w.show([]line{{bold, "one"}, {plain, "two"}}))
	require.Equal(t, enterScreen+"\x1b[H\x1b[1mone\x1b[m\x1b[K\r\ntwo\x1b[K\x1b[J", sent.String())
	sent.Reset()
	require.NoError(t, w.show([]line{{plain, "three"}}))
	require.Equal(t, "\x1b[Hthree\x1b[K\x1b[J", sent.String(), "one write, that clears nothing before it draws it")
	sent.Reset()
	require.NoError(t, w.close())
	require.Equal(t, leaveScreen, sent.String())
}

func TestWindow_ThatShowedNothingLeavesTheScreenAlone(t *testing.T) {
	w, sent := windowOf(20, 10)
	require.NoError(t, w.close())
	require.Empty(t, sent.String())
}

func TestWindow_FitsTheTerminal(t *testing.T) {
	const width, height = 10, 5
	w, sent := windowOf(width, height)
	var picture []line
	for i := range 20 {
		picture = append(picture, line{alarm, fmt.Sprintf("line %d %s", i, strings.Repeat("x", 50))})
	}
	require.NoError(t, w.show(picture))
	text := strings.TrimSuffix(strings.TrimPrefix(sent.String(), enterScreen+goHome), clearBelow)
	lines := strings.Split(text, "\r\n")
	require.Len(t, lines, height)
	require.Equal(t, "\x1b[1;31mline 0 xx…\x1b[m\x1b[K", lines[0])
	require.Equal(t, "\x1b[2m… and 16 …\x1b[m\x1b[K", lines[height-1])
}

func TestWindow_AFileGetsOnePictureAfterTheOtherAndNoEscapes(t *testing.T) {
	var sent bytes.Buffer
	w := openWindow(&sent)
	long := strings.Repeat("x", 500)
	require.NoError(t, w.show([]line{{alarm, "one"}, {dim, long}}))
	require.NoError(t, w.show([]line{{bold, "two"}}))
	require.NoError(t, w.close())
	require.Equal(t, "one\n"+long+"\n\ntwo\n", sent.String())
}

func TestTruncated_GoesByTheWidthOfCharacters(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{
		{"plain", 5, "plain"},
		{"plainer", 5, "plai…"},
		{"日本語", 6, "日本語"},
		{"日本語", 5, "日本…"},
		{"日本語", 4, "日…"},
		{"e\u0301e\u0301e\u0301", 3, "e\u0301e\u0301e\u0301"},
		{"e\u0301e\u0301e\u0301", 2, "e\u0301…"},
		{"", 1, ""},
		{"ab", 1, "…"},
	} {
		require.Equal(t, c.want, truncated(c.text, c.width), "%q in %d", c.text, c.width)
	}
}
