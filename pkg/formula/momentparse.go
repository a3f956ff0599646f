package formula

import (
	"strconv"
	"strings"
	"time"
)

// isoLayouts are the forms that a date has without a format; Go's parser takes a
// fraction of a second by itself.
var isoLayouts = []string{
	"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05",
	"2006-01-02T15:04Z07:00", "2006-01-02T15:04",
	"2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02 15:04",
}

// parseISO reads a day or a moment in ISO form, UTC if it names no zone.
func parseISO(s string) Value {
	if s = strings.TrimSpace(s); len(s) > 64 {
		return Fail("not an ISO date")
	}
	if len(s) == len(dayLayout) {
		if t, err := time.Parse(dayLayout, s); err == nil {
			return Day(t)
		}
	}
	for _, layout := range isoLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return Moment(t)
		}
	}
	return Fail("not an ISO date")
}

// looseDays and looseTimes make the other forms that DATETIME_PARSE reads without a
// format, as a browser would. Unconfirmed.
var (
	looseDays  = []string{"1/2/2006", "2006/1/2", "2006-1-2", "January 2, 2006", "Jan 2, 2006", "January 2 2006", "Jan 2 2006", "2 January 2006", "2 Jan 2006"}
	looseTimes = []string{"", " 15:04", " 15:04:05", " 3:04pm", " 3:04 pm", " 3:04PM", " 3:04 PM"}
)

func parseLoose(s string) Value {
	if d := parseISO(s); d.kind == KindDate {
		d.day = false
		return d
	}
	s = strings.TrimSpace(s)
	for _, day := range looseDays {
		for _, clock := range looseTimes {
			if len(s) > 64 {
				break
			}
			if t, err := time.Parse(day+clock, s); err == nil {
				return Moment(t)
			}
		}
	}
	return Fail("not a date")
}

// fnDatetimeParse reads a moment: in ISO form, or by a moment.js format.
func fnDatetimeParse(ev *evaluator, args []Value) Value {
	v := args[0].scalar()
	switch {
	case v.kind == KindDate:
		v.day = false
		return v
	case v.empty():
		return Fail("nothing to parse")
	}
	if len(args) == 1 || args[1].empty() {
		if !ev.charge(1_000) {
			return errTooMuch
		}
		return parseLoose(v.String())
	}
	l := locales["en"]
	if len(args) == 3 {
		l = localeNamed(args[2].String())
	}
	format := args[1].String()
	if len(format) > 256 || len(v.String()) > 1_000 {
		return Fail("date or format too long")
	}
	if !ev.charge(100 * len(format)) {
		return errTooMuch
	}
	return parseMoment(v.String(), format, l, ev.env.Now.UTC())
}

// reading is what parseMoment has found so far; -1: nothing.
type reading struct {
	rest                                   string
	locale                                 *locale
	year, month, day, yearDay, quarter     int
	hour, minute, second, nano, offset     int
	afternoon, half, zoned, absolute, some bool
	at                                     time.Time
}

// parseMoment reads a text by a format as moment.js does when it is not strict: each
// token takes the next piece that fits it, and what stands between is passed over.
// Larger units that the format lacks are those of now, smaller ones the smallest.
// Week numbers and names of weekdays are read and not used.
func parseMoment(s, format string, l *locale, now time.Time) Value {
	r := reading{rest: s, locale: l, year: -1, month: -1, day: -1, yearDay: -1, quarter: -1, hour: -1, minute: -1, second: -1}
	for _, p := range split(format) {
		pieces := []layoutPiece{p}
		if local := l.localFormat(p.token); local != "" {
			pieces = split(local)
		}
		for _, p := range pieces {
			if p.token != "" {
				r.token(p.token)
			} else if i := strings.Index(r.rest, p.text); i >= 0 {
				r.rest = r.rest[i+len(p.text):]
			}
		}
	}
	return r.result(now)
}

func (r *reading) token(token string) {
	switch token {
	case "MMM", "MMMM":
		r.name(&r.month, r.locale.months, r.locale.monthsShort)
		return
	case "ddd", "dddd":
		var ignored int
		r.name(&ignored, r.locale.weekdays, r.locale.weekdaysShort)
		return
	case "a", "A":
		r.meridiem()
		return
	case "Z", "ZZ":
		r.zone()
		return
	case "x", "X":
		r.unix(token == "X")
		return
	case "YY":
		if n, ok := r.digits(2); ok {
			r.year = n + 1900
			if n <= 68 {
				r.year = n + 2000
			}
		}
		return
	}
	if token[0] == 'S' {
		r.fraction(len(token))
		return
	}
	r.numeric(token)
}

func (r *reading) numeric(token string) {
	width := 2
	var into *int
	switch token[0] {
	case 'Y':
		into, width = &r.year, 4
	case 'Q':
		into, width = &r.quarter, 1
	case 'M':
		into = &r.month
	case 'D':
		if into = &r.day; strings.HasPrefix(token, "DDD") {
			into, width = &r.yearDay, 3
		}
	case 'H', 'h', 'k':
		into = &r.hour
		r.half = r.half || token[0] == 'h'
	case 'm':
		into = &r.minute
	case 's':
		into = &r.second
	default:
		return
	}
	if n, ok := r.digits(width); ok {
		*into = n
		if strings.HasSuffix(token, "o") {
			r.rest = strings.TrimLeft(r.rest, "stndrh.º")
		}
	}
}

// digits takes the next number of at most width digits.
func (r *reading) digits(width int) (int, bool) {
	start := strings.IndexAny(r.rest, "0123456789")
	if start < 0 {
		return 0, false
	}
	end := start
	for end < len(r.rest) && end-start < width && isDigit(r.rest[end]) {
		end++
	}
	n, err := strconv.Atoi(r.rest[start:end])
	r.rest, r.some = r.rest[end:], true
	return n, err == nil
}

func (r *reading) fraction(width int) {
	before := r.rest
	if _, ok := r.digits(width); ok {
		text := strings.TrimRight(before[:len(before)-len(r.rest)], " ")
		text = text[strings.IndexAny(text, "0123456789"):]
		r.nano, _ = strconv.Atoi((text + "000000000")[:9])
	}
}

// name takes the first name that occurs, from 1; the longer ones win.
func (r *reading) name(into *int, lists ...[]string) {
	lower := strings.ToLower(r.rest)
	if len(lower) != len(r.rest) {
		lower = r.rest
	}
	best, length := -1, 0
	for _, list := range lists {
		for i, name := range list {
			name = strings.TrimSuffix(strings.ToLower(name), ".")
			at := strings.Index(lower, name)
			if at >= 0 && (best < 0 || at < best || at == best && len(name) > length) {
				best, length, *into = at, len(name), i+1
			}
		}
	}
	if best >= 0 {
		r.rest, r.some = strings.TrimPrefix(r.rest[best+length:], "."), true
	}
}

func (r *reading) meridiem() {
	i := strings.IndexAny(r.rest, "aApP")
	if i < 0 {
		return
	}
	r.afternoon = r.rest[i] == 'p' || r.rest[i] == 'P'
	r.half = true
	r.rest = strings.TrimLeft(r.rest[i+1:], ".mM")
}

func (r *reading) zone() {
	i := strings.IndexAny(r.rest, "Z+-")
	if i < 0 {
		return
	}
	sign := r.rest[i]
	r.rest = r.rest[i+1:]
	r.zoned = true
	if sign == 'Z' {
		return
	}
	hours, _ := r.digits(2)
	minutes, _ := r.digits(2)
	r.offset = (hours*60 + minutes) * 60
	if sign == '-' {
		r.offset = -r.offset
	}
}

func (r *reading) unix(seconds bool) {
	start := strings.IndexAny(r.rest, "0123456789")
	if start < 0 {
		return
	}
	negative := start > 0 && r.rest[start-1] == '-'
	end := start
	for end < len(r.rest) && (isDigit(r.rest[end]) || seconds && r.rest[end] == '.') {
		end++
	}
	n, err := strconv.ParseFloat(r.rest[start:end], 64)
	if seconds {
		n *= 1_000
	}
	if err != nil || n > 1e15 {
		return
	}
	if negative {
		n = -n
	}
	r.at, r.absolute, r.rest = time.UnixMilli(int64(n)), true, r.rest[end:]
}

// result puts what was read together, or is an error if it is no date.
func (r *reading) result(now time.Time) Value {
	if r.absolute {
		return Moment(r.at)
	}
	if !r.some {
		return Fail("the text does not fit the format")
	}
	if r.quarter > 0 && r.month < 0 {
		r.month = r.quarter*3 - 2
	}
	r.complete(now)
	if r.half && r.hour > 12 {
		return Fail("no such time")
	}
	if r.half {
		r.hour %= 12
		if r.afternoon {
			r.hour += 12
		}
	}
	if r.month < 1 || r.month > 12 || r.hour > 24 || r.minute > 59 || r.second > 59 || r.quarter > 4 || r.quarter == 0 {
		return Fail("no such date")
	}
	zone := time.UTC
	if r.zoned {
		zone = time.FixedZone("", r.offset)
	}
	t := time.Date(r.year, time.Month(r.month), r.day, r.hour, r.minute, r.second, r.nano, zone)
	if r.yearDay >= 0 {
		t = time.Date(r.year, 1, r.yearDay, r.hour, r.minute, r.second, r.nano, zone)
		if r.yearDay == 0 || r.hour < 24 && t.Year() != r.year {
			return Fail("no such date")
		}
	} else if r.hour < 24 && (t.Day() != r.day || int(t.Month()) != r.month) || r.day < 1 || r.day > 31 {
		return Fail("no such date")
	}
	return Moment(t)
}

// complete fills the date's gaps: before the first unit that was read with those of
// now, behind it with the smallest.
func (r *reading) complete(now time.Time) {
	found := false
	for _, u := range []struct {
		into     *int
		now, low int
	}{{&r.year, now.Year(), 1}, {&r.month, int(now.Month()), 1}, {&r.day, now.Day(), 1}} {
		switch {
		case *u.into >= 0:
			found = true
		case found || r.yearDay >= 0 && u.into != &r.year:
			*u.into = u.low
		default:
			*u.into = u.now
		}
	}
	for _, into := range []*int{&r.hour, &r.minute, &r.second} {
		*into = max(*into, 0)
	}
}
