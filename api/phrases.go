package api

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/belfryhq/belfry/push"
)

// clock writes a time for people. It is always UTC: who reads it may be anywhere.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// span writes a duration for people, in its two largest units.
func span(d time.Duration) string {
	d = max(d, 0)
	two := func(large time.Duration, one string, small time.Duration, other string) string {
		n, rest := d/large, d%large/small
		if rest == 0 {
			return fmt.Sprintf("%d %s", n, one)
		}
		return fmt.Sprintf("%d %s %d %s", n, one, rest, other)
	}
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Truncate(100*time.Millisecond).Seconds(), 'f', -1, 64) + " s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return two(time.Minute, "min", time.Second, "s")
	case d < 24*time.Hour:
		return two(time.Hour, "h", time.Minute, "min")
	default:
		return two(24*time.Hour, "d", time.Hour, "h")
	}
}

// failures says how often something failed, and with what last.
func failures(n int, last string) string {
	if n == 1 {
		return "failed once, with: " + last
	}
	return fmt.Sprintf("failed %s, last with: %s", times(n), last)
}

// many is a number of things.
func many(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// device is what a subscription of a kind is, to people.
func device(kind push.Kind) string {
	switch kind {
	case push.APNs:
		return "Apple device"
	case push.FCM:
		return "Android device"
	default:
		return "browser"
	}
}

// said is what came of an attempt: its status and what is known beside it.
func said(status int, reason string) string {
	switch {
	case status == 0 && reason == "":
		return "there was no answer"
	case status == 0:
		return reason
	case reason == "":
		return fmt.Sprintf("HTTP %d", status)
	default:
		return fmt.Sprintf("HTTP %d, %s", status, reason)
	}
}

// times is how often.
func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// join lists clauses.
func join(clauses []string) string {
	last := len(clauses) - 1
	if last < 1 {
		return strings.Join(clauses, "")
	}
	return strings.Join(clauses[:last], ", ") + " and " + clauses[last]
}

// addNew adds a text that is not there yet.
func addNew(to []string, text string) []string {
	if slices.Contains(to, text) {
		return to
	}
	return append(to, text)
}
