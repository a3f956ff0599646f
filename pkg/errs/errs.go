// Package errs holds the errors that cross a layer or the wire. An error has a
// kind (which decides the HTTP status), a stable code that programs compare, and
// a sentence for people. Causes stay in the process.
package errs

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Kind classifies an error; it alone decides the HTTP status.
type Kind int

// The kinds. The zero value is Internal, so that an error nobody classified
// never tells a client more than that something broke.
const (
	Internal           Kind = iota // 500; its message never leaves the process
	Malformed                      // 400: the request could not be parsed
	Invalid                        // 422: parsed, but refused; Fields names each culprit
	Unauthenticated                // 401: nobody, or an expired or revoked token
	Forbidden                      // 403: known, and refused
	NotFound                       // 404: absent, or another tenant's
	Conflict                       // 409
	PreconditionFailed             // 412: If-Match does not hold
	TooLarge                       // 413
	TooMany                        // 429, with Retry-After
	Unavailable                    // 503, with Retry-After: a dependency is away, or overload
)

var statuses = map[Kind]int{
	Internal: http.StatusInternalServerError, Malformed: http.StatusBadRequest,
	Invalid: http.StatusUnprocessableEntity, Unauthenticated: http.StatusUnauthorized,
	Forbidden: http.StatusForbidden, NotFound: http.StatusNotFound, Conflict: http.StatusConflict,
	PreconditionFailed: http.StatusPreconditionFailed, TooLarge: http.StatusRequestEntityTooLarge,
	TooMany: http.StatusTooManyRequests, Unavailable: http.StatusServiceUnavailable,
}

// Status is the HTTP status of the kind.
func (k Kind) Status() int { return statuses[k] }

// KindOf is the kind of an HTTP status: the way back of Status. Statuses that no
// kind maps to are Internal.
func KindOf(status int) Kind {
	for k, s := range statuses {
		if s == status {
			return k
		}
	}
	return Internal
}

// Field names one faulty part of a request.
type Field struct {
	Pointer string `json:"pointer"` // JSON pointer into the body (RFC 6901), or the parameter's name
	Detail  string `json:"detail"`
}

// Error is an error with a place on the wire. Values are shared and immutable:
// the methods that add something return a copy.
type Error struct {
	Kind       Kind
	Code       string // stable, snake_case
	Message    string // one sentence for people
	Fields     []Field
	RetryAfter time.Duration // for TooMany and Unavailable; whole seconds on the wire

	cause error
}

// New declares an error. Packages under pkg/api declare what their service answers.
func New(kind Kind, code, message string) *Error {
	return &Error{Kind: kind, Code: code, Message: message}
}

// Errors that belong to no service in particular.
var (
	ErrInternal           = New(Internal, "internal", "Something went wrong on our side.")
	ErrNotFound           = New(NotFound, "not_found", "There is no such object.")
	ErrPreconditionFailed = New(PreconditionFailed, "if_match_failed", "The object has changed since it was read.")
	ErrUnavailable        = New(Unavailable, "unavailable", "The service cannot answer at the moment.").After(time.Second)
	ErrUnauthenticated    = New(Unauthenticated, "unauthenticated", "A valid access token is required.")
	ErrForbidden          = New(Forbidden, "forbidden", "This token does not permit the operation.")
	ErrInvalid            = New(Invalid, "invalid", "The request is not valid.")
)

func (e *Error) Error() string {
	if e.cause != nil {
		return e.Code + ": " + e.cause.Error()
	}
	return e.Code + ": " + e.Message
}

// Unwrap returns the cause given to Because.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether target has the same code, so that errors.Is works between
// an error and its declaration, also in another process.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Because returns a copy with the cause. It is logged, never sent.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// Saying returns a copy with another sentence and the same code.
func (e *Error) Saying(format string, args ...any) *Error {
	c := *e
	c.Message = fmt.Sprintf(format, args...)
	return &c
}

// With returns a copy that names further faulty fields.
func (e *Error) With(fields ...Field) *Error {
	c := *e
	c.Fields = slices.Concat(e.Fields, fields)
	return &c
}

// After returns a copy that tells the client when to try again.
func (e *Error) After(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// From finds the Error in err's chain. An error without one is Internal, with
// err as its cause. It returns nil for nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return ErrInternal.Because(err)
}
