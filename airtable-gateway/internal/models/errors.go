package models

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Error is a refusal in Airtable's words. It is what a client of /v0 sees.
type Error struct {
	Status  int
	Type    string
	Message string // "" leaves the key out, as Airtable does for some types
	Shape   Shape
}

// The HTTP statuses of refusals.
const (
	unauthorized  = 401
	forbidden     = 403
	notFound      = 404
	unprocessable = 422
	tooMany       = 429
	serverError   = 500
	unavailable   = 503
)

// Shape is which of Airtable's error bodies an Error takes.
type Shape int

const (
	Object Shape = iota // {"error":{"type":…,"message":…}}
	Bare                // {"error":"NOT_FOUND"}
	List                // {"errors":[{"error":…,"message":…}]}
)

func (e *Error) Error() string { return e.Type + ": " + e.Message }

// Body returns the error as Airtable writes it.
func (e *Error) Body() []byte {
	type object struct {
		Type    string `json:"type"`
		Message string `json:"message,omitempty"`
	}
	type entry struct {
		Error   string `json:"error"`
		Message string `json:"message"`
	}
	var body any
	switch e.Shape {
	case Bare:
		body = map[string]string{"error": e.Type}
	case List:
		body = map[string][]entry{"errors": {{e.Type, e.Message}}}
	default:
		body = map[string]object{"error": {e.Type, e.Message}}
	}
	return Marshal(body)
}

// Marshal is JSON as Airtable writes it: no HTML escapes, no trailing newline.
// It panics on what JSON cannot hold, which is a fault of the caller.
func Marshal(v any) []byte {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("models: marshal %T: %v", v, err))
	}
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}

// The refusals that take no argument.
var (
	ErrAuthenticationRequired = &Error{unauthorized, "AUTHENTICATION_REQUIRED", "Authentication required", Object}
	ErrNoRoute                = &Error{notFound, "NOT_FOUND", "", Bare}
	ErrNoSchema               = &Error{notFound, "NOT_FOUND", "", Object}
	ErrModelNotFound          = &Error{forbidden, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND",
		"Invalid permissions, or the requested model was not found. Check that both your user and your token have the required permissions, and that the model names and/or ids are correct.", Object}
	ErrNotPermitted   = &Error{forbidden, "INVALID_PERMISSIONS", "You are not permitted to perform this operation", Object}
	ErrRecordNotFound = &Error{notFound, "MODEL_ID_NOT_FOUND", "Record not found", Object}
	ErrRateLimited    = &Error{tooMany, "RATE_LIMIT_REACHED", "Rate limit exceeded. Please try again later", List}
	ErrRetriable      = &Error{unavailable, "RETRIABLE_ERROR",
		"Server encountered an error while processing your request, and it is safe to retry the request", Object}
	ErrServer         = &Error{serverError, "SERVER_ERROR", "Server error", Object}
	ErrUnparsableBody = invalid("INVALID_REQUEST_BODY", "Could not parse request body")
	ErrInvalidRequest = invalid("INVALID_REQUEST_UNKNOWN", "Invalid request: parameter validation failed. Check your request data.")
	ErrMissingFields  = invalid("INVALID_REQUEST_MISSING_FIELDS", `Could not find field "fields" in the request body`)
	ErrCreateRecords  = invalid("INVALID_RECORDS", `You must provide an array of up to 10 record objects, each with a "fields" object for cell values.`)
	ErrUpdateRecords  = invalid("INVALID_RECORDS", `You must provide an array of up to 10 record objects, each with an "id" ID field and a "fields" object for cell values.`)
	ErrDeleteRecords  = invalid("INVALID_RECORDS", `"records" must be an array of up to 10 record IDs.`)
	ErrIteratorGone   = invalid("LIST_RECORDS_ITERATOR_NOT_AVAILABLE", "")
	ErrViewElsewhere  = invalid("FAILED_STATE_CHECK", "")
	ErrNoWorkspace    = invalid("INVALID_REQUEST", "Server error")
	ErrFieldName      = invalid("DUPLICATE_OR_EMPTY_FIELD_NAME", "Duplicate or empty field name")
	ErrTableName      = invalid("DUPLICATE_TABLE_NAME", "A table with the same name already exists, or the name is empty")
	ErrStringFormat   = invalid("INVALID_REQUEST_UNKNOWN", `Invalid request: "timeZone" and "userLocale" are required when "cellFormat" is "string".`)
	ErrTooDear        = invalid("INVALID_REQUEST_UNKNOWN", "Invalid request: the computed fields of these records are too much work at once. Ask for fewer records, fields or sort keys.")
	// unconfirmed: type and text of what is answered to an upload over 5 MB, and to one
	// that is no base64.
	ErrUploadTooLarge = &Error{Status: 413, Type: "REQUEST_TOO_LARGE", Message: "The file is larger than 5 MB"}
	ErrUploadBroken   = invalid("INVALID_REQUEST_UNKNOWN", "Invalid request: \"file\" is not base64.")
	ErrFilterTooDear  = invalid("INVALID_FILTER_BY_FORMULA", "The formula for filtering records is invalid: it is too much work for a table of this size.")
)

func invalid(kind, format string, args ...any) *Error {
	if len(args) > 0 {
		format = fmt.Sprintf(format, args...)
	}
	return &Error{Status: unprocessable, Type: kind, Message: format}
}

// BadRequest is a generic refusal (422) that says why in its own words.
func BadRequest(format string, args ...any) *Error {
	return invalid("INVALID_REQUEST_UNKNOWN", format, args...)
}

func UnknownField(name string) *Error {
	return invalid("UNKNOWN_FIELD_NAME", "Unknown field name: %q", rawQuote(name))
}

func InvalidValue(field string) *Error {
	return invalid("INVALID_VALUE_FOR_COLUMN", "Field %q cannot accept the provided value", rawQuote(field))
}

func ComputedField(field string) *Error {
	return invalid("INVALID_VALUE_FOR_COLUMN", "Field %q cannot accept a value because the field is computed", rawQuote(field))
}

// InvalidAttachment refuses what is neither {"url":…} nor the {"id":…} of a file that
// is there. unconfirmed: the text.
func InvalidAttachment(field string) *Error {
	return invalid("INVALID_ATTACHMENT_OBJECT", "Invalid attachment object for field %q: each must have a \"url\" with http or https, or the \"id\" of an attachment that exists", rawQuote(field))
}

func NotRecordIDs() *Error {
	return invalid("INVALID_VALUE_FOR_COLUMN", "Value is not an array of record IDs.")
}

// Unparsable is what typecast answers when it cannot read value.
func Unparsable(value any, field string) *Error {
	text := ""
	if s, ok := value.(string); ok {
		text = s
	} else {
		text = string(Marshal(value))
	}
	return invalid("INVALID_VALUE_FOR_COLUMN", "Cannot parse value %q for field %s", rawQuote(clip(text)), field)
}

func UnknownChoice(name string) *Error {
	return invalid("INVALID_MULTIPLE_CHOICE_OPTIONS", "Insufficient permissions to create new select option %q", rawQuote(`"`+clip(name)+`"`))
}

func NoSuchRow(id RecordID) *Error {
	return invalid("ROW_DOES_NOT_EXIST", "Record ID %s does not exist in this table", id)
}

func InvalidRecordID(id string) *Error {
	return invalid("INVALID_RECORD_ID", "Value %q is not a valid record ID.", rawQuote(clip(id)))
}

// ViewNotFound distinguishes, as Airtable does, an id from a name.
func ViewNotFound(view string) *Error {
	if IsID("viw", view) {
		return invalid("VIEW_ID_NOT_FOUND", "View %s not found", clip(view))
	}
	return invalid("VIEW_NAME_NOT_FOUND", "View %s not found", clip(view))
}

// InvalidFilter refuses a filterByFormula in the words of package formula.
func InvalidFilter(message string) *Error {
	return &Error{Status: unprocessable, Type: "INVALID_FILTER_BY_FORMULA", Message: message}
}

func InvalidOffset(offset string) *Error {
	return invalid("INVALID_OFFSET_VALUE", "The value of offset %s is invalid", clip(offset))
}

func UnsupportedType(t FieldType) *Error {
	return invalid("UNSUPPORTED_FIELD_TYPE_FOR_CREATE", "Creating %s fields is not supported at this time", t)
}

func invalidOptions(format string, args ...any) *Error {
	return invalid("INVALID_FIELD_TYPE_OPTIONS_FOR_CREATE", "Failed schema validation: "+format, args...)
}

// rawQuote makes %q print the text between plain quotes, as Airtable does:
// quotes and non-ASCII letters inside are not escaped.
type rawQuote string

func (q rawQuote) Format(s fmt.State, _ rune) { _, _ = fmt.Fprint(s, `"`+string(q)+`"`) }

func clip(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
