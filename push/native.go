package push

import (
	"encoding/json"
	"fmt"
)

// Native is what of a notification is for the apps of phones: there is no such
// thing in browsers, but for the number on the app's icon.
type Native struct {
	AppBadge       *uint32 `json:"app_badge,omitempty"`       // the number on the app's icon; 0 takes it away
	Sound          string  `json:"sound,omitempty"`           // a sound of the app's, "default" or "none"; empty for the default unless the urgency is low
	Thread         string  `json:"thread,omitempty"`          // notifications of a thread are shown together
	Category       string  `json:"category,omitempty"`        // which of the app's sets of buttons to show
	MutableContent bool    `json:"mutable_content,omitempty"` // iOS: the app's extension may change it before it is shown

	APNs *APNsOptions `json:"apns,omitempty"`
	FCM  *FCMOptions  `json:"fcm,omitempty"`
}

// APNsOptions is what of a notification is for APNs alone.
type APNsOptions struct {
	PushType string          `json:"push_type,omitempty"` // the apns-push-type header; empty for what the topic says: alert, mostly
	Priority int             `json:"priority,omitempty"`  // the apns-priority header: 10, 5 or 1; 0 for what the urgency says
	Payload  json.RawMessage `json:"payload,omitempty"`   // an object that is merged over the payload (RFC 7396)
}

// FCMOptions is what of a notification is for FCM alone.
type FCMOptions struct {
	Message json.RawMessage `json:"message,omitempty"` // an object that is merged over the message (RFC 7396)
}

// Encode gives the canonical JSON that a Notification carries: nil when there
// is nothing to say. It fails only when a RawMessage is not valid JSON.
func (n Native) Encode() ([]byte, error) {
	if n == (Native{}) {
		return nil, nil
	}
	encoded, err := json.Marshal(n)
	if err != nil {
		return nil, fmt.Errorf("encode what is for apps: %w", err)
	}
	return encoded, nil
}

// DecodeNative reads what Encode gave.
func DecodeNative(encoded []byte) (Native, error) {
	var n Native
	if len(encoded) == 0 {
		return n, nil
	}
	if err := json.Unmarshal(encoded, &n); err != nil {
		return Native{}, fmt.Errorf("decode what is for apps: %w", err)
	}
	return n, nil
}

// DecodeContent reads what Content.Encode gave.
func DecodeContent(encoded []byte) (Content, error) {
	var c Content
	if err := json.Unmarshal(encoded, &c); err != nil {
		return Content{}, fmt.Errorf("decode content: %w", err)
	}
	return c, nil
}
