package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/belfryhq/belfry/api"
)

func TestCheckOrigin(t *testing.T) {
	for _, origin := range []string{
		"https://app.your.domain", "http://localhost:3000", "https://app.your.domain:8443", "http://127.0.0.1:8080",
		"http://[::1]:8080", "https://[2001:db8::1]", "https://xn--bcher-kva.example", "http://my_host", "http://a.dev:443", "https://a.dev:80",
	} {
		require.NoError(t, api.CheckOrigin(origin), origin)
	}
	for origin, remedy := range map[string]string{
		"":                                "write it as browsers do",
		"null":                            "write it as browsers do",
		"app.your.domain":                 "write it as browsers do",
		"//app.your.domain":               "write it as browsers do",
		"ftp://app.your.domain":           "write it as browsers do",
		"https://":                        "write it as browsers do",
		"https://app.your.domain/":        "write it as browsers do",
		"https://app.your.domain?x":       "write it as browsers do",
		"https://app.your.domain#x":       "write it as browsers do",
		"https://me@app.your.domain":      "write it as browsers do",
		"https://App.your.domain":         "write it as browsers do",
		"HTTPS://app.your.domain":         "write it as browsers do",
		"https://app your.domain":         "write it as browsers do",
		"https://app.your.domain\x1b[31m": "write it as browsers do",
		"https://app..domain":             "write it as browsers do",
		"https://app.your.domain:":        "write it as browsers do",
		"https://app.your.domain:0":       "write it as browsers do",
		"https://app.your.domain:08443":   "write it as browsers do",
		"https://app.your.domain:65536":   "write it as browsers do",
		"https://app.your.domain:https":   "write it as browsers do",
		"http://::1":                      "write it as browsers do",
		"http://[::1":                     "write it as browsers do",
		"http://[0:0::1]":                 "write it as browsers do",
		"http://[fe80::1%eth0]":           "write it as browsers do",
		"https://[app.your.domain]":       "write it as browsers do",
		"https://*.your.domain":           "without *",
		"*":                               "without *",
		"https://bücher.example":          "punycode",
		"https://app.your.domain:443":     "drop :443",
		"http://app.your.domain:80":       "drop :80",
	} {
		require.ErrorContains(t, api.CheckOrigin(origin), "is not a web origin; ", origin)
		require.ErrorContains(t, api.CheckOrigin(origin), remedy, origin)
	}
}
