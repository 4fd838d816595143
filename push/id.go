package push

import (
	"encoding/hex"
	"fmt"
	"time"
)

// ID names a notification. It is a UUID version 7 (RFC 9562 §5.7): the first
// 48 bits are a millisecond clock, and IDs compare in the order in which the
// notifications were accepted. The zero ID names nothing and sorts before all.
type ID [16]byte

// ParseID reads the canonical form, 8-4-4-4-12 hexadecimal digits.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return ID{}, fmt.Errorf("%q is not a notification id (a UUID)", s)
	}
	digits := s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	if _, err := hex.Decode(id[:], []byte(digits)); err != nil {
		return ID{}, fmt.Errorf("%q is not a notification id (a UUID)", s)
	}
	return id, nil
}

// String gives the canonical lower-case form.
func (id ID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	b[8] = '-'
	hex.Encode(b[9:13], id[4:6])
	b[13] = '-'
	hex.Encode(b[14:18], id[6:8])
	b[18] = '-'
	hex.Encode(b[19:23], id[8:10])
	b[23] = '-'
	hex.Encode(b[24:36], id[10:16])
	return string(b[:])
}

// Compare is -1, 0 or +1 as id was accepted before, is, or came after other.
func (id ID) Compare(other ID) int {
	for i := range id {
		switch {
		case id[i] < other[i]:
			return -1
		case id[i] > other[i]:
			return 1
		}
	}
	return 0
}

// IsZero tells whether id names nothing.
func (id ID) IsZero() bool { return id == ID{} }

// Time is the millisecond clock in the ID. It never runs backwards from one
// notification to the next, so after a clock step it may differ from the wall
// clock of the moment.
func (id ID) Time() time.Time {
	return time.UnixMilli(id.millis())
}

func (id ID) millis() int64 {
	return int64(id[0])<<40 | int64(id[1])<<32 | int64(id[2])<<24 |
		int64(id[3])<<16 | int64(id[4])<<8 | int64(id[5])
}

// MarshalText gives the canonical form, for JSON and logs.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the canonical form.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}
