package models

import (
	"crypto/rand"
	"strings"
)

// Airtable's own ids: three letters that name the thing and fourteen characters
// of [A-Za-z0-9], case-sensitive.
type (
	BaseID   string // app…
	TableID  string // tbl…
	FieldID  string // fld…
	ViewID   string // viw…
	RecordID string // rec…
	ChoiceID string // sel…
)

const (
	alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	idLength = 14
	// maxIDLength bounds ids that are longer than Airtable's, which test suites use.
	maxIDLength = 64
)

// NewID returns prefix followed by fourteen random characters, unguessable.
func NewID(prefix string) string {
	out := make([]byte, 0, len(prefix)+idLength)
	out = append(out, prefix...)
	var buf [32]byte
	for len(out) < len(prefix)+idLength {
		_, _ = rand.Read(buf[:]) // never fails
		for _, b := range buf {
			// 248 is the largest multiple of 62 in a byte; above it the choice would be uneven.
			if b < 248 && len(out) < len(prefix)+idLength {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out)
}

func NewBaseID() BaseID     { return BaseID(NewID("app")) }
func NewTableID() TableID   { return TableID(NewID("tbl")) }
func NewFieldID() FieldID   { return FieldID(NewID("fld")) }
func NewViewID() ViewID     { return ViewID(NewID("viw")) }
func NewRecordID() RecordID { return RecordID(NewID("rec")) }
func NewChoiceID() ChoiceID { return ChoiceID(NewID("sel")) }

// IsID reports whether s has the shape of an id with the prefix. The length is
// not enforced: clients' test suites use ids such as rec0.
func IsID(prefix, s string) bool {
	rest, ok := strings.CutPrefix(s, prefix)
	if !ok || rest == "" || len(s) > maxIDLength {
		return false
	}
	for i := range len(rest) {
		if strings.IndexByte(alphabet, rest[i]) < 0 {
			return false
		}
	}
	return true
}
