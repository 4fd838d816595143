package push

import (
	"hash/fnv"
	"unicode"
	"unicode/utf8"
)

// DefaultApp is the app that exists from the first start.
const DefaultApp = "default"

// MaxUserBytes is the longest user id, in bytes of UTF-8.
const MaxUserBytes = 255

// User is one user of one app.
type User struct {
	App string // the app's name
	ID  string // what the application calls the user: see ValidUserID
}

// ValidUserID tells whether s can be a user id: 1 to 255 bytes of valid UTF-8
// without control characters, other than ".", ".." and "/", which URLs do not
// hold as a path segment (RFC 3986 §5.2.4), or servers do not take for one.
func ValidUserID(s string) bool {
	if s == "" || s == "." || s == ".." || s == "/" || len(s) > MaxUserBytes || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return false
		}
	}
	return true
}

// Shards is the number of slices all users are divided into. It is fixed for
// ever, because every pending row carries its shard.
const Shards = 1024

// Shard is a slice of all users, from 0 to Shards-1.
type Shard uint16

// Shard is the slice this user belongs to. The function is part of the stored
// data's format: FNV-1a (64 bit) over app, a zero byte, and the id, folded.
func (u User) Shard() Shard {
	h := fnv.New64a()
	h.Write([]byte(u.App))
	h.Write([]byte{0})
	h.Write([]byte(u.ID))
	sum := h.Sum64()
	return Shard((sum ^ sum>>32) % Shards)
}

// ShardRange is the shards from First up to and including Last.
type ShardRange struct{ First, Last Shard }

// Contains tells whether s lies in the range.
func (r ShardRange) Contains(s Shard) bool { return r.First <= s && s <= r.Last }
