package simulate

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func openBulk(t *testing.T) *WebPush {
	t.Helper()
	service, err := OpenWebPushWith(WebPushConfig{Config: Config{Bulk: true}})
	require.NoError(t, err)
	t.Cleanup(service.Stop)
	return service
}

func TestBulk_CountsAndForgets(t *testing.T) {
	service, sender := openBulk(t), newSender(t)
	for range 3 {
		require.Equal(t, 201, sender.post(t, service.Origin()+"/wpush/v2/anybody", nil).StatusCode)
	}
	require.Equal(t, 400, sender.post(t, service.Origin()+"/wpush/v2/anybody", withTTL("soon")).StatusCode)
	require.Empty(t, service.Log())
	counts := service.Counts()
	require.Equal(t, 4, counts.Requests)
	require.Equal(t, 3, counts.Taken)
	require.Positive(t, counts.Connections)

	var shown Counts
	response, err := client(t).Get(service.URL() + "/simulator/counts")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal([]byte(body(t, response)), &shown))
	require.Equal(t, 4, shown.Requests)
	require.Equal(t, 3, shown.Taken)
}

func TestBulk_ChecksEveryToken(t *testing.T) {
	service, sender := openBulk(t), newSender(t)
	url := service.Origin() + "/wpush/v2/anybody"
	require.Equal(t, 201, sender.post(t, url, nil).StatusCode)
	require.Equal(t, 401, sender.post(t, url, with("Authorization", "vapid t=a.b.c, k=d")).StatusCode)
	require.Equal(t, 201, sender.post(t, url, nil).StatusCode)
}

func TestBulk_MeetsFaults(t *testing.T) {
	service, sender := openBulk(t), newSender(t)
	url := service.Origin() + "/wpush/v2/anybody"
	require.NoError(t, service.Fault(Fault{Times: 1, Status: 503, Reason: "not now"}))
	require.Equal(t, 503, sender.post(t, url, nil).StatusCode)
	require.Equal(t, 201, sender.post(t, url, nil).StatusCode)
	require.Equal(t, 1, service.Counts().Taken)
}
