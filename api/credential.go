package api

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/push/apns"
	"github.com/belfryhq/belfry/push/fcm"
	"github.com/belfryhq/belfry/store"
)

// credential is what an app proves itself with to APNs or FCM, as it is kept in
// memory. It is not changed once it is made.
type credential struct {
	store.Credential          // without the secret
	madeOf           [32]byte // tells whether a row would make the same

	// What may be shown of it, by kind: of one that cannot be used, as much as
	// can be read.
	apple  apns.Settings
	google fcm.Settings

	// What senders use, by kind: nil if it cannot be used. They take the pointer
	// for the identity.
	apns *apns.Credential
	fcm  *fcm.Credential
}

// readCredential makes one of a row. With an error it cannot be used, but shown.
func readCredential(row store.Credential) (credential, error) {
	c := credential{Credential: row, madeOf: sourceOf(row)}
	c.Secret = nil
	var err error
	switch row.Kind {
	case push.APNs:
		if err = json.Unmarshal(row.Settings, &c.apple); err == nil {
			c.apns, err = apns.Load(c.apple, row.Secret)
		}
	case push.FCM:
		if err = json.Unmarshal(row.Settings, &c.google); err == nil {
			c.fcm, err = fcm.Load(c.google, row.Secret)
		}
	default:
		err = fmt.Errorf("it is for %s", row.Kind)
	}
	return c, err
}

// sourceOf is a hash of what of a row makes the credential.
func sourceOf(row store.Credential) (sum [32]byte) {
	hash := sha256.New()
	for _, part := range [][]byte{[]byte(row.Kind.String()), row.Settings, row.Secret} {
		hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		hash.Write(part)
	}
	hash.Sum(sum[:0])
	return sum
}

// kept finds what a row made before, if it would make the same now.
func (t tenant) kept(row store.Credential) (c credential, ok bool) {
	c, ok = t.credential(row.Name)
	if !ok || c.madeOf != sourceOf(row) {
		return credential{}, false
	}
	c.CreatedAt = row.CreatedAt
	return c, true
}

func (c credential) usable() bool { return c.apns != nil || c.fcm != nil }

// shown is the credential as an answer shows it.
func (c credential) shown() Credential {
	answer := Credential{Name: c.Name, Kind: c.Kind.String(), CreatedAt: c.CreatedAt.UTC(), Unusable: !c.usable()}
	if c.Kind == push.FCM {
		answer.Settings = CredentialSettings{
			Project: c.google.Project, ClientEmail: c.google.ClientEmail, KeyId: c.google.KeyID, Host: c.google.Host,
		}
		return answer
	}
	answer.Settings = CredentialSettings{
		TeamId: c.apple.TeamID, KeyId: c.apple.KeyID, Topics: c.apple.Topics,
		Host: c.apple.Host, SandboxHost: c.apple.SandboxHost, ExpiresAt: utc(c.apple.Expires),
	}
	return answer
}
