package fcm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/belfryhq/belfry/push"
)

const (
	// maxTTL is the longest that FCM keeps a message: four weeks.
	maxTTL = 28 * 24 * time.Hour

	// maxMessageBytes is the longest message taken. FCM counts "the total size
	// of the payload data, including both the keys and the values" (reference of
	// ErrorCode) and does not say of which members. Here the JSON of all of them
	// counts but for the token, which is no less.
	maxMessageBytes = 4096
)

// message is a Message of FCM's HTTP v1 API, without its target.
//
// The notification is shown by the system while the app is in the background.
// An app that is in the foreground gets all of it and decides itself; a tap
// hands it the data.
type message struct {
	Notification notification      `json:"notification"`
	Data         map[string]string `json:"data"`
	Android      android           `json:"android"`
}

type notification struct {
	Title string `json:"title"`
	Body  string `json:"body,omitempty"`
	Image string `json:"image,omitempty"`
}

type android struct {
	Priority     string              `json:"priority"`
	TTL          string              `json:"ttl"`
	CollapseKey  string              `json:"collapse_key,omitempty"`
	Notification androidNotification `json:"notification"`
}

type androidNotification struct {
	Tag   string `json:"tag"`
	Sound string `json:"sound,omitempty"`
	Count uint32 `json:"notification_count,omitempty"`
}

// The data that the app gets.
const (
	dataID       = "id"       // the notification's ID
	dataURL      = "url"      // what a tap opens
	dataData     = "data"     // the application's own, as JSON text
	dataActions  = "actions"  // the buttons, as JSON text: the system shows none
	dataThread   = "thread"   // which notifications belong together
	dataCategory = "category" // which of the app's sets of buttons to show
)

// encode makes the message of a notification, without its token: a JSON object.
// The error is a *push.InvalidError or a *push.TooLargeError if the application
// can do something about it.
func encode(n push.Notification, ttl time.Duration) ([]byte, error) {
	content, err := push.DecodeContent(n.Content)
	if err != nil {
		return nil, err
	}
	native, err := push.DecodeNative(n.Native)
	if err != nil {
		return nil, err
	}
	encoded, err := marshal(compose(n, content, native, ttl))
	if err != nil {
		return nil, fmt.Errorf("encode an FCM message: %w", err)
	}
	if native.FCM != nil && len(native.FCM.Message) > 0 {
		if encoded, err = merge(encoded, native.FCM.Message); err != nil {
			return nil, err
		}
	}
	if len(encoded) > maxMessageBytes {
		return nil, &push.TooLargeError{Kind: push.FCM, Bytes: len(encoded), Max: maxMessageBytes}
	}
	return encoded, nil
}

func compose(n push.Notification, content push.Content, native push.Native, ttl time.Duration) message {
	m := message{
		Notification: notification{Title: content.Title, Body: content.Body},
		Data:         dataOf(n.ID, content, native),
		Android: android{
			Priority:    priority(n.Urgency),
			TTL:         seconds(ttl),
			CollapseKey: n.CollapseKey, // never made up: a device keeps four of them
			Notification: androidNotification{
				Tag:   tag(n, content),
				Sound: sound(native.Sound, n.Urgency),
			},
		},
	}
	if strings.HasPrefix(content.Image, "https://") { // Android loads no other
		m.Notification.Image = content.Image
	}
	if native.AppBadge != nil {
		m.Android.Notification.Count = min(*native.AppBadge, math.MaxInt32) // 0 is to FCM as if it were not there
	}
	return m
}

func dataOf(id push.ID, content push.Content, native push.Native) map[string]string {
	data := map[string]string{dataID: id.String()}
	for key, value := range map[string]string{
		dataURL: content.URL, dataData: string(content.Data), dataThread: native.Thread, dataCategory: native.Category,
	} {
		if value != "" {
			data[key] = value
		}
	}
	if len(content.Actions) > 0 {
		actions, _ := marshal(content.Actions) // strings alone, which always encode
		data[dataActions] = string(actions)
	}
	return data
}

// priority is FCM's word for an urgency. HIGH wakes a phone that dozes; NORMAL
// may wait for hours until it wakes by itself. Google wants HIGH for messages
// that a person gets to see at once, which all of ours are, and RFC 8030 §5.3
// has chat messages for its example of a normal urgency, and advertisements and
// updates of a topic for those below.
func priority(urgency push.Urgency) string {
	if unhurried(urgency) {
		return "NORMAL"
	}
	return "HIGH"
}

func unhurried(urgency push.Urgency) bool {
	return urgency == push.UrgencyLow || urgency == push.UrgencyVeryLow
}

// sound is the sound of devices before Android 8; later ones have one for each of
// the app's channels.
func sound(wanted string, urgency push.Urgency) string {
	switch {
	case wanted == "none", wanted == "" && unhurried(urgency):
		return ""
	case wanted == "":
		return "default"
	default:
		return wanted
	}
}

// tag is what a notification is known by on the device, where one with the same
// tag replaces it: the application's or, so that a repeated send replaces its
// first copy, that of the collapse key or of the ID.
func tag(n push.Notification, content push.Content) string {
	if content.Tag != "" {
		return content.Tag
	}
	return n.Topic()
}

// seconds is a duration as the JSON of Protocol Buffers has it: whole seconds
// here, rounded up.
func seconds(d time.Duration) string {
	d = min(max(d, time.Second), maxTTL)
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10) + "s"
}

// request is the body of a request: the message for one token.
func request(to push.Endpoint, encoded []byte) []byte {
	token, _ := json.Marshal(string(to)) // a string always encodes
	body := make([]byte, 0, len(token)+len(encoded)+24)
	body = append(body, `{"message":{"token":`...)
	body = append(body, token...)
	if members := encoded[1:]; len(members) > 1 {
		body = append(body, ',')
	}
	body = append(body, encoded[1:]...)
	return append(body, '}')
}

// marshal is json.Marshal without the escapes for HTML, which would take room.
func marshal(value any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}
