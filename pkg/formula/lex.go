package formula

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tokEnd tokenKind = iota
	tokNumber
	tokText
	tokWord  // function, constant or field
	tokField // {field}
	tokOp    // operators and ( ) ,
)

// token is a piece of the source. text is the meaning: escapes are resolved.
type token struct {
	kind tokenKind
	pos  int
	end  int
	text string
	num  float64
}

func (t token) describe() string {
	switch t.kind {
	case tokEnd:
		return "end of formula"
	case tokText:
		return "text"
	case tokNumber:
		return "number"
	}
	return strconv.Quote(t.text)
}

type lexer struct {
	src string
	pos int
}

func fault(pos int, format string, args ...any) error {
	return &Error{Pos: pos, Reason: fmt.Sprintf(format, args...)}
}

func (l *lexer) next() (token, error) {
	for l.pos < len(l.src) {
		r, size := utf8.DecodeRuneInString(l.src[l.pos:])
		if !unicode.IsSpace(r) && r != '\ufeff' {
			break
		}
		l.pos += size
	}
	if l.pos == len(l.src) {
		return token{kind: tokEnd, pos: l.pos}, nil
	}
	c := l.src[l.pos]
	switch {
	case c == '"' || c == '\'':
		return l.quoted(c)
	case c == '{':
		return l.braced()
	case isDigit(c) || c == '.' && l.pos+1 < len(l.src) && isDigit(l.src[l.pos+1]):
		return l.number()
	}
	if op := l.operator(); op != "" {
		t := token{kind: tokOp, pos: l.pos, text: op}
		l.pos += len(op)
		return t, nil
	}
	return l.word()
}

func (l *lexer) operator() string {
	rest := l.src[l.pos:]
	for _, op := range []string{"!=", "<=", ">="} {
		if strings.HasPrefix(rest, op) {
			return op
		}
	}
	if strings.IndexByte("()+-*/&=<>,", rest[0]) >= 0 {
		return rest[:1]
	}
	return ""
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// number reads digits, a fraction and an exponent. Unconfirmed and accepted: a
// number may begin with its point and may have an exponent.
func (l *lexer) number() (token, error) {
	start := l.pos
	l.digits()
	if l.at('.') {
		l.pos++
		l.digits()
	}
	if l.at('e') || l.at('E') {
		mark := l.pos
		l.pos++
		if l.at('+') || l.at('-') {
			l.pos++
		}
		if from := l.pos; l.digits() == from {
			l.pos = mark
		}
	}
	if l.pos < len(l.src) {
		if r, _ := utf8.DecodeRuneInString(l.src[l.pos:]); r == '.' || isWordStart(r) {
			return token{}, fault(start, "malformed number")
		}
	}
	n, err := strconv.ParseFloat(l.src[start:l.pos], 64)
	if err != nil {
		return token{}, fault(start, "number out of range")
	}
	return token{kind: tokNumber, pos: start, num: n}, nil
}

func (l *lexer) at(c byte) bool { return l.pos < len(l.src) && l.src[l.pos] == c }

func (l *lexer) digits() int {
	for l.pos < len(l.src) && isDigit(l.src[l.pos]) {
		l.pos++
	}
	return l.pos
}

// quoted reads a text. A backslash before a quote or a backslash stands for that
// character, before n, t, r for a control character.
//
// Unconfirmed: any other escape is kept as it stands, so that "\d" reaches the
// regular expressions.
func (l *lexer) quoted(quote byte) (token, error) {
	start := l.pos
	var b strings.Builder
	for i := start + 1; i < len(l.src); i++ {
		switch c := l.src[i]; c {
		case quote:
			l.pos = i + 1
			return token{kind: tokText, pos: start, text: b.String()}, nil
		case '\\':
			if i++; i < len(l.src) {
				b.WriteString(unescape(l.src[i]))
			}
		default:
			b.WriteByte(c)
		}
	}
	return token{}, fault(start, "text without an end")
}

func unescape(c byte) string {
	switch c {
	case '\'', '"', '\\':
		return string(c)
	case 'n':
		return "\n"
	case 't':
		return "\t"
	case 'r':
		return "\r"
	}
	return string([]byte{'\\', c})
}

// braced reads {a field's name}; \} stands for } in it.
func (l *lexer) braced() (token, error) {
	start := l.pos
	var b strings.Builder
	for i := start + 1; i < len(l.src); i++ {
		switch c := l.src[i]; {
		case c == '}':
			l.pos = i + 1
			if strings.TrimSpace(b.String()) == "" {
				return token{}, fault(start, "field without a name")
			}
			return token{kind: tokField, pos: start, text: b.String()}, nil
		case c == '\\' && i+1 < len(l.src) && l.src[i+1] == '}':
			b.WriteByte('}')
			i++
		default:
			b.WriteByte(c)
		}
	}
	return token{}, fault(start, "field name without an end")
}

func isWordStart(r rune) bool { return r == '_' || unicode.IsLetter(r) }

func isWordPart(r rune) bool {
	return isWordStart(r) || unicode.IsDigit(r) || unicode.IsMark(r)
}

func (l *lexer) word() (token, error) {
	start := l.pos
	for l.pos < len(l.src) {
		r, size := utf8.DecodeRuneInString(l.src[l.pos:])
		if !isWordPart(r) || l.pos == start && !isWordStart(r) {
			break
		}
		l.pos += size
	}
	if l.pos == start {
		r, _ := utf8.DecodeRuneInString(l.src[start:])
		return token{}, fault(start, "unexpected character %q", r)
	}
	return token{kind: tokWord, pos: start, text: l.src[start:l.pos]}, nil
}
