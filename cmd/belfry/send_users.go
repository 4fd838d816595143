package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/belfryhq/belfry/api/client"
	"github.com/belfryhq/belfry/push"
)

const (
	batchUsers    = 1000      // users in one request: as many as the API takes
	batchBytes    = 1_000_000 // of one request: less than the API takes, and than proxies do that take 1 MiB
	userBytes     = 6*255 + 2 // of a user id in JSON, at most
	lineBytes     = 512       // of a line that are looked at: more than a user id has
	inputBuffer   = 256 << 10 // bytes read at a time
	shownMax      = 20        // complaints of one kind that are shown
	byteOrderMark = "\xef\xbb\xbf"
)

// place is a place in the input, behind the end of a line.
type place struct {
	Line   int64  `json:"line"`   // lines before it
	Bytes  int64  `json:"bytes"`  // bytes before it
	SHA256 string `json:"sha256"` // of these bytes
}

// batch is one request's worth of users.
type batch struct {
	users    []string
	lines    []int64 // where each user stands
	invalid  int64   // lines that are no user ids
	examples []badLine
	body     []byte // the request
	key      string // the request's idempotency key
	end      place
	last     bool  // nothing comes after it
	err      error // the input cannot be read; then nothing else is set
}

type badLine struct {
	line int64
	text string
}

// userReader reads user ids, one a line, and makes requests of them. The same
// input and notification make the same requests, also from the end of any
// batch on.
type userReader struct {
	input        *bufio.Reader
	notification []byte // as each user gets it: JSON behind the user
	fingerprint  string // of the mailing
	line, bytes  int64  // read so far
	sum          hash.Hash
}

func newUserReader(input io.Reader, notification []byte, fingerprint string) *userReader {
	return &userReader{input: bufio.NewReaderSize(input, inputBuffer), notification: notification, fingerprint: fingerprint, sum: sha256.New()}
}

// encodeNotification gives the JSON that comes after the user.
func encodeNotification(body client.NewNotifications) []byte {
	encoded, err := json.Marshal(body)
	if err != nil {
		panic(fmt.Errorf("encode %T: %w", body, err)) // its only part that may fail, data, was checked
	}
	return encoded[1:]
}

// batches reads in a goroutine of its own until the last batch, or until ctx ends.
func (r *userReader) batches(ctx context.Context) <-chan *batch {
	batches := make(chan *batch)
	go func() {
		for {
			b := r.batch()
			select {
			case batches <- b:
			case <-ctx.Done():
				return
			}
			if b.last || b.err != nil {
				return
			}
		}
	}()
	return batches
}

// batch reads the next batch, without waiting for what comes after it: so the
// last may be without users.
func (r *userReader) batch() *batch {
	b := &batch{body: []byte(`{"notifications":[`)}
	from := r.line
	for len(b.users) < batchUsers && (len(b.users) == 0 || len(b.body)+len(r.notification)+userBytes < batchBytes) {
		text, err := r.readLine()
		if errors.Is(err, io.EOF) {
			b.last = true
			break
		}
		if err != nil {
			return &batch{err: err}
		}
		switch {
		case text == "":
		case push.ValidUserID(text):
			r.add(b, text)
		default:
			b.reject(r.line, text)
		}
	}
	b.body = append(b.body, "]}"...)
	b.key = digest([]byte(r.fingerprint), fmt.Append(nil, from), b.body)
	b.end = r.place()
	return b
}

func (r *userReader) add(b *batch, user string) {
	if len(b.users) > 0 {
		b.body = append(b.body, ',')
	}
	quoted, _ := json.Marshal(user) // any string can be
	b.body = append(append(append(b.body, `{"user":`...), quoted...), ',')
	b.body = append(b.body, r.notification...)
	b.users, b.lines = append(b.users, user), append(b.lines, r.line)
}

func (b *batch) reject(line int64, text string) {
	b.invalid++
	if len(b.examples) < shownMax {
		b.examples = append(b.examples, badLine{line, text})
	}
}

// readLine gives the next line without its end; of a very long one, the beginning.
func (r *userReader) readLine() (string, error) {
	part, err := r.read()
	text := string(part[:min(len(part), lineBytes)])
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = r.read()
	}
	if err != nil && (text == "" || !errors.Is(err, io.EOF)) {
		return "", err
	}
	r.line++
	if r.line == 1 {
		text = strings.TrimPrefix(text, byteOrderMark)
	}
	return strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r"), nil
}

// read reads up to the end of the line, or as much of it as the buffer holds.
func (r *userReader) read() ([]byte, error) {
	part, err := r.input.ReadSlice('\n')
	r.sum.Write(part)
	r.bytes += int64(len(part))
	return part, err
}

func (r *userReader) place() place {
	return place{Line: r.line, Bytes: r.bytes, SHA256: hex.EncodeToString(r.sum.Sum(nil))}
}

// errOtherInput: a position belongs to another list of users.
var errOtherInput = errors.New("the list of users is not the one that was begun: it differs in what was sent already. Give that one, or another --position file to begin anew")

// skip goes to a place that was reached before in the same input; at the end,
// nothing must come after it.
func (r *userReader) skip(ctx context.Context, to place, end bool) error {
	done := make(chan error, 1)
	go func() { done <- r.skipTo(to, end) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done(): // the input may never say more
		return errInterrupted
	}
}

func (r *userReader) skipTo(to place, end bool) error {
	n, err := io.CopyN(r.sum, r.input, to.Bytes)
	r.line, r.bytes = to.Line, n
	if errors.Is(err, io.EOF) || err == nil && r.place() != to {
		return errOtherInput
	}
	if err != nil {
		return err
	}
	if _, err := r.input.Peek(1); end && err == nil {
		return fmt.Errorf("all %s lines were sent already, and the list of users has become longer since. Send the new ones from a file of their own", count(to.Line))
	}
	return nil
}

// digest is the SHA-256 of the parts, in hexadecimal digits.
func digest(parts ...[]byte) string {
	sum := sha256.Sum256(bytes.Join(parts, []byte{0}))
	return hex.EncodeToString(sum[:])
}
