package apns

import (
	"bytes"
	"encoding/json"

	"github.com/belfryhq/belfry/push"
)

// payload is what the device gets:
//
//	{"aps":{"alert":{"title":"…","body":"…"},"badge":3,"sound":"default",…},
//	 "id":"<notification id>","url":"…","image":"…","data":…}
//
// aps is Apple's ("Generating a remote notification"), the rest is for the app
// and its extension. What the application gave as apns.payload is merged over
// it.
type payload struct {
	APS   aps             `json:"aps"`
	ID    string          `json:"id"`
	URL   string          `json:"url,omitempty"`
	Image string          `json:"image,omitempty"`
	Data  json.RawMessage `json:"data,omitempty"`
}

type aps struct {
	Alert            *alert  `json:"alert,omitempty"`
	Badge            *uint32 `json:"badge,omitempty"`
	Sound            string  `json:"sound,omitempty"`
	ThreadID         string  `json:"thread-id,omitempty"`
	Category         string  `json:"category,omitempty"`
	MutableContent   int     `json:"mutable-content,omitempty"`   // 1: the app's extension may change it, as to fetch the image
	ContentAvailable int     `json:"content-available,omitempty"` // 1: wake the app in the background
}

type alert struct {
	Title string `json:"title,omitempty"`
	Body  string `json:"body,omitempty"`
}

// read decodes what a notification says. The error is a *push.InvalidError.
func read(n push.Notification) (push.Content, push.Native, error) {
	content, err := push.DecodeContent(n.Content)
	if err != nil {
		return push.Content{}, push.Native{}, &push.InvalidError{Field: "notification", Detail: "The content cannot be read."}
	}
	native, err := push.DecodeNative(n.Native)
	if err != nil {
		return push.Content{}, push.Native{}, &push.InvalidError{Field: "apns", Detail: "What is for apps cannot be read: send it as the documentation has it."}
	}
	return content, native, nil
}

// encode makes the payload of a notification that says this. The error is a
// *push.InvalidError or a *push.TooLargeError.
func encode(n push.Notification, content push.Content, native push.Native, kind pushType) ([]byte, error) {
	encoded, err := json.Marshal(payload{
		APS: apsOf(content, native, n.Urgency, kind), ID: n.ID.String(), URL: content.URL, Image: content.Image, Data: content.Data,
	})
	if err != nil {
		return nil, &push.InvalidError{Field: "notification.data", Detail: "The data is not valid JSON."}
	}
	if native.APNs != nil && len(native.APNs.Payload) > 0 {
		if encoded, err = override(encoded, native.APNs.Payload, kind); err != nil {
			return nil, err
		}
	} else if kind.bare {
		return nil, bareError(kind)
	}
	if len(encoded) > kind.limit() {
		return nil, &push.TooLargeError{Kind: push.APNs, Bytes: len(encoded), Max: kind.limit()}
	}
	return encoded, nil
}

// apsOf is what Apple's own part says: all of it for an alert, nothing but a
// wake-up for the background. What other push types have there is the
// application's to give.
func apsOf(content push.Content, native push.Native, urgency push.Urgency, kind pushType) aps {
	switch kind.name {
	case "alert":
	case "background":
		return aps{ContentAvailable: 1}
	default:
		return aps{}
	}
	a := aps{
		Alert:    &alert{Title: content.Title, Body: content.Body},
		Badge:    native.AppBadge,
		Sound:    native.Sound,
		ThreadID: native.Thread,
		Category: native.Category,
	}
	if native.MutableContent || content.Image != "" {
		a.MutableContent = 1
	}
	switch {
	case a.Sound == "none":
		a.Sound = ""
	case a.Sound == "" && (urgency == push.UrgencyNormal || urgency == push.UrgencyHigh):
		a.Sound = "default"
	}
	return a
}

// override merges a patch over a payload. The error is a *push.InvalidError.
func override(encoded []byte, patch json.RawMessage, kind pushType) ([]byte, error) {
	var over map[string]any
	if decode(patch, &over) != nil || over == nil {
		return nil, &push.InvalidError{Field: "apns.payload", Detail: "The payload must be a JSON object, which is merged over the one that Belfry makes."}
	}
	var under map[string]any
	if err := decode(encoded, &under); err != nil {
		return nil, &push.InvalidError{Field: "apns.payload", Detail: "The payload cannot be merged."}
	}
	push.MergePatch(under, over)
	if err := checkAPS(under["aps"], kind); err != nil {
		return nil, err
	}
	merged, err := json.Marshal(under)
	if err != nil {
		return nil, &push.InvalidError{Field: "apns.payload", Detail: "The payload cannot be merged."}
	}
	return merged, nil
}

// decode keeps numbers as they are written.
func decode(encoded []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	return decoder.Decode(into)
}

// checkAPS tells whether what a patch left of aps goes with the push type. The
// error is a *push.InvalidError.
func checkAPS(merged any, kind pushType) error {
	aps, ok := merged.(map[string]any)
	switch {
	case !ok:
		return &push.InvalidError{Field: "apns.payload", Detail: "aps must be an object."}
	case kind.name == "background" && aps["alert"] != nil:
		return &push.InvalidError{Field: "apns.payload", Detail: "A push of type background shows nothing: leave aps.alert out, or send another push type."}
	case kind.bare && len(aps) == 0:
		return bareError(kind)
	}
	return nil
}

func bareError(kind pushType) error {
	return &push.InvalidError{Field: "apns.payload", Detail: "A push of type " + kind.name + " carries everything in aps: give it."}
}
