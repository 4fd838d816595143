package simulate

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// The longest payloads, in bytes.
const (
	maxAPNsPayload = 4096
	maxVoIPPayload = 5120
)

var (
	tokenForm = regexp.MustCompile(`^[0-9A-Fa-f]+$`)
	uuidForm  = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
)

// pushTypes are the values of apns-push-type, with what the topic of each has
// behind the bundle ID.
var pushTypes = map[string]string{
	"alert":        "",
	"background":   "",
	"mdm":          "",
	"complication": ".complication",
	"controls":     ".push-type.controls",
	"fileprovider": ".pushkit.fileprovider",
	"liveactivity": ".push-type.liveactivity",
	"location":     ".location-query",
	"pushtotalk":   ".voip-ptt",
	"voip":         ".voip",
	"widgets":      ".push-type.widgets",
}

// bundleOf is a topic without what a push type has behind the bundle ID, and
// that.
func bundleOf(topic string) (bundle, suffix string) {
	for _, suffix := range pushTypes {
		if bundle, ok := strings.CutSuffix(topic, suffix); ok && suffix != "" {
			return bundle, suffix
		}
	}
	return topic, ""
}

// checkRepeated refuses a header that is there twice.
func checkRepeated(h http.Header) *apnsAnswer {
	for name, values := range h {
		if len(values) > 1 && (name == "Authorization" || strings.HasPrefix(name, "Apns-")) {
			return refused400("DuplicateHeaders")
		}
	}
	return nil
}

// checkAPNsHeader holds the headers to the table of "Sending notification
// requests to APNs". It wants apns-push-type, which Apple requires of some and
// recommends to all.
func checkAPNsHeader(h http.Header, topic string) *apnsAnswer {
	if id := h.Get("apns-id"); id != "" && !uuidForm.MatchString(id) {
		return refused400("BadMessageId")
	}
	pushType := h.Get("apns-push-type")
	wanted, known := pushTypes[pushType]
	if _, suffix := bundleOf(topic); !known || suffix != wanted {
		return refused400("InvalidPushType")
	}
	switch priority := h.Get("apns-priority"); {
	case priority != "" && priority != "10" && priority != "5" && priority != "1",
		pushType == "background" && priority != "5":
		return refused400("BadPriority")
	}
	if expiration := h.Get("apns-expiration"); expiration != "" {
		if _, err := strconv.ParseUint(expiration, 10, 63); err != nil {
			return refused400("BadExpirationDate")
		}
	}
	if len(h.Get("apns-collapse-id")) > 64 {
		return refused400("BadCollapseId")
	}
	return nil
}

// checkAPNsPayload wants a JSON object with an aps object, of the allowed size.
func checkAPNsPayload(body []byte, pushType string) *apnsAnswer {
	limit := maxAPNsPayload
	if pushType == "voip" {
		limit = maxVoIPPayload
	}
	if len(body) > limit {
		return &apnsAnswer{Status: http.StatusRequestEntityTooLarge, Reason: "PayloadTooLarge"}
	}
	var payload struct {
		APS map[string]json.RawMessage `json:"aps"`
	}
	if json.Unmarshal(body, &payload) != nil || payload.APS == nil {
		return refused400("PayloadEmpty")
	}
	return nil
}
