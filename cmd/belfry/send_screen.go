package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

const (
	barWidth    = 30                     // characters
	redrawAfter = 100 * time.Millisecond // at the earliest
	rateOver    = 10 * time.Second       // and up to twice as much
)

// screen is the terminal that a person looks at while a mailing goes out. If
// there is none, only complaints are written.
type screen struct {
	mu    sync.Mutex
	to    io.Writer
	size  int64                    // bytes of the input; 0 if not known
	bar   *progressbar.ProgressBar // nil without a terminal
	drawn time.Time                // when it was last
	from  progress                 // whence the rate is measured
	next  progress                 // the same, after a while
}

func newScreen(to io.Writer, size int64) *screen {
	s := &screen{to: to, size: size}
	file, ok := to.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return s
	}
	most := size
	if size == 0 {
		most = -1 // a spinner
	}
	s.bar = progressbar.NewOptions64(most,
		progressbar.OptionSetWriter(to),
		progressbar.OptionSetWidth(barWidth),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionShowDescriptionAtLineEnd(),
		progressbar.OptionSpinnerType(14),
		progressbar.OptionSetSpinnerChangeInterval(0), // no goroutine: it turns with each batch
		progressbar.OptionUseANSICodes(true),
	)
	return s
}

// progress is how far a mailing got.
type progress struct {
	bytes, users int64
	at           time.Time
}

// show draws it.
func (s *screen) show(now progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bar == nil || time.Since(s.drawn) < redrawAfter {
		return
	}
	now.at = time.Now()
	if s.from.at.IsZero() {
		s.from, s.next = now, now
	}
	if now.at.Sub(s.next.at) > rateOver {
		s.from, s.next = s.next, now
	}
	s.drawn = now.at
	s.bar.Set64(now.bytes)          //nolint:errcheck // an input that grows is beyond 100 %
	s.bar.Describe(s.describe(now)) // draws it
}

func (s *screen) describe(now progress) string {
	took := now.at.Sub(s.from.at)
	text := count(now.users) + " users"
	if now.users > s.from.users {
		text += ", " + rate(now.users-s.from.users, took)
	}
	if done := now.bytes - s.from.bytes; s.size > 0 && done > 0 {
		left := took.Seconds() * float64(s.size-now.bytes) / float64(done)
		text += fmt.Sprintf(", %s left", time.Duration(left)*time.Second)
	}
	return text
}

// inform writes a line for a person who looks on.
func (s *screen) inform(format string, args ...any) {
	if s.bar != nil {
		s.line(format, args...)
	}
}

// complain writes a line about what goes wrong.
func (s *screen) complain(format string, args ...any) { s.line("belfry: "+format, args...) }

func (s *screen) line(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
	fmt.Fprintf(s.to, format+"\n", args...)
}

// clear takes the bar away until it is shown again.
func (s *screen) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wipe()
}

func (s *screen) wipe() {
	if s.bar != nil {
		s.bar.Clear() //nolint:errcheck // the terminal has gone
	}
}

// complaints are those of which there may be very many.
type complaints struct{ invalid, refused complaint }

// complaint is one kind. The first few are shown, the others counted.
type complaint struct{ shown, more int64 }

func (c *complaint) say(to *screen, format string, args ...any) {
	if c.shown == shownMax {
		c.more++
		return
	}
	c.shown++
	to.complain(format, args...)
}

// close says how many were not shown.
func (c *complaints) close(to *screen) {
	if c.invalid.more > 0 {
		to.complain("and %s more lines that cannot be user ids", count(c.invalid.more))
	}
	if c.refused.more > 0 {
		to.complain("and %s more users who were refused", count(c.refused.more))
	}
}

// summarise prints what became of the users, those of earlier runs included.
func (m *mailing) summarise(took time.Duration) {
	table := tabwriter.NewWriter(m.out, 0, 0, 2, ' ', 0)
	var earlier, repeated string
	if n := m.before.users(); n > 0 {
		earlier = fmt.Sprintf(" (%s of them before this run)", count(n))
	}
	if m.repeated {
		repeated = " (some or all of them before, from the same command; nobody is notified twice)"
	}
	fmt.Fprintf(table, "Users read\t%s%s\n", count(m.position.users()), earlier)
	fmt.Fprintf(table, "Accepted\t%s%s\n", count(m.position.Accepted), repeated)
	fmt.Fprintf(table, "Refused\t%s\n", count(m.position.Refused))
	fmt.Fprintf(table, "Invalid lines\t%s\n", count(m.position.Invalid))
	if took > 0 {
		fmt.Fprintf(table, "Time\t%s, %s\n", rounded(took), rate(m.position.users()-m.before.users(), took))
	}
	table.Flush() //nolint:errcheck // nobody reads it
}

// count writes a number for people.
func count(n int64) string { return humanize.Comma(n) }

func rate(users int64, took time.Duration) string {
	return count(int64(float64(users)/took.Seconds())) + " users/s"
}

// rounded leaves out what nobody wants to know.
func rounded(d time.Duration) time.Duration {
	switch {
	case d > 10*time.Second:
		return d.Round(time.Second)
	case d > time.Second:
		return d.Round(100 * time.Millisecond)
	default:
		return d.Round(time.Millisecond)
	}
}
