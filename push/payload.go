package push

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strconv"
)

// MaxWebPayload is the longest Web Push plaintext, in bytes: a push service
// must take a body of 4096 (RFC 8030 §7.2), of which the aes128gcm header
// takes 86, the authentication tag 16 and the padding delimiter 1 (RFC 8188).
const MaxWebPayload = 4096 - 86 - 16 - 1

// WebPayload is the plaintext that a browser gets:
//
//	{"web_push":8030,"app_badge":3,"id":"<notification id>","notification":{…}}
//	{"receipt":"<token>","id":"<notification id>","notification":{…}}
//
// web_push is there only when a browser could act on the message without a
// service worker: the URL and that of every action are absolute. A service
// worker reads the same message either way. receipt is there when it is given,
// for a notification that WantsReceipts, and web_push is not then: a browser that
// shows a message by itself tells nobody. app_badge is there when it is
// given; its place is the one of the W3C draft. The draft's "mutable" is never
// there: it would start the service worker to change the notification first, and
// Belfry's has nothing to change.
func (n Notification) WebPayload(receipt string) []byte {
	payload := make([]byte, 0, len(webPayloadStart)+len(webPayloadReceipt)+len(receipt)+2+len(webPayloadBadge)+11+len(webPayloadID)+36+len(webPayloadMiddle)+len(n.Content)+1)
	switch {
	case receipt != "":
		payload = append(payload, webPayloadReceipt...)
		payload = append(payload, receipt...) // of an alphabet that JSON leaves as it is
		payload = append(payload, `",`...)
	case declarative(n.Content):
		payload = append(payload, webPayloadStart...)
	default:
		payload = append(payload, '{')
	}
	if badge := n.appBadge(); badge != nil {
		payload = append(payload, webPayloadBadge...)
		payload = strconv.AppendUint(payload, uint64(*badge), 10)
		payload = append(payload, ',')
	}
	payload = append(payload, webPayloadID...)
	payload = append(payload, n.ID.String()...)
	payload = append(payload, webPayloadMiddle...)
	payload = append(payload, n.Content...)
	return append(payload, '}')
}

// Declarative tells whether a payload that WebPayload made is one that a browser
// may show without a service worker.
func Declarative(payload []byte) bool { return bytes.HasPrefix(payload, []byte(webPayloadStart)) }

// appBadge is the number for the app's icon, if there is one. That of most
// notifications is decided without decoding.
func (n Notification) appBadge() *uint32 {
	if !bytes.Contains(n.Native, []byte(`"app_badge"`)) {
		return nil
	}
	native, err := DecodeNative(n.Native)
	if err != nil {
		return nil
	}
	return native.AppBadge
}

const (
	webPayloadStart   = `{"web_push":8030,`
	webPayloadReceipt = `{"receipt":"`
	webPayloadBadge   = `"app_badge":`
	webPayloadID      = `"id":"`
	webPayloadMiddle  = `","notification":`
)

// declarative tells whether the content has what a browser needs to show and
// open it by itself: where anything that the draft requires is missing, of the
// notification or of one action, the browser takes the message for a plain one.
// Common content, without a URL or without actions, is decided without decoding,
// which would be a sixteenth of what a message costs.
func declarative(content []byte) bool {
	if !bytes.Contains(content, []byte(`"navigate":"https://`)) {
		return false
	}
	if !bytes.Contains(content, []byte(`"actions":[`)) {
		title, rest, ok := textAfter(content, `{"title":"`)
		address, _, plain := textAfter(rest, `,"navigate":"`)
		if ok && plain && bytes.IndexByte(address, '\\') < 0 {
			return len(title) > 0 && navigable(string(address))
		}
	}
	var c Content
	if json.Unmarshal(content, &c) != nil || c.Title == "" || !navigable(c.URL) {
		return false
	}
	for _, action := range c.Actions {
		if action.Action == "" || action.Title == "" || !navigable(action.URL) {
			return false
		}
	}
	return true
}

// textAfter gives the JSON string that begins after a prefix, as it is encoded, and
// what follows it.
func textAfter(encoded []byte, prefix string) (text, rest []byte, ok bool) {
	begun, ok := bytes.CutPrefix(encoded, []byte(prefix))
	if !ok {
		return nil, nil, false
	}
	for i := 0; i < len(begun); i++ {
		switch begun[i] {
		case '\\':
			i++ // whatever it is, it does not end the string
		case '"':
			return begun[:i], begun[i+1:], true
		}
	}
	return nil, nil, false
}

// navigable tells whether a browser can open the URL wherever it is read.
func navigable(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && u.Scheme == "https" && u.Host != ""
}

// Topic is the Topic header (RFC 8030 §5.4) of this notification: a message
// the push service still holds is replaced by a newer one with the same
// topic. It is made of the collapse key or, without one, of the ID, so that a
// repeated send replaces its first copy.
//
// It is always 32 characters of base64url, the form that every push service
// takes (Apple refuses topics that do not decode as base64url).
func (n Notification) Topic() string {
	sum := sha256.Sum256(n.ID[:])
	if n.CollapseKey != "" {
		sum = sha256.Sum256([]byte(n.CollapseKey))
	}
	return base64.RawURLEncoding.EncodeToString(sum[:])[:32]
}
