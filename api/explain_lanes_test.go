package api

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
)

func TestExplanation_LeadsWithWhyItWaits(t *testing.T) {
	delivered := func(i byte) push.Delivery {
		return ended(push.StateDelivered, func(d *push.Delivery) { d.Subscription[1] = i })
	}
	gone := ended(push.StateGone, func(d *push.Delivery) { d.Subscription[1] = 9 })
	refused := actors.Node{Cause: "credentials refused", Reason: "403 InvalidProviderToken"}
	for want, test := range map[string]struct {
		deliveries []push.Delivery
		lanes      []actors.Node // of the others
	}{
		"1 of 2 delivered; the other waits, because api.push.apple.com refuses the app's credentials.":                          {[]push.Delivery{delivered(1)}, []actors.Node{refused}},
		"2 of 4 delivered; the others wait, because api.push.apple.com refuses the app's credentials.":                          {[]push.Delivery{delivered(1), delivered(2)}, []actors.Node{refused, refused}},
		"Both wait, because api.push.apple.com refuses the app's credentials and api.push.apple.com fails.":                     {nil, []actors.Node{refused, {Cause: "push host failing"}}},
		"All 3 wait, because api.push.apple.com asks for rest.":                                                                 {nil, slices.Repeat([]actors.Node{{Cause: "push host asks for rest"}}, 3)},
		"It was for 3 subscriptions: 1 delivered, 1 gone, 1 waiting, because api.push.apple.com refuses the app's credentials.": {[]push.Delivery{delivered(1), gone}, []actors.Node{refused}},
	} {
		f := told(test.deliveries...).with(func(f *facts) {
			f.Pending, f.lanes = true, map[push.Digest]actors.Node{}
			for i, lane := range test.lanes {
				digest := push.Digest{0xAB, byte(i)}
				f.live = append(f.live, actors.Progress{Subscription: digest, Kind: push.APNs, Host: "api.push.apple.com"})
				f.lanes[digest] = lane
			}
		})
		require.Equal(t, want, f.explanation().Summary[0])
	}
}
