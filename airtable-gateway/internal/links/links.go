// Package links makes and reads the addresses under which files are downloaded
// without a token: each carries what it opens, for which tenant and until when, and
// a signature over all of that. Nobody can make one, or change one into another.
package links

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/seal"
)

// Kind is what a link opens.
type Kind byte

// The kinds of links.
const (
	OfStore      Kind = 'a' // an attachment of the base store
	OfConnection Kind = 's' // a copy of an attachment of an Airtable account
)

// Variant is which picture of an attachment; File is the attachment itself.
type Variant string

// The variants are called as Airtable's thumbnails are.
const (
	File  Variant = ""
	Small Variant = "small"
	Large Variant = "large"
	Full  Variant = "full"
)

// variants are the Variants by the byte that stands for each in a link.
var variants = []Variant{File, Small, Large, Full}

// Link is what an address says.
type Link struct {
	Kind       Kind
	Variant    Variant
	Tenant     id.TenantID
	Connection models.ConnectionID // zero: none
	Attachment string              // att…
	Expires    time.Time           // whole seconds; zero: never
}

// ErrNotALink is returned for whatever this Book did not make.
var ErrNotALink = errors.New("not a link of ours")

// Book makes and reads links. It is safe for concurrent use.
type Book struct {
	key  []byte
	base string
}

// New returns a Book that signs with key. base is what addresses begin with, up to
// and without the last slash.
func New(key []byte, base string) *Book { return &Book{key, strings.TrimSuffix(base, "/")} }

const keySize = 32

// NewKey returns a random key.
func NewKey() []byte {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails
	return key
}

var sealContext = []byte("airtable-gateway/link-key")

// Open returns a Book under the key that the database has, which all replicas share
// and which outlives the keys of the box: it is sealed anew when they change.
func Open(ctx context.Context, repo *repository.Files, box *seal.Box, base string) (*Book, error) {
	fresh, err := box.Seal(NewKey(), sealContext)
	if err != nil {
		return nil, err
	}
	sealed, err := repo.LinkKey(ctx, fresh)
	if err != nil {
		return nil, err
	}
	key, err := box.Open(sealed, sealContext)
	if err != nil {
		return nil, fmt.Errorf("the key of links was sealed by a key that SEAL_KEYS no longer has: %w", err)
	}
	if box.Stale(sealed) {
		again, err := box.Seal(key, sealContext)
		if err != nil {
			return nil, err
		}
		if err := repo.ResealLinkKey(ctx, sealed, again); err != nil {
			return nil, err
		}
	}
	return New(key, base), nil
}

// macSize is how much of the signature a link carries.
const macSize = 20

const idSize = 16

// URL is the address of l. The filename stands at its end for people and programs to
// see; it opens nothing. The same link always has the same address.
func (b *Book) URL(l Link, filename string) string {
	body := l.encode()
	token := base64.RawURLEncoding.EncodeToString(append(body, b.sign(body)...))
	return b.base + "/" + token + "/" + url.PathEscape(filename)
}

func (l Link) encode() []byte {
	out := make([]byte, 0, 3+2*idSize+8+len(l.Attachment)+macSize)
	var variant byte
	for i, v := range variants {
		if v == l.Variant {
			variant = byte(i)
		}
	}
	out = append(out, 1, byte(l.Kind), variant) // 1 is the layout
	out = append(out, idBytes(l.Tenant.String())...)
	out = append(out, idBytes(l.Connection.String())...)
	var until int64
	if !l.Expires.IsZero() {
		until = l.Expires.Unix()
	}
	out = binary.BigEndian.AppendUint64(out, uint64(until))
	return append(out, l.Attachment...)
}

// idBytes are the sixteen bytes of an id; zeros for none.
func idBytes(canonical string) []byte {
	out := make([]byte, idSize)
	_, _ = hex.Decode(out, []byte(strings.ReplaceAll(canonical, "-", ""))) // an id is hexadecimal
	return out
}

func (b *Book) sign(body []byte) []byte {
	mac := hmac.New(sha256.New, b.key)
	mac.Write(body)
	return mac.Sum(nil)[:macSize]
}

// Read reads what follows the base in an address: the token, and perhaps a filename,
// which is not looked at. It does not look at the clock either. It returns
// ErrNotALink.
func (b *Book) Read(rest string) (Link, error) {
	token, _, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	const head = 3 + 2*idSize + 8
	if err != nil || len(raw) <= head+macSize {
		return Link{}, ErrNotALink
	}
	body, mac := raw[:len(raw)-macSize], raw[len(raw)-macSize:]
	if !hmac.Equal(mac, b.sign(body)) || body[0] != 1 || int(body[2]) >= len(variants) {
		return Link{}, ErrNotALink
	}
	l := Link{Kind: Kind(body[1]), Variant: variants[body[2]], Attachment: string(body[head:])}
	if errors.Join(l.Tenant.Scan(body[3:3+idSize]), l.Connection.Scan(body[3+idSize:3+2*idSize])) != nil {
		return Link{}, ErrNotALink
	}
	if until := int64(binary.BigEndian.Uint64(body[3+2*idSize:])); until != 0 {
		l.Expires = time.Unix(until, 0).UTC()
	}
	return l, nil
}

// Recognize reads an address that a client sent back. It is false for any that this
// Book did not make, for this tenant.
func (b *Book) Recognize(address string, tenant id.TenantID) (Link, bool) {
	rest, ok := strings.CutPrefix(address, b.base+"/")
	if !ok {
		return Link{}, false
	}
	l, err := b.Read(rest)
	return l, err == nil && l.Tenant == tenant
}

// Base is what all addresses begin with.
func (b *Book) Base() string { return b.base }
