package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/belfryhq/belfry/api/client"
)

type appAPNsCommand struct {
	remoteFlags     `embed:""`
	App             string   `arg:"" help:"The app."`
	Name            string   `default:"ios" help:"What to call the credential. One of this name is replaced."`
	KeyFile         string   `xor:"what" placeholder:"FILE" help:"Key with APNs enabled, from Apple's developer site: AuthKey_….p8."`
	KeyID           string   `name:"key-id" placeholder:"ID" help:"The key's ID. Default: the one in the name of the file."`
	TeamID          string   `name:"team-id" placeholder:"ID" help:"ID of the developer team. With --key-file."`
	CertificateFile string   `xor:"what" placeholder:"FILE" help:"Certificate with its private key, as .p12 or PEM, instead of a key."`
	PasswordFile    string   `placeholder:"FILE" help:"File that holds the password of the .p12 file."`
	Topic           []string `placeholder:"TOPIC" help:"What it serves: the app's bundle ID, such as com.example.app. May be given several times. Default, with a certificate: what it says."`
	Host            string   `placeholder:"URL" help:"Instead of Apple's, for simulators."`
	SandboxHost     string   `placeholder:"URL" help:"Instead of Apple's for tokens of the sandbox, for simulators."`
}

// Run gives the app a credential for APNs.
func (c *appAPNsCommand) Run(ctx context.Context, to streams) error {
	credential, err := c.credential()
	if err != nil {
		return err
	}
	return putCredential(ctx, c.remoteFlags, c.App, c.Name, credential, to)
}

// appleKeyFile is the name that Apple gives the file of a key.
var appleKeyFile = regexp.MustCompile(`^AuthKey_([A-Z0-9]+)\.p8$`)

func (c *appAPNsCommand) credential() (client.NewCredential, error) {
	credential := client.NewCredential{
		Kind: "apns", KeyId: c.KeyID, TeamId: c.TeamID, Topics: c.Topic, Host: c.Host, SandboxHost: c.SandboxHost,
	}
	if c.PasswordFile != "" {
		password, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return credential, fmt.Errorf("--password-file: %w", err)
		}
		credential.Password = strings.TrimRight(string(password), "\r\n")
	}
	switch {
	case c.CertificateFile != "":
		file, err := os.ReadFile(c.CertificateFile)
		if err != nil {
			return credential, fmt.Errorf("--certificate-file: %w", err)
		}
		credential.Certificate = string(file)
		if !strings.Contains(credential.Certificate, "-----BEGIN ") {
			credential.Certificate = base64.StdEncoding.EncodeToString(file)
		}
	case c.KeyFile != "":
		file, err := os.ReadFile(c.KeyFile)
		if err != nil {
			return credential, fmt.Errorf("--key-file: %w", err)
		}
		credential.Key = string(file)
		if name := appleKeyFile.FindStringSubmatch(filepath.Base(c.KeyFile)); name != nil && c.KeyID == "" {
			credential.KeyId = name[1]
		}
	default:
		return credential, errors.New("neither --key-file nor --certificate-file is given: one of them is what the app proves itself with")
	}
	return credential, nil
}

type appFCMCommand struct {
	remoteFlags    `embed:""`
	App            string `arg:"" help:"The app."`
	Name           string `default:"android" help:"What to call the credential. One of this name is replaced."`
	ServiceAccount string `required:"" placeholder:"FILE" help:"Key of a service account, a JSON file from the Firebase console: project settings, service accounts."`
	Host           string `placeholder:"URL" help:"Instead of Google's, for simulators."`
}

// Run gives the app a credential for FCM.
func (c *appFCMCommand) Run(ctx context.Context, to streams) error {
	file, err := os.ReadFile(c.ServiceAccount)
	if err != nil {
		return fmt.Errorf("--service-account: %w", err)
	}
	if !json.Valid(file) {
		return fmt.Errorf("--service-account: %s is not JSON. Give the file as the Firebase console made it", c.ServiceAccount)
	}
	credential := client.NewCredential{Kind: "fcm", ServiceAccount: json.RawMessage(file), Host: c.Host}
	return putCredential(ctx, c.remoteFlags, c.App, c.Name, credential, to)
}

func putCredential(ctx context.Context, remote remoteFlags, app, name string, credential client.NewCredential, to streams) error {
	service, err := remote.connect()
	if err != nil {
		return err
	}
	response, err := service.PutCredentialWithResponse(ctx, app, name, credential)
	if err != nil {
		return err
	}
	put, verb := response.JSON201, "Added"
	if response.JSON200 != nil {
		put, verb = response.JSON200, "Replaced"
	}
	if put, err = answered(put, response.ApplicationproblemJSONDefault, response.HTTPResponse); err != nil {
		return err
	}
	fmt.Fprintf(to.out, "%s %s\n", verb, printable(describeCredential(put)))
	return nil
}

// describeCredential says in a line what may be shown of a credential.
func describeCredential(c *client.Credential) string {
	s := c.Settings
	line := fmt.Sprintf("%s (%s): ", c.Name, c.Kind)
	switch {
	case c.Kind == "fcm":
		line += fmt.Sprintf("project %s as %s", s.Project, s.ClientEmail)
	case s.ExpiresAt != nil:
		line += fmt.Sprintf("certificate until %s for %s", s.ExpiresAt.Local().Format(time.DateOnly), strings.Join(s.Topics, ", "))
	default:
		line += fmt.Sprintf("key %s of team %s for %s", s.KeyId, s.TeamId, strings.Join(s.Topics, ", "))
	}
	for _, host := range []string{s.Host, s.SandboxHost} {
		if host != "" {
			line += ", at " + host
		}
	}
	if c.Unusable {
		line += "; it cannot be used: give it again, or remove it"
	}
	return line
}
