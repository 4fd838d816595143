package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/rivo/uniseg"
	"golang.org/x/term"
)

// window is where a picture is shown again and again: a terminal, whose own
// screen comes back in the end, or a pipe or file, which gets one picture after
// the other.
type window struct {
	to    io.Writer
	size  func() (width, height int) // nil: it is no terminal
	shown bool
}

// line is one of a picture. What is not a terminal gets its text alone.
type line struct{ style, text string }

// Styles of a line, as ECMA-48 (SGR) has them.
const (
	plain = ""
	bold  = "1"
	dim   = "2"
	alarm = "1;31" // bold and red
)

const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // the terminal's other screen, without a cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	goHome      = "\x1b[H"
	clearLine   = "\x1b[K" // to its end
	clearBelow  = "\x1b[J"
)

// openWindow is to be closed.
func openWindow(to io.Writer) *window {
	w := &window{to: to}
	file, ok := to.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return w
	}
	w.size = func() (int, int) {
		width, height, err := term.GetSize(int(file.Fd()))
		if err != nil || width <= 0 || height <= 0 {
			return 80, 24
		}
		return width, height
	}
	return w
}

// show shows a picture in place of the one before. It goes out in one piece and
// nothing is cleared that is then drawn again, so it does not flicker.
func (w *window) show(picture []line) error {
	var out bytes.Buffer
	if w.size == nil {
		if w.shown {
			out.WriteByte('\n')
		}
		for _, line := range picture {
			out.WriteString(line.text + "\n")
		}
	} else {
		w.paint(&out, picture)
	}
	w.shown = true
	_, err := out.WriteTo(w.to)
	return err
}

func (w *window) paint(out *bytes.Buffer, picture []line) {
	width, height := w.size()
	if !w.shown {
		out.WriteString(enterScreen)
	}
	out.WriteString(goHome)
	for i, line := range fitted(picture, height) {
		if i > 0 {
			out.WriteString("\r\n")
		}
		text := truncated(line.text, width)
		if line.style != plain {
			text = "\x1b[" + line.style + "m" + text + "\x1b[m"
		}
		out.WriteString(text + clearLine)
	}
	out.WriteString(clearBelow)
}

// close brings back what the terminal showed before.
func (w *window) close() error {
	if w.size == nil || !w.shown {
		return nil
	}
	_, err := io.WriteString(w.to, leaveScreen)
	return err
}

// fitted is as much of a picture as a window has lines for.
func fitted(picture []line, height int) []line {
	if len(picture) <= height {
		return picture
	}
	more := line{dim, fmt.Sprintf("… and %d lines more, for which this window is not high enough", len(picture)-height+1)}
	return append(append([]line(nil), picture[:height-1]...), more)
}

// truncated is as much of a text as fits into a line, by what terminals take for
// the width of characters.
func truncated(text string, width int) string {
	if uniseg.StringWidth(text) <= width {
		return text
	}
	var b strings.Builder
	taken, state := 0, -1
	for text != "" {
		var cluster string
		var wide int
		cluster, text, wide, state = uniseg.FirstGraphemeClusterInString(text, state)
		if taken+wide > width-1 {
			break
		}
		b.WriteString(cluster)
		taken += wide
	}
	return b.String() + "…"
}
