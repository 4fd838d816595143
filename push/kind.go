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

// ParseKind reads the name used in the API.
func ParseKind(s string) (Kind, error) {
	switch s {
	case "webpush":
		return WebPush, nil
	case "apns":
		return APNs, nil
	case "fcm":
		return FCM, nil
	default:
		return 0, fmt.Errorf("%q is not a kind of push service: use webpush, apns or fcm", s)
	}
}

// FCMHost is the push host of all FCM subscriptions.
const FCMHost = "fcm.googleapis.com"

// Environment is one of Apple's two push services. A device token is known to
// one of them alone: that of an app from the App Store or TestFlight to
// production, that of an app run from Xcode to the sandbox. The numbers are
// stored and never change; zero is for subscriptions of other kinds.
type Environment uint8

// The environments of APNs.
const (
	Production Environment = 1
	Sandbox    Environment = 2
)

// Host is the push host of the environment.
func (e Environment) Host() string {
	if e == Sandbox {
		return "api.sandbox.push.apple.com"
	}
	return "api.push.apple.com"
}

// Other is the environment that this one is mistaken for.
func (e Environment) Other() Environment {
	if e == Sandbox {
		return Production
	}
	return Sandbox
}

// String gives the word used in the API and in logs.
func (e Environment) String() string {
	switch e {
	case Production:
		return "production"
	case Sandbox:
		return "sandbox"
	default:
		return fmt.Sprintf("environment(%d)", uint8(e))
	}
}

// ParseEnvironment reads the word used in the API.
func ParseEnvironment(s string) (Environment, error) {
	switch s {
	case "production":
		return Production, nil
	case "sandbox":
		return Sandbox, nil
	default:
		return 0, fmt.Errorf("%q is not an APNs environment: use production or sandbox", s)
	}
}
