package webpush

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/belfryhq/belfry/push"
)

// The sizes of an encrypted message, in bytes (RFC 8188 §2.1, RFC 8291 §4).
//
//	salt 16 │ record size 4 │ key length 1 │ public key 65 │ payload … │ delimiter 1 │ padding … │ tag 16
//	└──────────────────── header, 86 ─────────────────────┘ └──────────── sealed ────────────┘
const (
	saltBytes      = 16
	publicKeyBytes = 65
	authBytes      = 16
	headerBytes    = saltBytes + 4 + 1 + publicKeyBytes
	tagBytes       = 16
	overhead       = headerBytes + 1 + tagBytes

	// recordSize is announced in every message and bounds its one record.
	recordSize = 4096

	// lastRecord is the delimiter between the payload and the padding of the
	// last record, and ours is always the last.
	lastRecord = 2
)

// paddedSizes are the lengths that bodies are padded to, in bytes, so that
// their size tells little about their content. The last is what Firefox for
// Android takes: its messages travel through FCM, and its endpoints look like
// those of any Firefox.
var paddedSizes = [...]int{512, 1024, 2048, 2744}

// paddedSize is how long the body of a payload becomes. A payload too long for
// the largest size is not padded.
func paddedSize(payload int) int {
	for _, size := range paddedSizes {
		if payload+overhead <= size {
			return size
		}
	}
	return payload + overhead
}

// recipient is the browser's half of the encryption.
type recipient struct {
	public *ecdh.PublicKey
	auth   []byte
}

// parseRecipient checks a subscription's keys. The error is a
// *push.InvalidError.
func parseRecipient(p256dh, auth []byte) (recipient, error) {
	if len(p256dh) != publicKeyBytes {
		return recipient{}, &push.InvalidError{
			Field:  "keys.p256dh",
			Detail: fmt.Sprintf("The key has %d bytes instead of 65: send what PushSubscription.toJSON() gives, unchanged.", len(p256dh)),
		}
	}
	public, err := ecdh.P256().NewPublicKey(p256dh)
	if err != nil {
		return recipient{}, &push.InvalidError{
			Field:  "keys.p256dh",
			Detail: "The key is not a point on the curve P-256: send what PushSubscription.toJSON() gives, unchanged.",
		}
	}
	if len(auth) != authBytes {
		return recipient{}, &push.InvalidError{
			Field:  "keys.auth",
			Detail: fmt.Sprintf("The secret has %d bytes instead of 16: send what PushSubscription.toJSON() gives, unchanged.", len(auth)),
		}
	}
	return recipient{public: public, auth: auth}, nil
}

// encrypt seals a payload for the recipient into a body of size bytes. Every
// call makes a key pair and a salt of its own, so two bodies of the same
// payload have nothing in common.
func (r recipient) encrypt(payload []byte, size int) ([]byte, error) {
	ephemeral, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key pair: %w", err)
	}
	var salt [saltBytes]byte
	rand.Read(salt[:])
	return r.seal(payload, size, ephemeral, salt)
}

// seal is encrypt with everything that is random given.
func (r recipient) seal(payload []byte, size int, ephemeral *ecdh.PrivateKey, salt [saltBytes]byte) ([]byte, error) {
	if len(payload) > push.MaxWebPayload {
		return nil, fmt.Errorf("the payload has %d bytes: push services take at most %d", len(payload), push.MaxWebPayload)
	}
	gcm, nonce, err := r.derive(ephemeral, salt)
	if err != nil {
		return nil, fmt.Errorf("derive the content key: %w", err)
	}

	body := make([]byte, headerBytes, size)
	copy(body, salt[:])
	binary.BigEndian.PutUint32(body[saltBytes:], recordSize)
	body[saltBytes+4] = publicKeyBytes
	copy(body[saltBytes+5:], ephemeral.PublicKey().Bytes())

	record := body[headerBytes : size-tagBytes]
	record[copy(record, payload)] = lastRecord
	return gcm.Seal(body, nonce, record, nil), nil
}

// derive makes the cipher and the nonce of the one record (RFC 8291 §3.4).
func (r recipient) derive(ephemeral *ecdh.PrivateKey, salt [saltBytes]byte) (cipher.AEAD, []byte, error) {
	shared, err := ephemeral.ECDH(r.public)
	if err != nil {
		return nil, nil, err
	}
	info := make([]byte, 0, len(keyInfo)+2*publicKeyBytes)
	info = append(info, keyInfo...)
	info = append(info, r.public.Bytes()...)
	info = append(info, ephemeral.PublicKey().Bytes()...)
	secret, err := hkdf.Key(sha256.New, shared, r.auth, string(info), sha256.Size)
	if err != nil {
		return nil, nil, err
	}
	random, err := hkdf.Extract(sha256.New, secret, salt[:])
	if err != nil {
		return nil, nil, err
	}
	key, err := hkdf.Expand(sha256.New, random, contentKeyInfo, 16)
	if err != nil {
		return nil, nil, err
	}
	nonce, err := hkdf.Expand(sha256.New, random, nonceInfo, 12)
	if err != nil {
		return nil, nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, nil, err
	}
	gcm, err := cipher.NewGCM(block)
	return gcm, nonce, err
}

const (
	keyInfo        = "WebPush: info\x00"
	contentKeyInfo = "Content-Encoding: aes128gcm\x00"
	nonceInfo      = "Content-Encoding: nonce\x00"
)
