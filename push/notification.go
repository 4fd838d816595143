package push

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// Notification is what an application asked to have shown to one user. It is
// immutable once it has an ID.
type Notification struct {
	ID          ID
	User        User
	Content     []byte // Content.Encode: the canonical JSON, ready to travel
	Native      []byte // Native.Encode: what phones' apps get beside it; nil for nothing
	Urgency     Urgency
	CollapseKey string    // a newer one with the same key replaces it; empty for none
	AcceptedAt  time.Time // wall clock, to the millisecond
	SendAt      time.Time // not sent before this; zero for at once
	ExpiresAt   time.Time // AcceptedAt, or SendAt, plus the TTL: not sent after this
	Trace       []byte    // the W3C trace context it was accepted in: trace-id, parent-id and flags, 25 bytes; nil for none
}

// Content is what the user gets to see and what the application gets back on
// a click. Its JSON is the "notification" member of a Declarative Web Push
// message (W3C Push API, "Declarative push messages"), so that one encoding serves service
// workers and browsers that show a notification without one.
type Content struct {
	Title   string          `json:"title"`
	URL     string          `json:"navigate,omitempty"` // opened by a click: absolute, or a path on the page's own origin
	Body    string          `json:"body,omitempty"`
	Icon    string          `json:"icon,omitempty"`
	Image   string          `json:"image,omitempty"`
	Badge   string          `json:"badge,omitempty"`
	Tag     string          `json:"tag,omitempty"` // a shown notification with the same tag is replaced
	Actions []Action        `json:"actions,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"` // any JSON, handed to the service worker as it is

	Receipts []ReceiptType `json:"receipts,omitempty"` // what the service worker is to tell; see ReceiptToken
}

// Action is a button under a notification.
type Action struct {
	Action string `json:"action"`             // the application's name for it
	Title  string `json:"title"`              // the button's text
	URL    string `json:"navigate,omitempty"` // opened by pressing it
	Icon   string `json:"icon,omitempty"`
}

// Encode gives the canonical JSON that a Notification carries. It fails only
// when Data is not valid JSON.
func (c Content) Encode() ([]byte, error) {
	encoded, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode content: %w", err)
	}
	return encoded, nil
}

// WantsReceipts tells whether devices are to say what became of it. That of
// most notifications is decided without decoding.
func (n Notification) WantsReceipts() bool { return len(n.Receipts()) > 0 }

// Receipts are what devices are to say of it, in the order in which they were
// asked for.
func (n Notification) Receipts() []ReceiptType {
	if !bytes.Contains(n.Content, []byte(`"receipts":[`)) {
		return nil
	}
	content, err := DecodeContent(n.Content)
	if err != nil {
		return nil
	}
	return content.Receipts
}

// Urgency is a hint to the push service about the device's battery
// (RFC 8030 §5.3). The numbers are stored and never change; the zero value is
// UrgencyNormal.
type Urgency uint8

// The urgencies of RFC 8030 §5.3.
const (
	UrgencyNormal  Urgency = 0
	UrgencyVeryLow Urgency = 1
	UrgencyLow     Urgency = 2
	UrgencyHigh    Urgency = 3
)

// String gives the value of the Urgency header.
func (u Urgency) String() string {
	switch u {
	case UrgencyNormal:
		return "normal"
	case UrgencyVeryLow:
		return "very-low"
	case UrgencyLow:
		return "low"
	case UrgencyHigh:
		return "high"
	default:
		return fmt.Sprintf("urgency(%d)", uint8(u))
	}
}

// ParseUrgency reads the value of an Urgency header.
func ParseUrgency(s string) (Urgency, error) {
	switch s {
	case "normal":
		return UrgencyNormal, nil
	case "very-low":
		return UrgencyVeryLow, nil
	case "low":
		return UrgencyLow, nil
	case "high":
		return UrgencyHigh, nil
	default:
		return 0, fmt.Errorf("%q is not an urgency: use very-low, low, normal or high", s)
	}
}
