package formula

import (
	"io"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// What a regular expression may be: repetitions make programs that are a hundred
// times as long as their patterns.
const (
	maxPattern = 1_000 // bytes
	maxProgram = 2_000 // instructions
)

// pattern is a compiled regular expression.
type pattern struct {
	re *regexp.Regexp

	// after finds the same behind any character: what goes on in the middle of a text
	// and still must see what stands before.
	after *regexp.Regexp

	cost int // work for each byte of text
}

// compilePattern returns nil if the pattern is malformed or too long.
func compilePattern(source string) *pattern {
	if len(source) > maxPattern {
		return nil
	}
	parsed, err := syntax.Parse(source, syntax.Perl)
	if err != nil || estimate(parsed) > maxProgram {
		return nil
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil || len(program.Inst) > maxProgram {
		return nil
	}
	re, err := regexp.Compile(source)
	if err != nil {
		return nil
	}
	after, err := regexp.Compile(`(?s:.)(?:` + source + `)`)
	if err != nil {
		return nil
	}
	return &pattern{re, after, 1 + len(program.Inst)/2}
}

// estimate is about how many instructions a pattern has, found without making them.
// It stops counting beyond maxProgram.
func estimate(re *syntax.Regexp) int {
	n := 1 + len(re.Rune)
	for _, sub := range re.Sub {
		n = min(n+estimate(sub), maxProgram+1)
	}
	if re.Op == syntax.OpCharClass {
		n = 1
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return min(n, maxProgram+1)
}

// pattern returns the first argument and the compiled second one, once the work of
// looking through the text is paid.
func (ev *evaluator) pattern(args []Value) (s string, p *pattern, failed Value) {
	s = args[0].String()
	source := args[1].String()
	p, known := ev.f.regexes[source]
	if !known {
		if !ev.charge(1_000 * (len(source) + 1)) {
			return "", nil, errTooMuch
		}
		p = compilePattern(source)
	}
	switch {
	case p == nil:
		return "", nil, Fail("malformed regular expression")
	case !ev.charge((len(s) + 1) * p.cost):
		return "", nil, errTooMuch
	}
	return s, p, Value{}
}

func fnRegexMatch(ev *evaluator, args []Value) Value {
	s, p, failed := ev.pattern(args)
	if p == nil {
		return failed
	}
	return Bool(p.re.MatchString(s))
}

// fnRegexExtract: unconfirmed. Without a match it is an error.
func fnRegexExtract(ev *evaluator, args []Value) Value {
	s, p, failed := ev.pattern(args)
	if p == nil {
		return failed
	}
	at := p.re.FindStringIndex(s)
	if at == nil {
		return Fail("no match")
	}
	return Text(s[at[0]:at[1]])
}

func fnRegexReplace(ev *evaluator, args []Value) Value {
	s, p, failed := ev.pattern(args)
	if p == nil {
		return failed
	}
	matches, ok := p.all(ev, s)
	if !ok {
		return errTooMuch
	}
	with := template(args[2].String())
	if !ev.charge(len(matches) * len(with)) {
		return errTooMuch
	}
	var b strings.Builder
	end := 0
	for _, m := range matches {
		b.WriteString(s[end:m[0]])
		for _, piece := range with {
			b.WriteString(piece.of(s, m))
			if b.Len() > ev.f.limits.Text {
				return errTooLong
			}
		}
		end = m[1]
	}
	b.WriteString(s[end:])
	return ev.text(b.String())
}

// shortText is so short that finding all matches is cheap, although a pattern like
// a*b|a looks through the whole rest for each.
const shortText = 2 << 10

// readerCost is how much slower it is to search in a reader than in a text.
const readerCost = 4

// all is FindAllStringSubmatchIndex within the work that is left.
func (p *pattern) all(ev *evaluator, s string) (matches [][]int, ok bool) {
	if len(s) <= shortText {
		return p.re.FindAllStringSubmatchIndex(s, -1), true
	}
	last := -1
	for at := 0; at <= len(s); {
		m, ok := p.next(ev, s, at)
		if !ok || len(matches) > ev.f.limits.Items {
			return nil, false
		}
		if m == nil {
			break
		}
		if m[1] > m[0] || m[0] != last {
			matches = append(matches, m)
		}
		last = m[1]
		if at = m[1]; m[1] == m[0] {
			_, size := utf8.DecodeRuneInString(s[at:])
			at += max(size, 1)
		}
	}
	return matches, true
}

// next returns the first match that begins at the position or later; nil: none.
func (p *pattern) next(ev *evaluator, s string, at int) (m []int, ok bool) {
	re, from := p.re, 0
	if at > 0 {
		_, size := utf8.DecodeLastRuneInString(s[:at])
		re, from = p.after, at-size
	}
	cost := readerCost * p.cost
	r := meter{rest: s[from:], left: ev.left / cost}
	m = re.FindReaderSubmatchIndex(&r)
	if r.left <= 0 || !ev.charge((len(s)-from-len(r.rest)+1)*cost) {
		return nil, false
	}
	if m == nil {
		return nil, true
	}
	for i := range m {
		if m[i] >= 0 {
			m[i] += from
		}
	}
	if at > 0 {
		_, size := utf8.DecodeRuneInString(s[m[0]:])
		m[0] += size
	}
	return m, true
}

// meter ends a text when it has been read for long enough.
type meter struct {
	rest string
	left int // bytes
}

func (r *meter) ReadRune() (rune, int, error) {
	if r.rest == "" || r.left <= 0 {
		return 0, 0, io.EOF
	}
	c, size := utf8.DecodeRuneInString(r.rest)
	r.rest = r.rest[size:]
	r.left -= size
	return c, size, nil
}

// piece is a part of a replacement: a text, or the group of a match.
type piece struct {
	text  string
	group int // -1: text
}

func (p piece) of(s string, match []int) string {
	switch {
	case p.group < 0:
		return p.text
	case 2*p.group+1 >= len(match) || match[2*p.group] < 0:
		return ""
	}
	return s[match[2*p.group]:match[2*p.group+1]]
}

// template splits a replacement at its $1, $2…; any other $ stands for itself.
func template(s string) []piece {
	var out []piece
	from := 0
	for i := 0; i+1 < len(s); i++ {
		if s[i] != '$' || !isDigit(s[i+1]) {
			continue
		}
		group, end := 0, i+1
		for ; end < len(s) && isDigit(s[end]) && group < maxPattern; end++ {
			group = group*10 + int(s[end]-'0')
		}
		out = append(out, piece{s[from:i], -1}, piece{"", group})
		from, i = end, end-1
	}
	return append(out, piece{s[from:], -1})
}
