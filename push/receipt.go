package push

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Receipt is what a device says of a notification that it got.
type Receipt struct {
	Notification ID
	Subscription Digest
	Type         ReceiptType
	At           time.Time // when it arrived here: the device's clock is not asked
}

// ReceiptType says what the device did. The numbers are stored and never change.
type ReceiptType uint8

// The types.
const (
	ReceiptShown   ReceiptType = 1 // the service worker showed it
	ReceiptClicked ReceiptType = 2 // the user clicked it, or one of its actions
	ReceiptClosed  ReceiptType = 3 // the user closed it without a click
)

// String gives the word used in the API.
func (t ReceiptType) String() string {
	switch t {
	case ReceiptShown:
		return "shown"
	case ReceiptClicked:
		return "clicked"
	case ReceiptClosed:
		return "closed"
	default:
		return fmt.Sprintf("receipt(%d)", uint8(t))
	}
}

// ParseReceiptType is the inverse of String.
func ParseReceiptType(s string) (ReceiptType, error) {
	for _, t := range []ReceiptType{ReceiptShown, ReceiptClicked, ReceiptClosed} {
		if t.String() == s {
			return t, nil
		}
	}
	return 0, fmt.Errorf("%q is not a kind of receipt: use shown, clicked or closed", s)
}

// MarshalText gives the word, for the content of a notification.
func (t ReceiptType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads the word.
func (t *ReceiptType) UnmarshalText(text []byte) (err error) {
	*t, err = ParseReceiptType(string(text))
	return err
}

// Event is the type of the event that a receipt makes.
func (t ReceiptType) Event() EventType { return EventShown + EventType(t-ReceiptShown) }

// ErrReceiptToken: a receipt token is not one that Belfry made, or not for this app.
var ErrReceiptToken = errors.New("not a receipt token")

const (
	receiptVersion   = 1
	receiptMAC       = 16                            // bytes of the HMAC-SHA-256 that are kept
	receiptBody      = 1 + len(ID{}) + len(Digest{}) // version, notification, subscription
	receiptRaw       = receiptBody + receiptMAC      // bytes before base64url
	receiptSeparator = "."                           // between the app's name and the rest
	receiptContext   = "belfry receipt token, 1\x00" // so that the secret's other uses make nothing that passes here
)

// MaxReceiptToken is the longest a receipt token can be, in bytes: an app's
// name has 32 at most.
const MaxReceiptToken = 32 + 1 + (receiptRaw*8+5)/6

// ReceiptToken lets a device say what became of one notification at one
// subscription, and nothing else. It is the app's name, a dot, and in base64url
//
//	1 byte    the version of this form, 1
//	16 bytes  the notification's ID
//	32 bytes  the subscription's digest
//	16 bytes  of the HMAC-SHA-256 of all of that, the app's name included
//
// The secret is the app's token secret. It does not expire, but ends with the
// notification's row and when the secret is replaced.
func ReceiptToken(secret []byte, app string, notification ID, subscription Digest) string {
	raw := make([]byte, 0, receiptRaw)
	raw = append(raw, receiptVersion)
	raw = append(raw, notification[:]...)
	raw = append(raw, subscription[:]...)
	raw = append(raw, signReceipt(secret, app, raw)...)
	return app + receiptSeparator + base64.RawURLEncoding.EncodeToString(raw)
}

func signReceipt(secret []byte, app string, body []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(receiptContext))
	mac.Write([]byte(app))
	mac.Write([]byte{0})
	mac.Write(body)
	return mac.Sum(nil)[:receiptMAC]
}

// ReceiptApp is the app that a receipt token says it is of. That is no more
// than a claim until OpenReceiptToken has looked at it.
func ReceiptApp(token string) (app string, err error) {
	app, _, ok := strings.Cut(token, receiptSeparator)
	if !ok || len(token) > MaxReceiptToken {
		return "", ErrReceiptToken
	}
	return app, nil
}

// OpenReceiptToken says what a receipt token is for. ErrReceiptToken if it was
// not made with this secret.
func OpenReceiptToken(secret []byte, token string) (notification ID, subscription Digest, err error) {
	app, encoded, _ := strings.Cut(token, receiptSeparator)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded) // which skips line breaks
	if err != nil || strings.ContainsAny(encoded, "\r\n") || len(token) > MaxReceiptToken || len(raw) != receiptRaw || raw[0] != receiptVersion ||
		!hmac.Equal(raw[receiptBody:], signReceipt(secret, app, raw[:receiptBody])) {
		return ID{}, Digest{}, ErrReceiptToken
	}
	copy(notification[:], raw[1:])
	copy(subscription[:], raw[1+len(notification):])
	return notification, subscription, nil
}
