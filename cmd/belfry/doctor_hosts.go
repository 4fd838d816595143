package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/guard"
)

// pushHost is where messages go.
type pushHost struct {
	url     string // its origin
	trusted bool   // the operator vouches for it: it may be in their own network
}

// browserHosts are the push services of the great browsers. Windows' have a name
// for each region, which only a subscription tells.
var browserHosts = []pushHost{
	{url: "https://" + push.FCMHost}, {url: "https://updates.push.services.mozilla.com"}, {url: "https://web.push.apple.com"},
}

const hostWait = 5 * time.Second // for a push host to answer

// How far this machine's clock may be off. Tokens for push services say until
// when they are good, and APNs and FCM take none that is from the future.
const (
	skewNotable = 5 * time.Second
	skewWrong   = time.Minute
	synchronise = "Have the machine's clock set by NTP: timedatectl set-ntp true, chrony or systemd-timesyncd."
)

// answeredHost is what came of asking a push host.
type answeredHost struct {
	pushHost
	err  error
	skew time.Duration // how far its clock is ahead of ours
	date bool          // it told
}

// checkHosts looks whether the push hosts can be reached, all at a time.
func (d *doctor) checkHosts(ctx context.Context, hosts []pushHost) {
	const what = "push hosts"
	slices.SortFunc(hosts, func(a, b pushHost) int { return strings.Compare(a.url, b.url) })
	hosts = slices.CompactFunc(hosts, func(a, b pushHost) bool { return a.url == b.url })
	judge, err := guard.New(guard.Config{Field: "host", Remedy: "give its URL", AllowHosts: d.flags.AllowPushHosts})
	if err != nil {
		return // the configuration's check has said so
	}
	roots, err := d.flags.pushAuthorities()
	if err != nil {
		return // and so it has here
	}
	transports := judge.Transports(guard.TransportConfig{MaxConnsPerHost: 1, RootCAs: roots})
	defer transports.Close()
	answers := make([]answeredHost, len(hosts))
	var asking sync.WaitGroup
	for i, host := range hosts {
		asking.Go(func() {
			free := host.trusted
			if !free {
				_, free, _ = judge.Check("", host.url)
			}
			answers[i] = askHost(ctx, transports.For(free), host)
		})
	}
	asking.Wait()
	reached := d.reportHosts(what, answers)
	d.checkClock(reached)
}

func askHost(ctx context.Context, through http.RoundTripper, host pushHost) answeredHost {
	answer := answeredHost{pushHost: host}
	ctx, cancel := context.WithTimeout(ctx, hostWait)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, host.url+"/", nil)
	if err != nil {
		answer.err = err
		return answer
	}
	asked := time.Now()
	response, err := through.RoundTrip(request)
	if err != nil {
		answer.err = err
		return answer
	}
	response.Body.Close()
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		answer.date, answer.skew = true, skewOf(date, asked, time.Now())
	}
	return answer
}

// skewOf is how far a clock is ahead of ours that told the whole second of a
// moment between two others; 0 if that may be the same second.
func skewOf(date, asked, answered time.Time) time.Duration {
	switch {
	case date.Add(time.Second).Before(asked):
		return date.Add(time.Second).Sub(asked)
	case date.After(answered):
		return date.Sub(answered)
	default:
		return 0
	}
}

func (d *doctor) reportHosts(what string, answers []answeredHost) (reached []answeredHost) {
	var names []string
	closed := false // the way to one of them, at least
	for _, answer := range answers {
		name := strings.TrimPrefix(answer.url, "https://")
		switch {
		case answer.err == nil:
			reached, names = append(reached, answer), append(names, name)
		case errors.Is(answer.err, guard.ErrNotPublic):
			d.report.wrong(what, name+" has an address that is not on the public internet, so nothing is sent there.", "Correct the name service, or if it is meant so, allow it with --allow-push-hosts (BELFRY_ALLOW_PUSH_HOSTS).")
		case errors.Is(answer.err, context.DeadlineExceeded):
			d.report.wrong(what, fmt.Sprintf("%s does not answer within %s.", name, hostWait), openTheWay(&closed))
		default:
			d.report.wrong(what, name+" cannot be reached: "+oneLine(answer.err)+".", openTheWay(&closed))
		}
	}
	if len(names) > 0 {
		d.report.fine(what, strings.Join(names, ", ")+" can be reached.")
	}
	return reached
}

// openTheWay says what to do, once.
func openTheWay(said *bool) string {
	if *said {
		return ""
	}
	*said = true
	return "Let this machine resolve names and connect to port 443 there. Proxies named by the environment are not used; behind one that reads TLS, give its authority with --push-ca-file (BELFRY_PUSH_CA_FILE)."
}

// checkClock compares this machine's clock with the push hosts': with the middle
// one, for one of them may be wrong itself.
func (d *doctor) checkClock(reached []answeredHost) {
	const what = "clock"
	skews := make([]time.Duration, 0, len(reached))
	for _, host := range reached {
		if host.date {
			skews = append(skews, host.skew)
		}
	}
	if len(skews) == 0 {
		return
	}
	slices.Sort(skews)
	skew := skews[len(skews)/2]
	direction := "behind"
	if skew < 0 {
		direction = "ahead of"
	}
	says := fmt.Sprintf("This machine's clock is %s %s that of push services.", skew.Abs().Round(time.Second), direction)
	switch {
	case skew.Abs() > skewWrong:
		d.report.wrong(what, says+" They refuse our tokens.", synchronise)
	case skew.Abs() > skewNotable:
		d.report.notable(what, says, synchronise)
	default:
		d.report.fine(what, "This machine's clock agrees with that of push services.")
	}
}
