package api

import (
	"encoding/hex"
	"net/http"
	"strings"
)

// Lengths of the header traceparent, version 00, and of what is kept of it.
const (
	traceHeader = len("00-") + 2*16 + len("-") + 2*8 + len("-") + 2 // characters
	traceKept   = 16 + 8 + 1                                        // bytes: trace-id, parent-id, flags
)

// The flags that have a meaning.
const (
	flagSampled = 1 // who sent it records the trace
	flagRandom  = 2 // the trace-id is random
)

// traceContext reads the header traceparent (W3C Trace Context §3.2) in the form
// of push.Notification.Trace. It gives nil for one that is not sampled, and for
// one that is not right: then there is no trace, and nothing else is wrong (§4.3).
func traceContext(header http.Header) []byte {
	given := header["Traceparent"]
	if len(given) != 1 {
		return nil
	}
	return parseTraceparent(given[0])
}

func parseTraceparent(header string) []byte {
	if len(header) < traceHeader || header != strings.ToLower(header) {
		return nil
	}
	version, rest := header[:2], header[traceHeader:]
	switch {
	case version == "ff", version == "00" && rest != "", rest != "" && rest[0] != '-':
		return nil
	case header[2] != '-', header[35] != '-', header[52] != '-':
		return nil
	}
	digits := header[3:35] + header[36:52] + header[53:55] + version
	decoded, err := hex.DecodeString(digits)
	if err != nil || isZero(decoded[:16]) || isZero(decoded[16:24]) || decoded[24]&flagSampled == 0 {
		return nil
	}
	decoded[24] &= flagSampled | flagRandom
	return decoded[:traceKept:traceKept]
}

func isZero(bytes []byte) bool {
	for _, b := range bytes {
		if b != 0 {
			return false
		}
	}
	return true
}
