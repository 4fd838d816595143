package simulate

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
)

// fcmRule says what is wrong with the value at a path of a request: nothing, when
// it is as the reference has it.
type fcmRule func(path string, value any) []fcmViolation

// fcmSendRequest is the body of projects.messages.send, member by member, as
// firebase.google.com/docs/reference/fcm/rest/v1/projects.messages has it. Names
// are those of the page; the camel case that Google takes too is not taken.
var fcmSendRequest = fcmObject(map[string]fcmRule{
	"validate_only": fcmBool,
	"message": fcmObject(map[string]fcmRule{
		"token":     fcmString,
		"topic":     fcmString,
		"condition": fcmString,
		"data":      fcmStrings,
		"notification": fcmObject(map[string]fcmRule{
			"title": fcmString,
			"body":  fcmString,
			"image": fcmString,
		}),
		"android":     fcmAndroid,
		"fcm_options": fcmLabel,
		"webpush": fcmObject(map[string]fcmRule{
			"headers":      fcmStrings,
			"data":         fcmStrings,
			"notification": fcmAnyObject,
			"fcm_options":  fcmObject(map[string]fcmRule{"link": fcmString, "analytics_label": fcmString}),
		}),
		"apns": fcmObject(map[string]fcmRule{
			"headers":             fcmStrings,
			"payload":             fcmAnyObject,
			"fcm_options":         fcmObject(map[string]fcmRule{"analytics_label": fcmString, "image": fcmString}),
			"live_activity_token": fcmString,
		}),
	}),
})

var fcmLabel = fcmObject(map[string]fcmRule{"analytics_label": fcmString})

var fcmAndroid = fcmObject(map[string]fcmRule{
	"collapse_key":             fcmString,
	"priority":                 fcmWord("NORMAL", "HIGH", "normal", "high"),
	"ttl":                      fcmTTL,
	"restricted_package_name":  fcmString,
	"data":                     fcmStrings,
	"direct_boot_ok":           fcmBool,
	"bandwidth_constrained_ok": fcmBool,
	"restricted_satellite_ok":  fcmBool,
	"fcm_options":              fcmLabel,
	"notification": fcmObject(map[string]fcmRule{
		"title":                   fcmString,
		"body":                    fcmString,
		"icon":                    fcmString,
		"color":                   fcmString,
		"sound":                   fcmString,
		"tag":                     fcmString,
		"click_action":            fcmString,
		"body_loc_key":            fcmString,
		"body_loc_args":           fcmList(fcmString),
		"title_loc_key":           fcmString,
		"title_loc_args":          fcmList(fcmString),
		"channel_id":              fcmString,
		"ticker":                  fcmString,
		"sticky":                  fcmBool,
		"event_time":              fcmString,
		"local_only":              fcmBool,
		"notification_priority":   fcmWord("PRIORITY_MIN", "PRIORITY_LOW", "PRIORITY_DEFAULT", "PRIORITY_HIGH", "PRIORITY_MAX"),
		"default_sound":           fcmBool,
		"default_vibrate_timings": fcmBool,
		"default_light_settings":  fcmBool,
		"vibrate_timings":         fcmList(fcmString),
		"visibility":              fcmWord("PRIVATE", "PUBLIC", "SECRET"),
		"notification_count":      fcmInt32,
		"light_settings":          fcmAnyObject,
		"image":                   fcmString,
		"proxy":                   fcmWord("ALLOW", "DENY", "IF_PRIORITY_LOWERED"),
	}),
})

// fcmObject is an object with these members at most.
func fcmObject(members map[string]fcmRule) fcmRule {
	return func(path string, value any) []fcmViolation {
		object, ok := value.(map[string]any)
		if !ok {
			return fcmWrong(path, "an object", value)
		}
		var violations []fcmViolation
		for _, name := range sortedKeys(object) {
			rule, known := members[name]
			if !known {
				violations = append(violations, fcmViolation{path, fmt.Sprintf("Invalid JSON payload received. Unknown name %q at '%s': Cannot find field.", name, path)})
				continue
			}
			inner := name
			if path != "" {
				inner = path + "." + name
			}
			violations = append(violations, rule(inner, object[name])...)
		}
		return violations
	}
}

func fcmAnyObject(path string, value any) []fcmViolation {
	if _, ok := value.(map[string]any); !ok {
		return fcmWrong(path, "an object", value)
	}
	return nil
}

// fcmStrings is a map of strings. Google names its values by their place.
func fcmStrings(path string, value any) []fcmViolation {
	object, ok := value.(map[string]any)
	if !ok {
		return fcmWrong(path, "a map", value)
	}
	var violations []fcmViolation
	for i, key := range sortedKeys(object) {
		violations = append(violations, fcmString(fmt.Sprintf("%s[%d].value", path, i), object[key])...)
	}
	return violations
}

func fcmList(of fcmRule) fcmRule {
	return func(path string, value any) []fcmViolation {
		list, ok := value.([]any)
		if !ok {
			return fcmWrong(path, "a list", value)
		}
		var violations []fcmViolation
		for i, one := range list {
			violations = append(violations, of(fmt.Sprintf("%s[%d]", path, i), one)...)
		}
		return violations
	}
}

func fcmString(path string, value any) []fcmViolation {
	if _, ok := value.(string); !ok {
		return fcmWrong(path, "TYPE_STRING", value)
	}
	return nil
}

func fcmBool(path string, value any) []fcmViolation {
	if _, ok := value.(bool); !ok {
		return fcmWrong(path, "TYPE_BOOL", value)
	}
	return nil
}

func fcmInt32(path string, value any) []fcmViolation {
	number, _ := value.(json.Number)
	if _, err := strconv.ParseInt(string(number), 10, 32); err != nil {
		return fcmWrong(path, "TYPE_INT32", value)
	}
	return nil
}

func fcmWord(words ...string) fcmRule {
	return func(path string, value any) []fcmViolation {
		if word, ok := value.(string); !ok || !slices.Contains(words, word) {
			return fcmWrong(path, "TYPE_ENUM", value)
		}
		return nil
	}
}

// fcmTTLForm is a duration in the JSON of Protocol Buffers, and not a negative
// one.
var fcmTTLForm = regexp.MustCompile(`^([0-9]{1,9}(\.[0-9]{1,9})?)s$`)

func fcmTTL(path string, value any) []fcmViolation {
	text, _ := value.(string)
	parts := fcmTTLForm.FindStringSubmatch(text)
	if parts == nil {
		return fcmWrong(path, "type.googleapis.com/google.protobuf.Duration", value)
	}
	if seconds, err := strconv.ParseFloat(parts[1], 64); err != nil || seconds > maxFCMTTL {
		return []fcmViolation{{path, fmt.Sprintf("the TTL must be between 0 and %d seconds", maxFCMTTL)}}
	}
	return nil
}

func fcmWrong(path, want string, value any) []fcmViolation {
	got, _ := json.Marshal(value) // it was decoded from JSON
	return []fcmViolation{{path, fmt.Sprintf("Invalid value at '%s' (%s), %s", path, want, got)}}
}

func sortedKeys(object map[string]any) []string {
	return slices.Sorted(maps.Keys(object))
}
