package apns

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/sideshow/apns2"

	"github.com/belfryhq/belfry/push"
)

const (
	// The shortest and the longest device token taken, in bytes. Apple's have 32
	// and may grow: "Don't make assumptions about the length".
	minTokenBytes = 16
	maxTokenBytes = 200

	// maxCollapseBytes is the longest apns-collapse-id.
	maxCollapseBytes = 64
)

// checkAddress tells whether a subscription names a device at an environment.
// The error is a *push.InvalidError.
func checkAddress(subscription push.Subscription) error {
	token := string(subscription.Endpoint)
	switch bytes := len(token) / 2; {
	case len(token)%2 != 0 || strings.Trim(token, "0123456789abcdef") != "":
		return &push.InvalidError{Field: "token", Detail: "The device token must be written as pairs of hexadecimal digits, in lower case."}
	case bytes < minTokenBytes || bytes > maxTokenBytes:
		return &push.InvalidError{
			Field:  "token",
			Detail: fmt.Sprintf("The device token has %d bytes: %d to %d are taken. Send all of what the device got from APNs.", bytes, minTokenBytes, maxTokenBytes),
		}
	case subscription.Environment != push.Production && subscription.Environment != push.Sandbox:
		return &push.InvalidError{Field: "environment", Detail: "The environment must be production or sandbox."}
	}
	return checkTopic(subscription.Topic)
}

// posting is a message made ready: everything of a request but where it goes and
// who sends it.
type posting struct {
	notification *apns2.Notification
	registered   time.Time // when the device last said that it is there
}

// compose makes a message ready. The error is a *push.InvalidError or a
// *push.TooLargeError.
func compose(message push.Message, now time.Time) (posting, error) {
	n, subscription := message.Notification, message.Subscription
	content, native, err := read(n)
	if err != nil {
		return posting{}, err
	}
	options := push.APNsOptions{}
	if native.APNs != nil {
		options = *native.APNs
	}
	kind, err := typeFor(subscription.Topic, options.PushType)
	if err != nil {
		return posting{}, err
	}
	body, err := encode(n, content, native, kind)
	if err != nil {
		return posting{}, err
	}
	return posting{
		notification: &apns2.Notification{
			ApnsID:      messageID(n.ID, subscription.Digest),
			CollapseID:  collapseID(n, content.Tag, kind),
			DeviceToken: string(subscription.Endpoint),
			Topic:       subscription.Topic,
			Expiration:  now.Add(message.TTL + time.Second - 1), // sent as whole seconds
			Priority:    priority(n.Urgency, options.Priority, kind),
			Payload:     body,
			PushType:    apns2.EPushType(kind.name),
		},
		registered: registeredAt(subscription),
	}, nil
}

// registeredAt is the last time that the device itself said that it is there. A
// delivery is no such sign: APNs takes messages for a while to a device that the
// app is gone from.
func registeredAt(subscription push.Subscription) time.Time {
	if subscription.RegisteredAt.IsZero() {
		return subscription.CreatedAt
	}
	return subscription.RegisteredAt
}

// messageID is the apns-id: the same for every attempt to send a notification to
// a subscription, and for no other. It is a UUID version 8 (RFC 9562 §5.8).
func messageID(id push.ID, digest push.Digest) string {
	sum := sha256.Sum256(append(id[:], digest[:]...))
	uuid := push.ID(sum[:16])
	uuid[6] = 0x80 | uuid[6]&0x0F
	uuid[8] = 0x80 | uuid[8]&0x3F
	return uuid.String()
}

// collapseID is the apns-collapse-id: a notification takes the place of one with
// the same. It is the tag, which browsers go by; or else the collapse key; or else
// the notification's own ID, so that a repeated send replaces its first copy. It
// is also what an app finds a shown notification by, hence the value as it is
// where it can be a header.
//
// Apple does not say what it does to push types that show nothing, so there is
// none for those; but the background's, where it spares a second wake-up.
func collapseID(n push.Notification, tag string, kind pushType) string {
	if !kind.collapses {
		return ""
	}
	value := cmp.Or(tag, n.CollapseKey)
	if value == "" {
		return n.ID.String()
	}
	if len(value) > maxCollapseBytes || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
		sum := sha256.Sum256([]byte(value))
		return base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return value
}

// priority is the apns-priority: now, or when it suits the battery.
func priority(urgency push.Urgency, wanted int, kind pushType) int {
	switch {
	case wanted != 0:
		return wanted
	case kind.name == "background", urgency == push.UrgencyLow, urgency == push.UrgencyVeryLow:
		return apns2.PriorityLow
	default:
		return apns2.PriorityHigh
	}
}
