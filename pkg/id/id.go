// Package id holds the typed identifiers that name everything PyAirtable makes.
//
// An identifier is a UUIDv7: it sorts by the time it was made and needs no
// database to be unique. The type parameter is only a name, so that the
// compiler refuses a user's id where a tenant's is wanted.
package id

import (
	"bytes"
	"database/sql/driver"
	"fmt"

	"github.com/google/uuid"
)

// ID identifies a thing of kind T. It is comparable, and its zero value means
// "none": the empty string in text and JSON, NULL in SQL.
type ID[T any] struct{ u uuid.UUID }

// The kinds of the identifiers that cross services, as in New[User](). A service
// declares its own kinds in its models, in the same way.
type (
	User    struct{}
	Tenant  struct{}
	Session struct{}
	Event   struct{}
)

// The identifiers that cross services.
type (
	UserID    = ID[User]
	TenantID  = ID[Tenant]
	SessionID = ID[Session]
	EventID   = ID[Event]
)

// textLen is the length of the canonical form, 8-4-4-4-12.
const textLen = 36

// New returns a new identifier. Identifiers made one after the other in one
// process are in ascending order.
func New[T any]() ID[T] {
	// NewV7 fails only if the system has no randomness, and then nothing here
	// may go on.
	return ID[T]{uuid.Must(uuid.NewV7())}
}

// Parse reads the canonical form of an identifier. Anything else, the empty
// string and the nil UUID included, is an error.
func Parse[T any](s string) (ID[T], error) {
	if len(s) != textLen {
		return ID[T]{}, fmt.Errorf("parse id %.40q: want a uuid of %d characters", s, textLen)
	}
	u, err := uuid.Parse(s)
	if err != nil {
		return ID[T]{}, fmt.Errorf("parse id %q: %w", s, err)
	}
	if u == uuid.Nil {
		return ID[T]{}, fmt.Errorf("parse id %q: the nil uuid names nothing", s)
	}
	return ID[T]{u}, nil
}

// String returns the canonical form, or "" for the zero ID.
func (i ID[T]) String() string {
	if i.IsZero() {
		return ""
	}
	return i.u.String()
}

// IsZero reports whether i names nothing. encoding/json's omitzero asks it too.
func (i ID[T]) IsZero() bool { return i.u == uuid.Nil }

// Equal reports whether both name the same thing; it is there for go-cmp, which
// does not look into unexported fields. Elsewhere use ==.
func (i ID[T]) Equal(o ID[T]) bool { return i == o }

// Compare orders identifiers by the time they were made.
func (i ID[T]) Compare(o ID[T]) int { return bytes.Compare(i.u[:], o.u[:]) }

// MarshalText implements encoding.TextMarshaler.
func (i ID[T]) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. Unlike Parse it takes the
// empty string for the zero ID, so that what MarshalText wrote can be read.
func (i *ID[T]) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*i = ID[T]{}
		return nil
	}
	v, err := Parse[T](string(b))
	if err != nil {
		return err
	}
	*i = v
	return nil
}

// Value implements driver.Valuer; the zero ID is NULL.
func (i ID[T]) Value() (driver.Value, error) {
	if i.IsZero() {
		return nil, nil
	}
	return i.u.String(), nil
}

// Scan implements sql.Scanner for uuid and text columns; NULL is the zero ID.
func (i *ID[T]) Scan(src any) error {
	var u uuid.UUID
	if err := u.Scan(src); err != nil {
		return fmt.Errorf("scan id: %w", err)
	}
	i.u = u
	return nil
}
