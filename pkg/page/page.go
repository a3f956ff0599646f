// Package page makes the opaque cursors of keyset pagination.
//
// A cursor holds the sort key of the last item of a page and a hash of the
// filters that selected it, so that a cursor brought back with other filters is
// refused instead of silently skipping items. It is not signed: it holds
// nothing that the client has not seen, and a query must name the tenant anyway.
package page

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/pyairtable/pyairtable/pkg/errs"
)

// ErrBadCursor is answered for a cursor that is malformed or belongs to another
// query.
var ErrBadCursor = errs.New(errs.Invalid, "bad_cursor", "The cursor does not belong to this query.").
	With(errs.Field{Pointer: "cursor", Detail: "start again without a cursor"})

// maxCursor bounds what Decode looks at; sort keys are short.
const maxCursor = 4096

type cursor struct {
	Filters string          `json:"f"`
	Key     json.RawMessage `json:"k"`
}

// Encode returns the cursor of the page after key. The key is a struct of the
// sort columns, such as the created_at and id of the last item. It must be
// possible to render it as JSON; one that cannot be is a programming error, and
// Encode panics.
func Encode(filterHash string, key any) string {
	k, err := json.Marshal(key)
	if err == nil {
		k, err = json.Marshal(cursor{Filters: filterHash, Key: k})
	}
	if err != nil {
		panic(fmt.Sprintf("page: key %T cannot be a cursor: %v", key, err))
	}
	return base64.RawURLEncoding.EncodeToString(k)
}

// Decode reads what Encode returned into key, a pointer. It answers ErrBadCursor
// for anything that Encode did not return for the same filters and kind of key.
func Decode(cur, filterHash string, key any) error {
	if len(cur) > maxCursor {
		return ErrBadCursor
	}
	b, err := base64.RawURLEncoding.DecodeString(cur)
	if err != nil {
		return ErrBadCursor.Because(err)
	}
	var c cursor
	if err := unmarshal(b, &c); err != nil {
		return ErrBadCursor.Because(err)
	}
	if c.Filters != filterHash || len(c.Key) == 0 {
		return ErrBadCursor
	}
	if err := unmarshal(c.Key, key); err != nil {
		return ErrBadCursor.Because(err)
	}
	return nil
}

func unmarshal(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// Filters hashes everything that decides which items a list holds and in what
// order: filters, sort, the tenant. The order of parts matters.
func Filters(parts ...any) string {
	b, err := json.Marshal(parts)
	if err != nil {
		panic(fmt.Sprintf("page: filters cannot be hashed: %v", err))
	}
	h := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(h[:9])
}
