package models

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"time"
)

// Head is a signed tree head.
type Head struct {
	Log       string
	Size      int64
	Root      Hash
	Chain     Hash
	SignedAt  time.Time
	KeyID     string
	Signature []byte
}

// Text is what is signed.
func (h *Head) Text() []byte {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, "pyairtable audit head v1\n%s\n%d\n%s\n%s\n%s\n",
		h.Log, h.Size, b64(h.Root[:]), b64(h.Chain[:]), h.SignedAt.UTC().Format(stamp))
}

// Sign signs the head.
func (h *Head) Sign(keyID string, key ed25519.PrivateKey) {
	h.KeyID, h.Signature = keyID, ed25519.Sign(key, h.Text())
}

// SignedBy reports whether the key has signed the head.
func (h *Head) SignedBy(key ed25519.PublicKey) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, h.Text(), h.Signature)
}

// KeyID names a public key by what it is.
func KeyID(key ed25519.PublicKey) string {
	sum := LeafHash(key)
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}
