package scim

import (
	"fmt"
	"strconv"
)

// Error is a refusal as RFC 7644, section 3.12, has it.
type Error struct {
	Status int
	Type   string // scimType, or ""
	Detail string
}

// Error implements error.
func (e *Error) Error() string { return e.Detail }

// Body is the error's message.
func (e *Error) Body() map[string]any {
	b := map[string]any{"schemas": []string{errorSchema}, "status": strconv.Itoa(e.Status)}
	if e.Type != "" {
		b["scimType"] = e.Type
	}
	if e.Detail != "" {
		b["detail"] = e.Detail
	}
	return b
}

func refuse(kind, format string, args ...any) *Error {
	return &Error{Status: 400, Type: kind, Detail: fmt.Sprintf(format, args...)}
}

// The values of scimType that are used.
const (
	InvalidFilter = "invalidFilter"
	InvalidSyntax = "invalidSyntax"
	InvalidPath   = "invalidPath"
	InvalidValue  = "invalidValue"
	NoTarget      = "noTarget"
	Mutability    = "mutability"
	Uniqueness    = "uniqueness"
)

// Refusal is an error of the kind about what the client sent.
func Refusal(kind, detail string) *Error { return &Error{Status: 400, Type: kind, Detail: detail} }

// Conflict says that something is taken.
func Conflict(detail string) *Error { return &Error{Status: 409, Type: Uniqueness, Detail: detail} }
