package fcm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/belfryhq/belfry/push"
)

// patchField is the application's part of a message, as the API spells it.
const patchField = "fcm.message"

// targets say to whom a message goes, and name is FCM's to give: a patch must
// not have them.
var targets = []string{"token", "topic", "condition", "name"}

// merge lays an application's patch over a message (RFC 7396). The error is a
// *push.InvalidError that names the member of the patch.
func merge(encoded, patch []byte) ([]byte, error) {
	changes, ok := decodeAny(patch).(map[string]any)
	if !ok {
		return nil, &push.InvalidError{Field: patchField, Detail: "This must be a JSON object: the members of FCM's message to set, with null for those to leave out."}
	}
	if err := checkPatch(changes); err != nil {
		return nil, err
	}
	merged, err := marshal(push.MergePatch(decodeAny(encoded), changes))
	if err != nil {
		return nil, fmt.Errorf("encode an FCM message: %w", err)
	}
	return merged, nil
}

// checkPatch refuses what FCM would refuse for every device, or take for another.
func checkPatch(patch map[string]any) error {
	for _, target := range targets {
		if _, given := patch[target]; given {
			return &push.InvalidError{Field: patchField + "." + target, Detail: "Belfry sets it: leave it out."}
		}
	}
	if err := checkData(patchField+".data", patch["data"]); err != nil {
		return err
	}
	if android, ok := patch["android"].(map[string]any); ok {
		return checkData(patchField+".android.data", android["data"])
	}
	return nil
}

// checkData holds the data of a patch to what FCM takes (reference of
// projects.messages): strings, and no key that is FCM's own.
func checkData(field string, data any) error {
	if data == nil {
		return nil // not there, or to be left out
	}
	members, ok := data.(map[string]any)
	if !ok {
		return &push.InvalidError{Field: field, Detail: "The data must be a JSON object whose values are strings."}
	}
	for key, value := range members {
		if reserved(key) {
			return &push.InvalidError{Field: field + "." + key, Detail: `FCM keeps "from", "message_type" and all that begins with "google" or "gcm" for itself: use another key.`}
		}
		switch value.(type) {
		case string, nil:
		default:
			return &push.InvalidError{Field: field + "." + key, Detail: "FCM takes strings alone: send other values as JSON text."}
		}
	}
	return nil
}

// reserved tells which keys of the data are FCM's. Its pages differ on whether a
// dot has to follow the prefixes.
func reserved(key string) bool {
	return key == "from" || key == "message_type" || strings.HasPrefix(key, "google") || strings.HasPrefix(key, "gcm")
}

// decodeAny decodes JSON without loss of digits. It is nil for what is not one
// JSON value.
func decodeAny(encoded []byte) any {
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return nil
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil
	}
	return value
}
