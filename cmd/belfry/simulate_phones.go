package main

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/belfryhq/belfry/push/simulate"
)

type simulateAPNsCommand struct {
	simulatorFlags `embed:""`
	Listen         string `env:"BELFRY_SIMULATE_APNS_LISTEN" default:"127.0.0.1:2197" help:"Loopback address to listen on, host:port."`
	Sandbox        bool   `env:"BELFRY_SIMULATE_SANDBOX" help:"Be the sandbox instead of production."`
}

const (
	simulatedTeam  = "BELFRYTEAM"      // the ID of the team of developers; Apple's have ten characters too
	simulatedTopic = "com.example.app" // an example: any is taken
)

// Run simulates APNs until it is told to stop.
func (c *simulateAPNsCommand) Run(ctx context.Context, to streams) error {
	config, err := c.config(c.Listen)
	if err != nil {
		return err
	}
	file, key, err := c.signingKey()
	if err != nil {
		return fmt.Errorf("--dir (BELFRY_SIMULATE_DIR): %w", err)
	}
	service, err := simulate.OpenAPNs(simulate.APNsConfig{Config: config, Keys: []simulate.APNsKey{key}, Sandbox: c.Sandbox})
	if err != nil {
		return err
	}
	defer service.Stop()
	c.watch(ctx, to, service, c.guide(service.URL(), file, key), seenByPhone)
	return nil
}

func (c *simulateAPNsCommand) guide(url, file string, key simulate.APNsKey) guide {
	of, host, environment := "APNs", "--host ", ""
	if c.Sandbox {
		of, host, environment = "APNs' sandbox", "--sandbox-host ", " --environment sandbox"
	}
	return guide{of: of, steps: append([]step{
		{"Let Belfry trust it:", []string{"belfry serve " + c.trusting()}},
		{"Give an app the key that it takes:", []string{strings.Join([]string{
			"belfry app apns default --key-file", quoted(file), "--key-id", key.KeyID, "--team-id", key.TeamID, "--topic", simulatedTopic, host + url,
		}, " ")}},
		{"Register a phone for a user, by any token of hexadecimal digits, and send it something:", []string{
			"belfry subscriptions add alice --kind apns --token " + strings.Repeat("a11ce0", 10) + "beef" + environment,
			"belfry send -u alice -t Hello --wait",
		}},
	}, c.control(url, `{"status":503,"reason":"ServiceUnavailable","times":3}`)...)}
}

// signingKey is the one that is kept, as AuthKey_<ID>.p8, or a new one.
func (f simulatorFlags) signingKey() (file string, key simulate.APNsKey, err error) {
	entries, err := os.ReadDir(f.Dir)
	if err != nil {
		return "", key, fmt.Errorf("look for the signing key: %w", err)
	}
	for _, entry := range entries {
		if name := appleKeyFile.FindStringSubmatch(entry.Name()); name != nil {
			file = filepath.Join(f.Dir, entry.Name())
			public, err := readSigningKey(file)
			return file, simulate.APNsKey{TeamID: simulatedTeam, KeyID: name[1], Public: public}, err
		}
	}
	p8, key := simulate.NewAPNsKey()
	key.TeamID = simulatedTeam
	file = filepath.Join(f.Dir, "AuthKey_"+key.KeyID+".p8")
	if err := os.WriteFile(file, p8, 0o600); err != nil {
		return "", key, fmt.Errorf("keep the signing key: %w", err)
	}
	return file, key, nil
}

func readSigningKey(file string) (*ecdsa.PublicKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the signing key: %w", err)
	}
	if block, _ := pem.Decode(text); block != nil {
		if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			if private, ok := key.(*ecdsa.PrivateKey); ok {
				return &private.PublicKey, nil
			}
		}
	}
	return nil, fmt.Errorf("%s is not a signing key of Apple's kind: remove it, and another one is made", file)
}

// seenByPhone looks at what an iPhone got: the alert is a text or has a title.
func seenByPhone(e simulate.Entry) sighting {
	var payload struct {
		APS struct{ Alert json.RawMessage }
	}
	decode(e.Payload, &payload)
	var text string
	decode(payload.APS.Alert, &text)
	var alert struct{ Title string }
	decode(payload.APS.Alert, &alert)
	return sighting{e.Header.Get("apns-topic"), cmp.Or(alert.Title, text)}
}

type simulateFCMCommand struct {
	simulatorFlags `embed:""`
	Listen         string `env:"BELFRY_SIMULATE_FCM_LISTEN" default:"127.0.0.1:8444" help:"Loopback address to listen on, host:port. It is in the service account's file."`
}

// Run simulates FCM until it is told to stop.
func (c *simulateFCMCommand) Run(ctx context.Context, to streams) error {
	config, err := c.config(c.Listen)
	if err != nil {
		return err
	}
	file := filepath.Join(c.Dir, "service-account.json")
	kept, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--dir (BELFRY_SIMULATE_DIR): read the service account: %w", err)
	}
	service, err := simulate.OpenFCM(simulate.FCMConfig{Config: config, ServiceAccount: kept})
	if err != nil {
		return err
	}
	defer service.Stop()
	if err := os.WriteFile(file, service.ServiceAccount(), 0o600); err != nil {
		return fmt.Errorf("--dir (BELFRY_SIMULATE_DIR): keep the service account: %w", err)
	}
	c.watch(ctx, to, service, c.guide(service.URL(), file), seenByAndroid)
	return nil
}

func (c *simulateFCMCommand) guide(url, file string) guide {
	return guide{of: "FCM", steps: append([]step{
		{"Let Belfry trust it:", []string{"belfry serve " + c.trusting()}},
		{"Give an app the service account that it takes:", []string{
			"belfry app fcm default --service-account " + quoted(file) + " --host " + url,
		}},
		{"Register a phone for a user, by any token, and send it something:", []string{
			"belfry subscriptions add alice --kind fcm --token alices-phone:APA91b-" + strings.Repeat("simulated", 12),
			"belfry send -u alice -t Hello --wait",
		}},
	}, c.control(url, `{"status":503,"reason":"UNAVAILABLE","retry_after":10,"times":3}`)...)}
}

// seenByAndroid looks at what FCM was to show.
func seenByAndroid(e simulate.Entry) sighting {
	type titled struct{ Notification struct{ Title string } }
	var message struct {
		titled
		Data    map[string]string
		Android struct {
			titled
			CollapseKey string `json:"collapse_key"`
		}
	}
	decode(e.Payload, &message)
	return sighting{message.Android.CollapseKey, cmp.Or(message.Notification.Title, message.Android.Notification.Title, message.Data["title"])}
}

// decode reads what there is of it. A message may have any form: what is not as
// expected is not shown.
func decode(text json.RawMessage, into any) {
	if len(text) > 0 {
		_ = json.Unmarshal(text, into)
	}
}
