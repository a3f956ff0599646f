package formula

import (
	"errors"
	"fmt"
	"strings"
)

// Error says why a text is no formula, or none for a table. Pos is where, in bytes
// from the start of the source.
type Error struct {
	Pos    int
	Reason string

	// UnknownFields are the names, in lower case, in order and once each, of fields
	// that the table lacks; nil if the fault is another.
	UnknownFields []string
}

func (e *Error) Error() string {
	if len(e.UnknownFields) > 0 {
		return e.words()
	}
	return fmt.Sprintf("%s at %d", e.Reason, e.Pos)
}

func (e *Error) words() string {
	if len(e.UnknownFields) > 0 {
		return "Unknown field names: " + strings.Join(e.UnknownFields, ", ")
	}
	return "Invalid formula. Please check your formula text."
}

// FilterMessage returns Airtable's message for a filterByFormula that err refused:
// the text of its INVALID_FILTER_BY_FORMULA.
func FilterMessage(err error) string {
	return "The formula for filtering records is invalid: " + FieldMessage(err)
}

// FieldMessage returns Airtable's words for a formula field's text that err refused.
func FieldMessage(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.words()
	}
	return (&Error{}).words()
}
