package api

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/belfryhq/belfry/push"
)

// apnsPriorities are the values of the header apns-priority.
var apnsPriorities = []int{0, 1, 5, 10} // 0: not given

// nativeOf encodes what is for the apps of phones. The words and sizes are for
// the kinds of push service to check.
func nativeOf(body *NewNotifications) ([]byte, error) {
	native := push.Native{
		AppBadge: body.AppBadge, Sound: body.Sound, Thread: body.Thread,
		Category: body.Category, MutableContent: body.MutableContent,
	}
	payload, err := objectOf("apns.payload", body.Apns.Payload)
	if err != nil {
		return nil, err
	}
	message, err := objectOf("fcm.message", body.Fcm.Message)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(apnsPriorities, body.Apns.Priority) {
		return nil, invalid("apns.priority", "apns.priority is %d. Use 10, 5 or 1.", body.Apns.Priority)
	}
	if body.Apns.PushType != "" || body.Apns.Priority != 0 || payload != nil {
		native.APNs = &push.APNsOptions{PushType: body.Apns.PushType, Priority: body.Apns.Priority, Payload: payload}
	}
	if message != nil {
		native.FCM = &push.FCMOptions{Message: message}
	}
	encoded, err := native.Encode()
	if err != nil {
		return nil, invalid("apns", "apns or fcm is not valid JSON.")
	}
	return encoded, nil
}

// objectOf is a member that holds any JSON object, or nil without one.
func objectOf(field string, given json.RawMessage) (json.RawMessage, error) {
	given = bytes.TrimSpace(given)
	switch {
	case len(given) == 0, string(given) == "null":
		return nil, nil
	case given[0] != '{':
		return nil, invalid(field, "%s is not a JSON object. Give one, such as {}.", field)
	}
	return given, nil
}
