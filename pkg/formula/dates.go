package formula

import (
	"math"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // formulas name time zones, and containers have none
)

type unit int

// The units of time, from small to large.
const (
	unitMillisecond unit = iota
	unitSecond
	unitMinute
	unitHour
	unitDay
	unitWeek
	unitMonth
	unitQuarter
	unitYear
)

// The lengths of units that have one, in milliseconds.
const (
	milliSecond = 1_000
	milliMinute = 60 * milliSecond
	milliHour   = 60 * milliMinute
	milliDay    = 24 * milliHour
)

func (u unit) millis() float64 {
	return [...]float64{1, milliSecond, milliMinute, milliHour, milliDay, 7 * milliDay}[u]
}

// unitNamed returns the unit of a name, long or short; milliseconds if it is
// unknown. Only M and m, month and minute, depend on the letter case.
func unitNamed(name string) unit {
	switch name {
	case "M":
		return unitMonth
	case "Q":
		return unitQuarter
	}
	switch strings.TrimSuffix(strings.ToLower(name), "s") {
	case "millisecond", "m":
		if strings.ToLower(name) == "m" {
			return unitMinute
		}
		return unitMillisecond
	case "second", "":
		if name == "" {
			return unitMillisecond
		}
		return unitSecond
	case "minute":
		return unitMinute
	case "hour", "h":
		return unitHour
	case "day", "d":
		return unitDay
	case "week", "w":
		return unitWeek
	case "month":
		return unitMonth
	case "quarter":
		return unitQuarter
	case "year", "y":
		return unitYear
	}
	return unitMillisecond
}

// toDate returns v as a date: a text in ISO form is one. Blank is an error, as all
// else: an empty date cell makes most date functions fail.
func (v Value) toDate() Value {
	switch v = v.scalar(); v.kind {
	case KindDate, KindError:
		return v
	case KindText:
		if d := parseISO(v.text); d.kind == KindDate {
			return d
		}
	}
	return Fail(v.kind.String() + " where a date is needed")
}

// Date returns v as date functions see it: a text in ISO form is a date; what is
// none is an error value.
func (v Value) Date() Value { return v.toDate() }

// Bounds returns the first moments of the unit of time that a date lies in and of
// the next one, as IS_SAME and its like compare: in UTC, by milliseconds if the unit
// is unknown. Both are moments, or an error if they are out of range.
func (v Value) Bounds(unit string) (from, to Value) {
	u := unitNamed(unit)
	from = Moment(startOf(v.Time(), u))
	if from.kind == KindError {
		return from, from
	}
	return from, from.add(1, u)
}

func loadZone(name string) *time.Location {
	if strings.EqualFold(name, "utc") || strings.EqualFold(name, "gmt") {
		return time.UTC
	}
	if name == "" || name == "Local" || len(name) > 64 {
		return nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil
	}
	return zone
}

func fnNow(ev *evaluator, _ []Value) Value { return Moment(ev.env.Now) }

// fnToday is the day in UTC.
func fnToday(ev *evaluator, _ []Value) Value { return Day(ev.env.Now.UTC()) }

func fnCreatedTime(ev *evaluator, _ []Value) Value {
	if ev.env.Created.IsZero() {
		return Blank()
	}
	return Moment(ev.env.Created)
}

// fnLastModifiedTime takes the fields that it is about; anything else among the
// arguments is an error.
func fnLastModifiedTime(ev *evaluator, n *CallNode) Value {
	var fields []string
	for _, arg := range n.Args {
		ref, ok := arg.(*FieldNode)
		if !ok {
			return Fail("LAST_MODIFIED_TIME takes fields")
		}
		field, ok := ev.f.Field(ref)
		if !ok {
			return Fail("LAST_MODIFIED_TIME takes fields")
		}
		fields = append(fields, field.ID)
	}
	if ev.env.Modified == nil {
		return Blank()
	}
	at := ev.env.Modified(fields)
	if at.IsZero() {
		return Blank()
	}
	return Moment(at)
}

func fnRecordID(ev *evaluator, _ []Value) Value { return Text(ev.env.RecordID) }

func fnDateAdd(_ *evaluator, args []Value) Value {
	d := args[0].toDate()
	if d.kind == KindError {
		return d
	}
	n, failed := number(args, 1, 0)
	if failed.kind == KindError {
		return failed
	}
	if math.IsNaN(n) || math.IsInf(n, 0) {
		return Fail("a date cannot be moved by " + formatNumber(n))
	}
	return d.add(n, unitNamed(args[2].String()))
}

// add moves a date. Parts of days, weeks and months are rounded, of hours and less
// they count; a month that is too short gives its last day.
func (v Value) add(n float64, u unit) Value {
	if u <= unitHour {
		ms := math.Round(n * u.millis())
		return v.at(v.num+ms, false)
	}
	switch u {
	case unitQuarter:
		n, u = n*3, unitMonth
	case unitYear:
		n, u = n*12, unitMonth
	case unitWeek:
		n, u = n*7, unitDay
	}
	n = math.Round(n)
	if math.Abs(n) > 4e6 { // more days than there are
		return Fail("date out of range")
	}
	t := v.local()
	if u == unitMonth {
		t = addMonths(t, int(n))
	} else {
		t = t.AddDate(0, 0, int(n))
	}
	return v.at(float64(t.UnixMilli()), v.day)
}

// at is the date v at another moment, shown alike.
func (v Value) at(ms float64, day bool) Value {
	if math.Abs(ms) > 1e15 {
		return Fail("date out of range")
	}
	d := date(int64(ms), day)
	d.show = v.show
	return d
}

func addMonths(t time.Time, n int) time.Time {
	y, m, d := t.Date()
	first := time.Date(y, m+time.Month(n), 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), t.Location())
	last := time.Date(first.Year(), first.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
	return first.AddDate(0, 0, min(d, last)-1)
}

func twoDates(args []Value) (a, b, failed Value) {
	if a = args[0].toDate(); a.kind == KindError {
		return a, b, a
	}
	if b = args[1].toDate(); b.kind == KindError {
		return a, b, b
	}
	return a, b, Value{}
}

// fnDatetimeDiff counts whole units from the second date to the first; seconds if
// no unit is given, milliseconds if it is unknown.
func fnDatetimeDiff(_ *evaluator, args []Value) Value {
	a, b, failed := twoDates(args)
	if failed.kind == KindError {
		return failed
	}
	u := unitSecond
	if len(args) == 3 {
		u = unitNamed(args[2].String())
	}
	return Number(difference(a, b, u))
}

func difference(a, b Value, u unit) float64 {
	switch u {
	case unitMonth:
		return math.Trunc(months(a.local(), b.local()))
	case unitQuarter:
		return math.Trunc(months(a.local(), b.local()) / 3)
	case unitYear:
		return math.Trunc(months(a.local(), b.local()) / 12)
	}
	return math.Trunc((a.num - b.num) / u.millis())
}

// months is the number of months from b to a, with a fraction, as moment.js has it.
func months(a, b time.Time) float64 {
	if a.Day() < b.Day() {
		return -months(b, a)
	}
	whole := (b.Year()-a.Year())*12 + int(b.Month()) - int(a.Month())
	anchor := addMonths(a, whole)
	var part float64
	if off := b.Sub(anchor); off < 0 {
		part = float64(off) / float64(anchor.Sub(addMonths(a, whole-1)))
	} else {
		part = float64(off) / float64(addMonths(a, whole+1).Sub(anchor))
	}
	return -(float64(whole) + part) + 0
}

func fnDateDif(ev *evaluator, args []Value) Value {
	return fnDatetimeDiff(ev, []Value{args[1], args[0], args[2]})
}

// textOfDate makes a text function of a date; blank is an error.
func textOfDate(args []Value, layout string) Value {
	d := args[0].toDate()
	if d.kind == KindError {
		return d
	}
	return Text(d.local().Format(layout))
}

func fnDateStr(_ *evaluator, args []Value) Value { return textOfDate(args, dayLayout) }
func fnTimeStr(_ *evaluator, args []Value) Value { return textOfDate(args, "15:04:05") }

func part(args []Value, of func(t time.Time) int) Value {
	d := args[0].toDate()
	if d.kind == KindError {
		return d
	}
	return Number(float64(of(d.local())))
}

func fnYear(_ *evaluator, args []Value) Value   { return part(args, time.Time.Year) }
func fnDay(_ *evaluator, args []Value) Value    { return part(args, time.Time.Day) }
func fnHour(_ *evaluator, args []Value) Value   { return part(args, time.Time.Hour) }
func fnMinute(_ *evaluator, args []Value) Value { return part(args, time.Time.Minute) }
func fnSecond(_ *evaluator, args []Value) Value { return part(args, time.Time.Second) }

func fnMonth(_ *evaluator, args []Value) Value {
	return part(args, func(t time.Time) int { return int(t.Month()) })
}

// firstWeekday is the day that the optional argument names; Sunday if none.
func firstWeekday(args []Value, i int) int {
	if i < len(args) {
		for day := time.Sunday; day <= time.Saturday; day++ {
			if strings.EqualFold(day.String(), strings.TrimSpace(args[i].String())) {
				return int(day)
			}
		}
	}
	return 0
}

func fnWeekday(_ *evaluator, args []Value) Value {
	first := firstWeekday(args, 1)
	return part(args, func(t time.Time) int { return (int(t.Weekday()) - first + 7) % 7 })
}

// fnWeekNum: unconfirmed. As in moment.js's English calendar, week 1 is the one
// that holds 1 January, even for the last days of the year before.
func fnWeekNum(_ *evaluator, args []Value) Value {
	first := firstWeekday(args, 1)
	return part(args, func(t time.Time) int {
		_, week := weekOf(t, first, 1)
		return week
	})
}

// weekOf returns the week of t and the year that the week belongs to. Weeks begin
// on the weekday first; week 1 holds the given day of January.
func weekOf(t time.Time, first, january int) (year, week int) {
	offset := (int(t.Weekday()) - first + 7) % 7
	// The week belongs to the year of its day that would be the given one of January:
	// the last day of the week that is on or after it.
	start := time.Date(t.Year(), t.Month(), t.Day()-offset, 0, 0, 0, 0, time.UTC)
	year = start.AddDate(0, 0, 6-(january-1)).Year()
	pivot := time.Date(year, 1, january, 0, 0, 0, 0, time.UTC)
	one := pivot.AddDate(0, 0, -((int(pivot.Weekday()) - first + 7) % 7))
	return year, int(math.Round(start.Sub(one).Hours()/24))/7 + 1
}

// startOf is the beginning of the unit that t lies in; weeks begin on Sunday.
func startOf(t time.Time, u unit) time.Time {
	y, m, d := t.Date()
	switch u {
	case unitMillisecond:
		return t.Truncate(time.Millisecond)
	case unitSecond:
		return t.Truncate(time.Second)
	case unitMinute:
		return time.Date(y, m, d, t.Hour(), t.Minute(), 0, 0, t.Location())
	case unitHour:
		return time.Date(y, m, d, t.Hour(), 0, 0, 0, t.Location())
	case unitWeek:
		d -= int(t.Weekday())
	case unitMonth:
		d = 1
	case unitQuarter:
		m, d = (m-1)/3*3+1, 1
	case unitYear:
		m, d = 1, 1
	}
	return time.Date(y, m, d, 0, 0, 0, 0, t.Location())
}

// relation is what IS_SAME, IS_BEFORE and IS_AFTER do, to the unit of the third
// argument. Unconfirmed: with an empty date the answer is no.
func relation(args []Value, holds func(order int) bool) Value {
	if args[0].empty() || args[1].empty() {
		return Bool(false)
	}
	a, b, failed := twoDates(args)
	if failed.kind == KindError {
		return failed
	}
	u := unitMillisecond
	if len(args) == 3 {
		u = unitNamed(args[2].String())
	}
	zone := a.local().Location()
	return Bool(holds(startOf(a.local(), u).Compare(startOf(b.Time().In(zone), u))))
}

func fnIsSame(_ *evaluator, args []Value) Value {
	return relation(args, func(order int) bool { return order == 0 })
}

func fnIsBefore(_ *evaluator, args []Value) Value {
	return relation(args, func(order int) bool { return order < 0 })
}

func fnIsAfter(_ *evaluator, args []Value) Value {
	return relation(args, func(order int) bool { return order > 0 })
}

// dayNumber counts days since 1970, a Thursday.
func dayNumber(d Value) int { return int(math.Floor(dayStart(d) / milliDay)) }

func workday(n int) bool { return (n+4)%7 != 0 && (n+4)%7 != 6 && (n+4)%7 != -1 }

// workdaysTo is the number of days from Monday to Friday before day n, up to a
// constant.
func workdaysTo(n int) int {
	n += 3 // so that 0 is a Monday
	week := int(math.Floor(float64(n) / 7))
	return week*5 + min(n-week*7, 5)
}

// holidays returns the working days that an argument takes away, sorted: a text of
// ISO dates with commas between them, or a list of dates.
func holidays(args []Value, i int) (days []int, failed Value) {
	if i >= len(args) {
		return nil, Value{}
	}
	for _, item := range flatten(args[i]) {
		for _, named := range datesIn(item) {
			d := named.toDate()
			if d.kind == KindError {
				return nil, d
			}
			if n := dayNumber(d); workday(n) {
				days = append(days, n)
			}
		}
	}
	slices.Sort(days)
	return slices.Compact(days), Value{}
}

// datesIn splits a text at its commas; blanks are left out.
func datesIn(v Value) []Value {
	if v.kind != KindText {
		if v.empty() {
			return nil
		}
		return []Value{v}
	}
	var out []Value
	for name := range strings.SplitSeq(v.text, ",") {
		if name = strings.TrimSpace(name); name != "" {
			out = append(out, Text(name))
		}
	}
	return out
}

// fnWorkday is the n-th working day after the date, or before it.
func fnWorkday(ev *evaluator, args []Value) Value {
	d := args[0].toDate()
	if d.kind == KindError {
		return d
	}
	n, failed := number(args, 1, 0)
	if failed.kind == KindError {
		return failed
	}
	off, failed := holidays(args, 2)
	if failed.kind == KindError {
		return failed
	}
	if math.IsNaN(n) || math.Abs(n) > 4e6 || !ev.charge(50*len(off)) {
		return Fail("date out of range")
	}
	return date(int64(addWorkdays(dayNumber(d), int(n), off))*milliDay, true)
}

func addWorkdays(day, n int, off []int) int {
	if n < 0 {
		for i := range off {
			off[i] = -off[i]
		}
		slices.Sort(off)
		// Mirrored in time, a week still has two days off, next to each other.
		return -step(-day, -n, off, func(d int) bool { return workday(-d) })
	}
	return step(day, n, off, workday)
}

// step goes n working days ahead: whole weeks at once, then day by day, once more
// for each holiday that was passed.
func step(day, n int, off []int, works func(int) bool) int {
	next, _ := slices.BinarySearch(off, day+1)
	for n > 0 {
		day += n / 5 * 7
		for n %= 5; n > 0; {
			if day++; works(day) {
				n--
			}
		}
		if !works(day) { // n was a multiple of 5 and the start no working day
			day = lastWorkday(day, works)
		}
		for ; next < len(off) && off[next] <= day; next++ {
			n++
		}
	}
	return day
}

func lastWorkday(day int, works func(int) bool) int {
	for !works(day) {
		day--
	}
	return day
}

// fnWorkdayDiff: unconfirmed. Both ends are counted; backwards the number is
// negative.
func fnWorkdayDiff(_ *evaluator, args []Value) Value {
	a, b, failed := twoDates(args)
	if failed.kind == KindError {
		return failed
	}
	off, failed := holidays(args, 2)
	if failed.kind == KindError {
		return failed
	}
	from, to, sign := dayNumber(a), dayNumber(b), 1
	if from > to {
		from, to, sign = to, from, -1
	}
	n := workdaysTo(to+1) - workdaysTo(from)
	first, _ := slices.BinarySearch(off, from)
	last, _ := slices.BinarySearch(off, to+1)
	return Number(float64(sign * (n - (last - first))))
}

// fnFromNow is the distance from now in words, without a direction.
func fnFromNow(ev *evaluator, args []Value) Value {
	d := args[0].toDate()
	if d.kind == KindError {
		return d
	}
	return Text(distance(math.Abs(float64(ev.env.Now.UnixMilli())-d.num) / milliSecond))
}

// distance says a number of seconds in moment.js's words.
func distance(seconds float64) string {
	minutes, hours, days := math.Round(seconds/60), math.Round(seconds/3600), math.Round(seconds/86400)
	months, years := math.Round(seconds/86400/30.436875), math.Round(seconds/86400/365.2425)
	switch {
	case math.Round(seconds) < 45:
		return "a few seconds"
	case minutes <= 1:
		return "a minute"
	case minutes < 45:
		return formatNumber(minutes) + " minutes"
	case hours <= 1:
		return "an hour"
	case hours < 22:
		return formatNumber(hours) + " hours"
	case days <= 1:
		return "a day"
	case days < 26:
		return formatNumber(days) + " days"
	case months <= 1:
		return "a month"
	case months < 11:
		return formatNumber(months) + " months"
	case years <= 1:
		return "a year"
	}
	return formatNumber(years) + " years"
}

// fnSetTimezone is heard by DATETIME_FORMAT alone.
func fnSetTimezone(ev *evaluator, args []Value) Value {
	d := args[0].toDate()
	if d.kind == KindError {
		return d
	}
	name := args[1].String()
	zone, known := ev.f.zones[name]
	if !known {
		if !ev.charge(100_000) {
			return errTooMuch
		}
		zone = loadZone(name)
	}
	if zone == nil {
		return Fail("unknown time zone")
	}
	show := dateShow{}
	if d.show != nil {
		show = *d.show
	}
	show.format = zone
	d.show = &show
	return d
}

// fnSetLocale is heard by DATETIME_FORMAT alone.
func fnSetLocale(_ *evaluator, args []Value) Value {
	d := args[0].toDate()
	if d.kind == KindError {
		return d
	}
	show := dateShow{}
	if d.show != nil {
		show = *d.show
	}
	show.locale = args[1].String()
	d.show = &show
	return d
}
