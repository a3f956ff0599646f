package formula

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// defaultFormat is DATETIME_FORMAT's without a second argument. Unconfirmed: it is
// the text that the date has anyway.
const defaultFormat = ""

// momentTokens are moment.js's tokens of dates, the longer before the shorter.
// Letters that begin none of them stand for themselves.
var momentTokens = []string{
	"MMMM", "MMM", "MM", "Mo", "M", "DDDD", "DDDo", "DDD", "DD", "Do", "D", "dddd", "ddd", "dd", "do", "d",
	"ww", "wo", "w", "WW", "Wo", "W", "Qo", "Q", "YYYY", "YY", "gggg", "gg", "GGGG", "GG", "e", "E", "a", "A",
	"hh", "h", "HH", "H", "kk", "k", "mm", "m", "ss", "s", "x", "X", "zz", "z", "ZZ", "Z",
	"LTS", "LT", "LLLL", "LLL", "LL", "L", "llll", "lll", "ll", "l",
}

// layoutPiece is a token, or text to be written as it stands.
type layoutPiece struct {
	token, text string
}

// split cuts a format into its pieces.
func split(format string) []layoutPiece {
	var out []layoutPiece
	for format != "" {
		n, piece := nextPiece(format)
		format = format[n:]
		if last := len(out) - 1; piece.token == "" && last >= 0 && out[last].token == "" {
			out[last].text += piece.text
			continue
		}
		out = append(out, piece)
	}
	return out
}

func nextPiece(format string) (int, layoutPiece) {
	if format[0] == '[' {
		if end := strings.IndexAny(format[1:], "[]"); end >= 0 && format[1+end] == ']' {
			return end + 2, layoutPiece{text: format[1 : 1+end]}
		}
	}
	if format[0] == '\\' && len(format) > 1 {
		_, size := utf8.DecodeRuneInString(format[1:])
		return 1 + size, layoutPiece{text: format[1 : 1+size]}
	}
	if format[0] == 'S' {
		n := 1
		for n < len(format) && n < 9 && format[n] == 'S' {
			n++
		}
		return n, layoutPiece{token: format[:n]}
	}
	for _, t := range momentTokens {
		if strings.HasPrefix(format, t) {
			return len(t), layoutPiece{token: t}
		}
	}
	_, size := utf8.DecodeRuneInString(format)
	return size, layoutPiece{text: format[:size]}
}

// localFormat is the format that an L, LT… stands for; "" for other tokens.
func (l *locale) localFormat(token string) string {
	switch token {
	case "LT":
		return l.time
	case "LTS":
		return l.seconds
	case "L":
		return l.short
	case "LL":
		return l.long
	case "LLL":
		return l.full
	case "LLLL":
		return l.fuller
	case "l", "ll", "lll", "llll":
		return shorter.Replace(l.localFormat(strings.ToUpper(token)))
	}
	return ""
}

// shorter makes the lower-case forms of L.
var shorter = strings.NewReplacer("MMMM", "MMM", "MM", "M", "DD", "D", "dddd", "ddd")

// formatMoment writes a time by a moment.js format.
func formatMoment(t time.Time, format string, l *locale) string {
	var b strings.Builder
	for _, p := range split(format) {
		if p.token == "" {
			b.WriteString(p.text)
			continue
		}
		if local := l.localFormat(p.token); local != "" {
			for _, q := range split(local) {
				b.WriteString(q.text)
				b.WriteString(l.token(t, q.token))
			}
			continue
		}
		b.WriteString(l.token(t, p.token))
	}
	return b.String()
}

func pad(n, width int) string { return fmt.Sprintf("%0*d", width, n) }

// token writes one token; "" writes nothing.
func (l *locale) token(t time.Time, token string) string {
	if token == "" {
		return ""
	}
	switch token[0] {
	case 'M', 'Q', 'Y':
		return l.monthToken(t, token)
	case 'D', 'd', 'e', 'E':
		return l.dayToken(t, token)
	case 'w', 'W', 'g', 'G':
		return l.weekToken(t, token)
	case 'a', 'A', 'h', 'H', 'k', 'm', 's', 'S':
		return l.clockToken(t, token)
	}
	return zoneToken(t, token)
}

func (l *locale) monthToken(t time.Time, token string) string {
	month, quarter := int(t.Month()), (int(t.Month())+2)/3
	switch token {
	case "YYYY":
		return pad(t.Year(), 4)
	case "YY":
		return pad(t.Year()%100, 2)
	case "Q":
		return strconv.Itoa(quarter)
	case "Qo":
		return l.ordinal(quarter)
	case "M":
		return strconv.Itoa(month)
	case "Mo":
		return l.ordinal(month)
	case "MM":
		return pad(month, 2)
	case "MMM":
		return l.monthsShort[month-1]
	}
	return l.months[month-1]
}

func (l *locale) dayToken(t time.Time, token string) string {
	weekday := int(t.Weekday())
	switch token {
	case "D":
		return strconv.Itoa(t.Day())
	case "Do":
		return l.ordinal(t.Day())
	case "DD":
		return pad(t.Day(), 2)
	case "DDD":
		return strconv.Itoa(t.YearDay())
	case "DDDo":
		return l.ordinal(t.YearDay())
	case "DDDD":
		return pad(t.YearDay(), 3)
	case "d":
		return strconv.Itoa(weekday)
	case "do":
		return l.ordinal(weekday)
	case "dd":
		return string([]rune(l.weekdays[weekday])[:2])
	case "ddd":
		return l.weekdaysShort[weekday]
	case "e":
		return strconv.Itoa((weekday - l.firstWeekday + 7) % 7)
	case "E":
		return strconv.Itoa((weekday+6)%7 + 1)
	}
	return l.weekdays[weekday]
}

func (l *locale) weekToken(t time.Time, token string) string {
	year, week := weekOf(t, l.firstWeekday, l.weekOneHas)
	if token[0] == 'W' || token[0] == 'G' {
		year, week = t.ISOWeek()
	}
	switch token {
	case "w", "W":
		return strconv.Itoa(week)
	case "wo", "Wo":
		return l.ordinal(week)
	case "ww", "WW":
		return pad(week, 2)
	case "gg", "GG":
		return pad(year%100, 2)
	}
	return pad(year, 4)
}

func (l *locale) clockToken(t time.Time, token string) string {
	width, n := len(token), 0
	switch token[0] {
	case 'a':
		return strings.ToLower(l.upperMeridiem[t.Hour()/12])
	case 'A':
		return l.upperMeridiem[t.Hour()/12]
	case 'S':
		return pad(t.Nanosecond(), 9)[:width]
	case 'h':
		n = (t.Hour()+11)%12 + 1
	case 'H':
		n = t.Hour()
	case 'k':
		n = (t.Hour()+23)%24 + 1
	case 'm':
		n = t.Minute()
	case 's':
		n = t.Second()
	}
	return pad(n, width)
}

func zoneToken(t time.Time, token string) string {
	switch token {
	case "x":
		return strconv.FormatInt(t.UnixMilli(), 10)
	case "X":
		return strconv.FormatInt(t.Unix(), 10)
	case "Z":
		return t.Format("-07:00")
	case "ZZ":
		return t.Format("-0700")
	}
	return t.Format("MST")
}

func fnDatetimeFormat(ev *evaluator, args []Value) Value {
	d := args[0].toDate()
	if d.kind == KindError {
		return d
	}
	format := defaultFormat
	if len(args) == 2 {
		format = args[1].String()
	}
	t, l := d.local(), locales["en"]
	if d.show != nil {
		l = localeNamed(d.show.locale)
		if d.show.format != nil {
			t = t.In(d.show.format)
		}
	}
	if format == "" {
		return Text(d.String())
	}
	if !ev.charge(20 * len(format)) {
		return errTooMuch
	}
	return ev.text(formatMoment(t, format, l))
}
