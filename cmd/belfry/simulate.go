package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/belfryhq/belfry/push/simulate"
)

type simulateCommand struct {
	WebPush simulateWebPushCommand `cmd:"" name:"webpush" help:"A Web Push service, and browsers that decrypt what they are sent."`
	APNs    simulateAPNsCommand    `cmd:"" name:"apns" help:"Apple's push service, for one team of developers."`
	FCM     simulateFCMCommand     `cmd:"" name:"fcm" help:"Firebase Cloud Messaging, for one project."`
}

// simulatorFlags are those of every simulator.
type simulatorFlags struct {
	Dir string `env:"BELFRY_SIMULATE_DIR" default:"./sim" type:"path" help:"Directory of its certificate authority and of the keys that it takes. They are made on the first run."`
}

// simulator is what the simulators have in common.
type simulator interface {
	URL() string
	Follow(ctx context.Context, see func(simulate.Entry))
	Stop()
}

// guide is what to do with a simulator that runs: for a person, who has never
// seen one.
type guide struct {
	of    string // what is simulated
	steps []step
}

// step is what a few commands are for.
type step struct {
	aim      string
	commands []string
}

// watch shows the guide, and then a line for each message until ctx ends. The
// lines alone go to the output, so that it can be piped.
func (f simulatorFlags) watch(ctx context.Context, to streams, s simulator, g guide, read func(simulate.Entry) sighting) {
	g.show(to.err, s.URL())
	log := slog.New(slog.NewTextHandler(to.out, nil))
	s.Follow(ctx, func(e simulate.Entry) {
		word := "refused"
		if e.Taken {
			word = "taken"
		}
		seen := read(e)
		log.Info(word, "status", e.Status, "reason", e.Reason, "topic", seen.topic, "title", seen.title)
	})
}

// sighting is what is worth a look in a message.
type sighting struct{ topic, title string }

func (g guide) show(to io.Writer, url string) {
	fmt.Fprintf(to, "Belfry's simulator of %s is listening on %s\n", g.of, url)
	for _, step := range g.steps {
		fmt.Fprintf(to, "\n%s\n", step.aim)
		for _, command := range step.commands {
			fmt.Fprintf(to, "    %s\n", command)
		}
	}
	fmt.Fprint(to, "\nEach message is a line from here on. Ctrl-C ends it.\n\n")
}

// trusting is the option of belfry serve that makes it trust the simulator.
func (f simulatorFlags) trusting() string { return "--push-ca-file " + quoted(f.authorityFile()) }

func (f simulatorFlags) authorityFile() string { return filepath.Join(f.Dir, "ca.pem") }

// control are the steps that look into a simulator and make it fail. The fault
// is an example, as JSON.
func (f simulatorFlags) control(url, fault string) []step {
	curl := "curl --cacert " + quoted(f.authorityFile()) + " "
	if strings.HasPrefix(url, "http://") {
		curl = "curl "
	}
	return []step{
		{"See what it got:", []string{curl + url + "/simulator/log"}},
		{"Make it fail, and end that again:", []string{
			curl + "-d " + quoted(fault) + " " + url + "/simulator/faults",
			curl + "-X DELETE " + url + "/simulator/faults",
		}},
	}
}

// plainWord is what a shell takes as it is.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`)

// quoted is a word as a shell reads it.
func quoted(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// config says how a simulator listens, with an authority that is kept.
func (f simulatorFlags) config(listen string) (simulate.Config, error) {
	authority, err := simulate.OpenAuthority(f.Dir)
	if err != nil {
		return simulate.Config{}, fmt.Errorf("--dir (BELFRY_SIMULATE_DIR): %w", err)
	}
	return simulate.Config{Address: listen, Authority: authority}, nil
}

type simulateWebPushCommand struct {
	simulatorFlags `embed:""`
	Listen         string `env:"BELFRY_SIMULATE_WEBPUSH_LISTEN" default:"127.0.0.1:8443" help:"Loopback address to listen on, host:port."`
	Vendor         string `env:"BELFRY_SIMULATE_VENDOR" enum:"mozilla,apple,google,windows" default:"mozilla" help:"In whose manner it refuses: mozilla, apple, google or windows."`
	Plain          bool   `env:"BELFRY_SIMULATE_PLAIN" help:"Speak http instead of https, so that a real Firefox can subscribe here."`
}

// Run simulates a Web Push service until it is told to stop.
func (c *simulateWebPushCommand) Run(ctx context.Context, to streams) error {
	config := simulate.WebPushConfig{Config: simulate.Config{Address: c.Listen}, Vendor: simulate.Vendor(c.Vendor)}
	if !c.Plain {
		var err error
		if config.Config, err = c.config(c.Listen); err != nil {
			return err
		}
	}
	service, err := simulate.OpenWebPushWith(config)
	if err != nil {
		return err
	}
	defer service.Stop()
	c.watch(ctx, to, service, c.guide(service), seenByBrowser)
	return nil
}

func (c *simulateWebPushCommand) guide(service *simulate.WebPush) guide {
	url := service.URL()
	_, address, _ := strings.Cut(url, "://")
	serve, curl := "belfry serve --allow-push-hosts "+address, "curl "
	if !c.Plain {
		serve, curl = serve+" "+c.trusting(), "curl --cacert "+quoted(c.authorityFile())+" "
	}
	g := guide{of: "a Web Push service", steps: []step{
		{"Let Belfry send to it:", []string{serve}},
		{"Subscribe a simulated browser, and register it for a user:", []string{
			curl + "-X POST " + url + "/simulator/subscriptions -o subscription.json",
			`curl -X PUT -H "Authorization: Bearer $BELFRY_KEY" -H 'Content-Type: application/json' -d @subscription.json http://127.0.0.1:8080/v1/users/alice/subscriptions`,
		}},
		{"Send it something:", []string{"belfry send -u alice -t Hello --wait"}},
	}}
	if c.Plain {
		g.steps = append(g.steps, step{"Or let Firefox subscribe here, by these two settings in a fresh profile's about:config:", []string{
			"dom.push.serverURL = " + service.AutopushURL(),
			"dom.push.testing.allowInsecureServerURL = true",
		}})
	}
	g.steps = append(g.steps, c.control(url, `{"status":429,"retry_after":5,"times":1}`)...)
	return g
}

// seenByBrowser looks at what a browser decrypted: Belfry's own form, or that of
// others, with the title on top.
func seenByBrowser(e simulate.Entry) sighting {
	var payload struct {
		Title        string
		Notification struct{ Title string }
	}
	decode(e.Payload, &payload)
	return sighting{e.Header.Get("Topic"), cmp.Or(payload.Notification.Title, payload.Title)}
}
