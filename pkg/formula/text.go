package formula

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// midStartsAtOne: unconfirmed. Common use counts MID's start from 1; one of the
// vendor's examples from 0.
const midStartsAtOne = true

// searchIgnoresCase: unconfirmed. Airtable's users write
// SEARCH(LOWER("x"), LOWER({Name})), which they need only if it does not.
const searchIgnoresCase = false

// Positions and lengths are in UTF-16 units, as in JavaScript. Unconfirmed. Half of
// a pair that is cut off becomes U+FFFD.

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func units(s string) int {
	if ascii(s) {
		return len(s)
	}
	n := 0
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}

// slice returns the units from..to of s, both within bounds after clipping.
func slice(s string, from, to int) string {
	if ascii(s) {
		from, to = clip(from, to, len(s))
		return s[from:to]
	}
	u := utf16.Encode([]rune(s))
	from, to = clip(from, to, len(u))
	return string(utf16.Decode(u[from:to]))
}

func clip(from, to, n int) (int, int) {
	from = max(0, min(from, n))
	return from, max(from, min(to, n))
}

func (ev *evaluator) cut(args []Value, at int, bounds func(n, length int) (from, to int)) Value {
	n, failed := number(args, at, 0)
	if failed.kind == KindError {
		return failed
	}
	s := args[0].String()
	from, to := bounds(clampInt(n), units(s))
	return ev.text(slice(s, from, to))
}

func fnLeft(ev *evaluator, args []Value) Value {
	return ev.cut(args, 1, func(n, _ int) (int, int) { return 0, n })
}

func fnRight(ev *evaluator, args []Value) Value {
	return ev.cut(args, 1, func(n, length int) (int, int) { return length - max(n, 0), length })
}

func fnMid(ev *evaluator, args []Value) Value {
	start, failed := number(args, 1, 0)
	if failed.kind == KindError {
		return failed
	}
	return ev.cut(args, 2, func(n, _ int) (int, int) {
		from := clampInt(start)
		if midStartsAtOne {
			from = max(from-1, 0)
		}
		return from, from + n
	})
}

func fnLen(_ *evaluator, args []Value) Value { return Number(float64(units(args[0].String()))) }

func fnLower(ev *evaluator, args []Value) Value { return ev.text(strings.ToLower(args[0].String())) }

func fnUpper(ev *evaluator, args []Value) Value { return ev.text(strings.ToUpper(args[0].String())) }

func fnTrim(ev *evaluator, args []Value) Value { return ev.text(strings.TrimSpace(args[0].String())) }

// find returns the position of what in where, from 1, or 0. The third argument is
// the position to begin at; unconfirmed: it counts from 1, and 0 is the same as 1.
func find(args []Value, fold bool) (float64, Value) {
	start, failed := number(args, 2, 0)
	if failed.kind == KindError {
		return 0, failed
	}
	what, where := args[0].String(), args[1].String()
	if fold {
		what, where = strings.ToLower(what), strings.ToLower(where)
	}
	skipped := max(clampInt(start)-1, 0)
	length := units(where)
	if skipped > length {
		return 0, Value{}
	}
	rest := where
	if skipped > 0 {
		rest = slice(where, skipped, length)
	}
	i := strings.Index(rest, what)
	if i < 0 {
		return 0, Value{}
	}
	return float64(skipped + units(rest[:i]) + 1), Value{}
}

func fnFind(_ *evaluator, args []Value) Value {
	at, failed := find(args, false)
	if failed.kind == KindError {
		return failed
	}
	return Number(at)
}

// fnSearch is FIND, but blank when there is nothing.
func fnSearch(_ *evaluator, args []Value) Value {
	at, failed := find(args, searchIgnoresCase)
	switch {
	case failed.kind == KindError:
		return failed
	case at == 0:
		return Blank()
	}
	return Number(at)
}

func fnSubstitute(ev *evaluator, args []Value) Value {
	s, old, with := args[0].String(), args[1].String(), args[2].String()
	nth, failed := number(args, 3, 0)
	if failed.kind == KindError {
		return failed
	}
	if old == "" {
		return Text(s)
	}
	if n := clampInt(nth); n > 0 {
		return ev.text(substituteNth(s, old, with, n))
	}
	if len(s)+strings.Count(s, old)*(len(with)-len(old)) > ev.f.limits.Text {
		return errTooLong
	}
	return ev.text(strings.ReplaceAll(s, old, with))
}

func substituteNth(s, old, with string, n int) string {
	at := 0
	for {
		i := strings.Index(s[at:], old)
		if i < 0 {
			return s
		}
		at += i
		if n--; n == 0 {
			return s[:at] + with + s[at+len(old):]
		}
		at += len(old)
	}
}

func fnReplace(ev *evaluator, args []Value) Value {
	start, failed := number(args, 1, 0)
	if failed.kind == KindError {
		return failed
	}
	count, failed := number(args, 2, 0)
	if failed.kind == KindError {
		return failed
	}
	s := args[0].String()
	length := units(s)
	from := max(clampInt(start)-1, 0)
	return ev.text(slice(s, 0, from) + args[3].String() + slice(s, from+max(clampInt(count), 0), length))
}

func fnRept(ev *evaluator, args []Value) Value {
	n, failed := number(args, 1, 0)
	if failed.kind == KindError {
		return failed
	}
	s, times := args[0].String(), max(clampInt(n), 0)
	if s == "" {
		return Text("")
	}
	if times > ev.f.limits.Text/len(s) {
		return errTooLong
	}
	return ev.text(strings.Repeat(s, times))
}

func fnT(_ *evaluator, args []Value) Value {
	if v := args[0].scalar(); v.kind == KindText {
		return v
	}
	return Blank()
}

func fnConcatenate(ev *evaluator, n *CallNode) Value { return ev.concatenate(n.Args) }

const hexDigits = "0123456789ABCDEF"

func fnEncodeURL(ev *evaluator, args []Value) Value {
	s := args[0].String()
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case isDigit(c), 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', strings.IndexByte("-_.~", c) >= 0:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
		}
	}
	return ev.text(b.String())
}
