package formula

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Kind says what a value is.
type Kind uint8

// The kinds of values. Bool is a number, 1 or 0, that remembers that it answers a
// question.
const (
	KindBlank Kind = iota
	KindNumber
	KindText
	KindBool
	KindDate
	KindList
	KindError
)

func (k Kind) String() string {
	return [...]string{"blank", "number", "text", "bool", "date", "list", "error"}[k]
}

// Value is what a formula works on and returns. The zero Value is blank. Values
// are immutable; lists are shared, not copied.
type Value struct {
	kind Kind
	day  bool      // a date without a time of day
	num  float64   // number, bool; of a date, milliseconds since 1970
	text string    // text; of an error, its reason
	list []Value   // list
	show *dateShow // how a date is shown; nil: UTC, English
}

// dateShow is what a date knows about being written.
type dateShow struct {
	zone   *time.Location // of the field it comes from; nil: UTC
	format *time.Location // by SET_TIMEZONE, heard by DATETIME_FORMAT alone; nil: zone
	locale string         // by SET_LOCALE
}

// Blank is the value of an empty cell.
func Blank() Value { return Value{} }

// Number returns n; negative zero becomes zero.
func Number(n float64) Value { return Value{kind: KindNumber, num: n + 0} }

// Text returns s. Empty text is not blank, though equal to it.
func Text(s string) Value { return Value{kind: KindText, text: s} }

// Bool returns 1 or 0 as the answer to a question.
func Bool(b bool) Value {
	if b {
		return Value{kind: KindBool, num: 1}
	}
	return Value{kind: KindBool}
}

// Moment returns a point in time, cut to milliseconds. Outside the years 1 to 9999
// it is an error.
func Moment(t time.Time) Value { return date(t.UnixMilli(), false) }

// Day returns the calendar day that t shows on its own clock, without a time.
func Day(t time.Time) Value {
	y, m, d := t.Date()
	return date(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).UnixMilli(), true)
}

var (
	firstMilli = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	lastMilli  = time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC).UnixMilli()
)

func date(ms int64, day bool) Value {
	if ms < firstMilli || ms > lastMilli {
		return Fail("date out of range")
	}
	return Value{kind: KindDate, num: float64(ms), day: day}
}

// List returns a list; the caller must not change vs afterwards.
func List(vs ...Value) Value { return Value{kind: KindList, list: vs} }

// Texts returns a list of texts.
func Texts(ss ...string) Value {
	vs := make([]Value, len(ss))
	for i, s := range ss {
		vs[i] = Text(s)
	}
	return List(vs...)
}

// Fail returns an error value. The reason is for people who debug a formula;
// Airtable shows all of them as #ERROR!.
func Fail(reason string) Value { return Value{kind: KindError, text: reason} }

// In returns a date that shows the parts of its day in zone: that of a field with
// a fixed time zone. Other values and days without a time are returned unchanged.
func (v Value) In(zone *time.Location) Value {
	if v.kind == KindDate && !v.day && zone != nil && zone != time.UTC {
		v.show = &dateShow{zone: zone}
	}
	return v
}

// Kind returns what v is.
func (v Value) Kind() Kind { return v.kind }

// Float returns the number of a number or bool, and 0 for all else.
func (v Value) Float() float64 {
	if v.numeric() {
		return v.num
	}
	return 0
}

// Reason returns why an error value is one; "" for other kinds.
func (v Value) Reason() string {
	if v.kind == KindError {
		return v.text
	}
	return ""
}

// Items returns the elements of a list; nil for other kinds. They are shared.
func (v Value) Items() []Value { return v.list }

// IsDay reports whether v is a date without a time of day.
func (v Value) IsDay() bool { return v.kind == KindDate && v.day }

// Time returns the moment of a date, in UTC; the zero time for other kinds.
func (v Value) Time() time.Time {
	if v.kind != KindDate {
		return time.Time{}
	}
	return time.UnixMilli(v.milli()).UTC()
}

func (v Value) milli() int64  { return int64(v.num) }
func (v Value) numeric() bool { return v.kind == KindNumber || v.kind == KindBool }

// local is the moment on the clock of the field that it comes from.
func (v Value) local() time.Time {
	if v.show != nil && v.show.zone != nil {
		return v.Time().In(v.show.zone)
	}
	return v.Time()
}

// Truthy reports whether v counts as true: in IF, AND, OR, NOT, XOR and for
// filterByFormula. False are 0, NaN, "", blank, the empty list and errors; "0" is true.
func (v Value) Truthy() bool {
	switch v.kind {
	case KindNumber, KindBool:
		return v.num != 0 && !math.IsNaN(v.num)
	case KindText:
		return v.text != ""
	case KindDate:
		return true
	case KindList:
		return len(v.list) > 0
	}
	return false
}

// empty reports whether v is blank or would look so: "", or a list of nothing.
func (v Value) empty() bool {
	return v.kind == KindBlank || v.kind == KindText && v.text == "" || v.kind == KindList && len(v.list) == 0
}

const (
	dayLayout    = "2006-01-02"
	momentLayout = "2006-01-02T15:04:05.000Z"

	// listSeparator joins a list where text is wanted, and is ARRAYJOIN's default,
	// which is unconfirmed.
	listSeparator = ", "
)

// String returns v as text, as & and the text functions see it: "" for blank,
// numbers in their shortest form, dates in ISO form, lists joined by ", ". Of an
// error it is #ERROR!.
//
// Unconfirmed: a bool is "1" or "0", and a day has no time ("2024-05-01").
func (v Value) String() string {
	switch v.kind {
	case KindNumber, KindBool:
		return formatNumber(v.num)
	case KindText:
		return v.text
	case KindDate:
		if v.day {
			return v.Time().Format(dayLayout)
		}
		return v.Time().Format(momentLayout)
	case KindList:
		parts := make([]string, len(v.list))
		for i, item := range v.list {
			parts[i] = item.String()
		}
		return strings.Join(parts, listSeparator)
	case KindError:
		return errorText
	}
	return ""
}

const errorText = "#ERROR!"

// formatNumber writes n as JavaScript does: shortest, with an exponent only for the
// very large and the very small.
func formatNumber(n float64) string {
	switch {
	case math.IsNaN(n):
		return "NaN"
	case math.IsInf(n, 1):
		return "Infinity"
	case math.IsInf(n, -1):
		return "-Infinity"
	case n == 0:
		return "0"
	}
	if a := math.Abs(n); a >= 1e-6 && a < 1e21 {
		return strconv.FormatFloat(n, 'f', -1, 64)
	}
	s := strconv.FormatFloat(n, 'e', -1, 64)
	mantissa, exponent, _ := strings.Cut(s, "e")
	return mantissa + "e" + exponent[:1] + strings.TrimLeft(exponent[1:], "0")
}

// JSON returns v as the API shows it in a cell: nil (the cell is absent) for blank,
// "" and the empty list, float64, string, []any for a list, and Airtable's objects
// for errors and for numbers that JSON lacks. A bool is 1 or 0.
func (v Value) JSON() any {
	switch v.kind {
	case KindNumber, KindBool:
		if math.IsNaN(v.num) || math.IsInf(v.num, 0) {
			return map[string]any{"specialValue": formatNumber(v.num)}
		}
		return v.num
	case KindError:
		return map[string]any{"error": errorText}
	case KindList:
		if len(v.list) == 0 {
			return nil
		}
		out := make([]any, len(v.list))
		for i, item := range v.list {
			out[i] = item.JSON()
		}
		return out
	}
	if s := v.String(); s != "" {
		return s
	}
	return nil
}

// scalar is what a list is to an operator that wants one value: nothing, its only
// element, or its text. Unconfirmed: that a list of one number is that number.
func (v Value) scalar() Value {
	for range maxListDepth {
		if v.kind != KindList {
			return v
		}
		switch len(v.list) {
		case 0:
			return Blank()
		case 1:
			v = v.list[0]
		default:
			return Text(v.String())
		}
	}
	return Fail("list too deep")
}

// maxListDepth bounds lists in lists; a lookup of a lookup has two.
const maxListDepth = 16

// emptyTextIsZero: unconfirmed. "" counts as 0 in arithmetic, as blank does; IF
// without a match often yields it.
const emptyTextIsZero = true

// arithmeticReadsText: unconfirmed. Airtable users are told to call VALUE.
const arithmeticReadsText = false

// toNumber returns v as a number, or an error value.
func (v Value) toNumber() Value {
	v = v.scalar()
	switch v.kind {
	case KindBlank:
		return Number(0)
	case KindNumber, KindError:
		return v
	case KindBool:
		return Number(v.num)
	case KindText:
		if emptyTextIsZero && v.text == "" {
			return Number(0)
		}
		if arithmeticReadsText {
			if n, err := strconv.ParseFloat(strings.TrimSpace(v.text), 64); err == nil {
				return Number(n)
			}
		}
	}
	return Fail(v.kind.String() + " where a number is needed")
}
