package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxBody is the largest request body of most operations, in bytes.
const maxBody = 64 << 10

// decodeStrictly reads the body of an operation that takes one, and lets only
// what openapi.yaml describes pass: JSON of the right types, in UTF-8, without unknown
// fields, nothing after it. The generated handler decodes it again, which is
// lenient about all of these.
func (s *Server) decodeStrictly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		op := operations[r.Pattern]
		if op.body == nil {
			next.ServeHTTP(w, r)
			return
		}
		var also []string
		if op.plainText {
			also = []string{"text/plain"}
		}
		raw, err := readJSON(w, r, op.body(), cmp.Or(op.bodyMax, maxBody), also...)
		if errors.Is(err, errNoBody) && op.bodyOptional {
			err = nil
		}
		if err == nil {
			err = s.checkAgain(r.Context()) // the body may have taken its time
		}
		if err != nil {
			s.writeError(w, r, err)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(raw))
		next.ServeHTTP(w, r)
	})
}

// readJSON decodes the request's body, of at most so many bytes, into the value
// and returns it as it came. It takes application/json, and also those other
// media types.
func readJSON(w http.ResponseWriter, r *http.Request, into any, limit int64, also ...string) ([]byte, error) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, problem{
			status: http.StatusRequestEntityTooLarge, code: "request_too_large",
			detail: fmt.Sprintf("The request's body is larger than %d bytes. Send less at a time.", limit),
		}
	}
	if err != nil {
		return nil, invalidJSON("The request's body ended too soon.")
	}
	if len(raw) == 0 {
		return nil, errNoBody
	}
	if mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); mediaType != "application/json" && !slices.Contains(also, mediaType) {
		return nil, problem{
			status: http.StatusUnsupportedMediaType, code: "unsupported_media_type",
			detail: "Send JSON, with the header Content-Type: application/json.",
		}
	}
	if !utf8.Valid(raw) {
		return nil, invalidJSON("The request's body is not valid UTF-8. Encode all text as UTF-8.")
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return nil, jsonProblem(err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, invalidJSON("The request's body goes on after the JSON value. Send one value.")
	}
	return raw, nil
}

var errNoBody = invalidJSON("The request has no body. Send a JSON object.")

func invalidJSON(detail string) problem {
	return problem{status: http.StatusBadRequest, code: "invalid_json", detail: detail}
}

// jsonProblem says what the decoder found, in the caller's terms.
func jsonProblem(err error) error {
	var syntax *json.SyntaxError
	var mistyped *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return invalidJSON(fmt.Sprintf("The request's body is not valid JSON at byte %d: %s.", syntax.Offset, syntax))
	case errors.As(err, &mistyped) && mistyped.Field == "":
		return invalidJSON(fmt.Sprintf("The request's body is a JSON %s. Send an object.", mistyped.Value))
	case errors.As(err, &mistyped):
		return invalid(mistyped.Field, "%s is a JSON %s. Give a %s.", mistyped.Field, mistyped.Value, jsonType(mistyped.Type.Kind().String()))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return invalidJSON("The request's body ends in the middle of the JSON value.")
	}
	// encoding/json has no type for this one.
	if name, ok := strings.CutPrefix(err.Error(), `json: unknown field "`); ok {
		name = strings.TrimSuffix(name, `"`)
		return problem{
			status: http.StatusBadRequest, code: "unknown_field", field: name,
			detail: fmt.Sprintf("There is no field %s here. GET /openapi.yaml lists those that there are.", name),
		}
	}
	return invalidJSON("The request's body cannot be read: " + err.Error() + ".")
}

// jsonType is what JSON calls a Go kind.
func jsonType(kind string) string {
	switch {
	case strings.HasPrefix(kind, "int"):
		return "whole number that is not too large"
	case strings.HasPrefix(kind, "uint"):
		return "whole number from 0 on that is not too large"
	case kind == "slice":
		return "list"
	case kind == "struct", kind == "map":
		return "JSON object"
	default:
		return kind
	}
}
