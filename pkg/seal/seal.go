// Package seal keeps secrets at rest: it encrypts short values, such as tokens
// and signing keys, before they are stored.
//
// A Box holds several keys, each with an id. The first one seals; all of them
// open, so that a key is rotated by putting a new one in front and resealing
// what is Stale.
package seal

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// The layout of a sealed value: version, length of the key id, key id, nonce,
// ciphertext with tag. All that comes before the ciphertext is authenticated.
const (
	version  = 1
	maxKeyID = 32
)

// ErrOpen is returned for every value that cannot be opened: changed, cut,
// sealed for another context, or by a key that the box does not hold. They are
// not told apart on purpose.
var ErrOpen = errors.New("sealed value cannot be opened")

// Box seals and opens. It is safe for concurrent use.
type Box struct {
	first string
	aeads map[string]cipher.AEAD
}

// New reads keys of the form "kid1:base64key,kid0:base64key". Each key has 32
// bytes; ids are unique and at most 32 bytes long. The first key seals.
func New(keys string) (*Box, error) {
	b := &Box{aeads: map[string]cipher.AEAD{}}
	for i, part := range strings.Split(keys, ",") {
		kid, text, ok := strings.Cut(strings.TrimSpace(part), ":")
		if !ok || kid == "" || len(kid) > maxKeyID {
			return nil, fmt.Errorf("seal key %d: want id:base64", i+1)
		}
		if b.aeads[kid] != nil {
			return nil, fmt.Errorf("seal key %d: the id %q is taken", i+1, kid)
		}
		// The error of the decoder is left out: it could show part of the key.
		key, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(key) != chacha20poly1305.KeySize {
			return nil, fmt.Errorf("seal key %q: want %d bytes in base64", kid, chacha20poly1305.KeySize)
		}
		if b.aeads[kid], err = chacha20poly1305.NewX(key); err != nil {
			return nil, fmt.Errorf("seal key %q: %w", kid, err)
		}
		if i == 0 {
			b.first = kid
		}
	}
	return b, nil
}

// NewKey returns a random key with a random id in the form that New reads.
func NewKey() string {
	key := make([]byte, chacha20poly1305.KeySize)
	rand.Read(key) // never fails: crypto/rand ends the process instead
	return "k" + strings.ToLower(rand.Text()[:8]) + ":" + base64.StdEncoding.EncodeToString(key)
}

// Seal encrypts plain under the first key. The context says what the value is
// and whose, for instance "connection.token/" and the row's id: a value moved to
// another row does not open.
func (b *Box) Seal(plain, context []byte) ([]byte, error) {
	aead := b.aeads[b.first]
	out := make([]byte, 0, 2+len(b.first)+aead.NonceSize()+len(plain)+aead.Overhead())
	out = append(out, version, byte(len(b.first)))
	out = append(out, b.first...)
	nonce := make([]byte, aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("make nonce: %w", err)
	}
	aad := concat(out, context)
	out = append(out, nonce...)
	return aead.Seal(out, nonce, plain, aad), nil
}

// Open decrypts what Seal returned for the same context, or returns ErrOpen.
func (b *Box) Open(sealed, context []byte) ([]byte, error) {
	kid, n, ok := header(sealed)
	aead := b.aeads[kid]
	if !ok || aead == nil || len(sealed) < n+aead.NonceSize()+aead.Overhead() {
		return nil, ErrOpen
	}
	nonce, text := sealed[n:n+aead.NonceSize()], sealed[n+aead.NonceSize():]
	plain, err := aead.Open(nil, nonce, text, concat(sealed[:n], context))
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

// Stale reports whether the value was sealed by another key than the first, so
// that it should be opened and sealed again.
func (b *Box) Stale(sealed []byte) bool {
	kid, _, ok := header(sealed)
	return !ok || kid != b.first
}

// header returns the key id and the length of what comes before the nonce.
func header(sealed []byte) (kid string, n int, ok bool) {
	if len(sealed) < 2 || sealed[0] != version {
		return "", 0, false
	}
	n = 2 + int(sealed[1])
	if len(sealed) < n {
		return "", 0, false
	}
	return string(sealed[2:n]), n, true
}

// concat never writes into a's spare capacity, which append would.
func concat(a, b []byte) []byte {
	return append(append(make([]byte, 0, len(a)+len(b)), a...), b...)
}
