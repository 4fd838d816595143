package push

import "fmt"

// Kind says which sort of push service a subscription belongs to. The numbers
// are stored and never change.
type Kind uint8

// The kinds of push service.
const (
	WebPush Kind = 1 // RFC 8030, RFC 8291, RFC 8292: browsers and UnifiedPush
	APNs    Kind = 2 // Apple Push Notification service
	FCM     Kind = 3 // Firebase Cloud Messaging, HTTP v1
)

// String gives the name used in the API, in actor names and in logs.
func (k Kind) String() string {
	switch k {
	case WebPush:
		return "webpush"
	case APNs:
		return "apns"
	case FCM:
		return "fcm"
	default:
		return fmt.Sprintf("kind(%d)", uint8(k))
	}
}
