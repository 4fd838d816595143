package apns

import (
	"fmt"
	"slices"
	"strings"

	"github.com/belfryhq/belfry/push"
)

// The longest payloads, in bytes.
const (
	maxPayload     = 4096
	maxVoIPPayload = 5120
)

// pushType is one value of the apns-push-type header.
type pushType struct {
	name   string
	suffix string // what its topics have behind the bundle ID

	collapses bool // it shows, or may wake: a copy takes the place of the first
	bare      bool // there is nothing to it but what apns.payload puts into aps
}

// pushTypes are those that carry an application's notification, from the table
// "Know when to use push types". (mdm is for device management alone.)
var pushTypes = []pushType{
	{name: "alert", collapses: true},
	{name: "background", collapses: true},
	{name: "complication", suffix: ".complication"},
	{name: "controls", suffix: ".push-type.controls", bare: true},
	{name: "fileprovider", suffix: ".pushkit.fileprovider"},
	{name: "liveactivity", suffix: ".push-type.liveactivity", bare: true},
	{name: "location", suffix: ".location-query"},
	{name: "pushtotalk", suffix: ".voip-ptt"},
	{name: "voip", suffix: ".voip"},
	{name: "widgets", suffix: ".push-type.widgets", bare: true},
}

func (t pushType) limit() int {
	if t.name == "voip" {
		return maxVoIPPayload
	}
	return maxPayload
}

// suffixOf is what a topic has behind the bundle ID; empty for nothing.
func suffixOf(topic string) string {
	for _, t := range pushTypes {
		if t.suffix != "" && strings.HasSuffix(topic, t.suffix) {
			return t.suffix
		}
	}
	return ""
}

// BundleID is a topic without what Apple puts behind the bundle ID for some push
// types, as .voip.
func BundleID(topic string) string { return strings.TrimSuffix(topic, suffixOf(topic)) }

// typeNamed finds a push type. The error is a *push.InvalidError.
func typeNamed(name string) (pushType, error) {
	i := slices.IndexFunc(pushTypes, func(t pushType) bool { return t.name == name })
	if i < 0 {
		names := make([]string, len(pushTypes))
		for i, t := range pushTypes {
			names[i] = t.name
		}
		return pushType{}, &push.InvalidError{
			Field:  "apns.push_type",
			Detail: fmt.Sprintf("The push type is unknown: use one of %s.", strings.Join(names, ", ")),
		}
	}
	return pushTypes[i], nil
}

// typeFor is the push type of a notification to a topic: the one that it asks
// for, if that goes with the topic, or else the topic's own. The error is a
// *push.InvalidError.
func typeFor(topic, name string) (pushType, error) {
	suffix := suffixOf(topic)
	if name == "" {
		i := slices.IndexFunc(pushTypes, func(t pushType) bool { return t.suffix == suffix })
		return pushTypes[i], nil
	}
	t, err := typeNamed(name)
	if err != nil {
		return pushType{}, err
	}
	if t.suffix != suffix {
		return pushType{}, &push.InvalidError{
			Field:  "apns.push_type",
			Detail: fmt.Sprintf("A push of type %s does not go to the topic %s.", name, topic),
		}
	}
	return t, nil
}

// checkOptions tells whether the options go together, and gives the push type
// that they ask for: alert, if none. The errors are *push.InvalidErrors.
func checkOptions(options *push.APNsOptions) (pushType, error) {
	if options == nil {
		return pushTypes[0], nil
	}
	kind := pushTypes[0]
	if options.PushType != "" {
		var err error
		if kind, err = typeNamed(options.PushType); err != nil {
			return pushType{}, err
		}
	}
	switch {
	case options.Priority != 0 && options.Priority != 1 && options.Priority != 5 && options.Priority != 10:
		return pushType{}, &push.InvalidError{Field: "apns.priority", Detail: "The priority must be 10, 5 or 1."}
	case kind.name == "background" && options.Priority != 0 && options.Priority != 5:
		return pushType{}, &push.InvalidError{Field: "apns.priority", Detail: "A push of type background must have priority 5: leave it out, or send 5."}
	}
	return kind, nil
}
