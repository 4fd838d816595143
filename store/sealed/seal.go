package sealed

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
)

// ErrWrongKey: a secret was encrypted with another master key, or for another
// row. The two cannot be told apart.
var ErrWrongKey = errors.New("is encrypted with another master key: give the one that this database was first used with; all processes on a database need the same")

// version is that of the form of sealed secrets.
const version = 1

// row says what a secret belongs to.
type row struct{ table, app, name string }

// associated gives the row's bytes. Neither a table nor an app has a zero byte
// in its name, so no two rows have the same.
func (r row) associated() []byte { return []byte(r.table + "\x00" + r.app + "\x00" + r.name) }

// sealer encrypts with one key. It may be used from many goroutines.
type sealer struct{ aead cipher.AEAD }

func newSealer(key Key) sealer {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // only for a key of another length
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // only for a cipher other than AES
	}
	return sealer{aead}
}

func (s sealer) seal(secret []byte, row row) []byte {
	return s.aead.Seal([]byte{version}, nil, secret, row.associated())
}

// open reads what seal gave. Its errors go on from the name of what is opened.
func (s sealer) open(sealed []byte, row row) ([]byte, error) {
	if len(sealed) <= s.aead.Overhead() {
		return nil, errors.New("is too short to have been encrypted: bring the row back from a backup")
	}
	if sealed[0] != version {
		return nil, fmt.Errorf("is encrypted in a form, %d, that this program does not know: run the newer program", sealed[0])
	}
	secret, err := s.aead.Open(nil, nil, sealed[1:], row.associated())
	if err != nil {
		return nil, ErrWrongKey
	}
	return secret, nil
}
