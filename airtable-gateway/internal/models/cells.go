package models

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

// MaxText is the longest text a cell holds, in UTF-16 units as Airtable counts.
const MaxText = 100_000

// Airtable's limits of lists in one cell.
const (
	maxCellChoices = 1_000
	maxCellLinks   = 100_000
)

const (
	dateLayout      = "2006-01-02"
	timestampLayout = "2006-01-02T15:04:05.000Z"
)

// ErrUnknownChoice is returned by Read for a cell that names a choice which the
// field at hand does not have: the schema was loaded before the choice was made.
var ErrUnknownChoice = errors.New("cell names a choice that the field does not have")

var errNoZone = errors.New("unknown time zone")

// clean removes NUL, which no text in PostgreSQL can hold.
func clean(s string) string { return strings.ReplaceAll(s, "\x00", "") }

func tooLong(s string) bool {
	if len(s) <= MaxText {
		return false
	}
	n := 0
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n > MaxText
}

func writeText(f *Field, v any, typecast bool) (Written, error) {
	s, ok := v.(string)
	if !ok && typecast {
		s, ok = scalarText(v)
	}
	s = clean(s)
	if !ok || tooLong(s) {
		return Written{}, InvalidValue(f.Name)
	}
	if s == "" {
		return Written{}, nil
	}
	return Written{Value: s}, nil
}

// scalarText is a number or boolean as typecast writes it into text.
func scalarText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case json.Number:
		if n, ok := finite(v); ok {
			return string(Marshal(n)), true
		}
	}
	return "", false
}

// finite returns a JSON number as the double that Airtable would keep.
func finite(v any) (float64, bool) {
	n, ok := float(v)
	if !ok || math.IsInf(n, 0) || math.IsNaN(n) {
		return 0, false
	}
	return n + 0, true // -0 becomes 0
}

func writeNumber(f *Field, v any, typecast bool) (Written, error) {
	return writeNumeric(f, v, typecast, parseNumber)
}

func writePercent(f *Field, v any, typecast bool) (Written, error) {
	return writeNumeric(f, v, typecast, func(s string) (float64, bool) {
		bare, isPercent := strings.CutSuffix(strings.TrimSpace(s), "%")
		n, ok := parseNumber(bare)
		if isPercent {
			n /= 100
		}
		return n, ok
	})
}

func writeDuration(f *Field, v any, typecast bool) (Written, error) {
	return writeNumeric(f, v, typecast, func(s string) (float64, bool) {
		return parseDuration(s, f.Options.DurationFormat)
	})
}

func writeRating(f *Field, v any, typecast bool) (Written, error) {
	w, err := writeNumeric(f, v, typecast, parseNumber)
	if err != nil {
		return w, err
	}
	n := w.Value.(float64)
	if n == 0 {
		return Written{}, nil
	}
	if n != math.Trunc(n) || n < 1 || n > float64(f.Options.Max) {
		return Written{}, InvalidValue(f.Name)
	}
	return w, nil
}

func writeNumeric(f *Field, v any, typecast bool, parse func(string) (float64, bool)) (Written, error) {
	if s, ok := v.(string); ok && typecast {
		n, ok := parse(s)
		if !ok || math.IsInf(n, 0) || math.IsNaN(n) {
			return Written{}, Unparsable(s, f.Name)
		}
		return Written{Value: n + 0}, nil
	}
	n, ok := finite(v)
	if !ok {
		return Written{}, InvalidValue(f.Name)
	}
	return Written{Value: n}, nil
}

// parseNumber reads "12.5", "$1,234.50", "(3)" is not understood.
func parseNumber(s string) (float64, bool) {
	s = strings.TrimSpace(s)
	sign := ""
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		sign, s = "-", rest
	}
	s = strings.TrimLeft(s, "$€£¥₹ ")
	s = strings.TrimRight(s, "€£¥₹% ")
	s = strings.ReplaceAll(s, ",", "")
	if s == "" || strings.Trim(s, "0123456789.eE+-") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(sign+s, 64)
	return n, err == nil
}

// parseDuration reads "1:30" (hours and minutes, or minutes and seconds where
// the format shows seconds), "1:02:03.5", or a bare number of seconds.
func parseDuration(s, format string) (float64, bool) {
	s = strings.TrimSpace(s)
	sign := 1.0
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		sign, s = -1, rest
	}
	parts := strings.Split(s, ":")
	if len(parts) == 1 {
		n, ok := parseNumber(s)
		return sign * n, ok
	}
	if len(parts) > 3 {
		return 0, false
	}
	if len(parts) == 2 && format == "h:mm" {
		parts = append(parts, "0")
	}
	total := 0.0
	for _, p := range parts {
		if p == "" || strings.Trim(p, "0123456789.") != "" {
			return 0, false
		}
		n, err := strconv.ParseFloat(p, 64)
		if err != nil {
			return 0, false
		}
		total = total*60 + n
	}
	return sign * total, true
}

func writeCheckbox(f *Field, v any, typecast bool) (Written, error) {
	b, ok := v.(bool)
	if !ok && typecast {
		b, ok = parseBool(v)
		if !ok {
			return Written{}, Unparsable(v, f.Name)
		}
	}
	if !ok {
		return Written{}, InvalidValue(f.Name)
	}
	if !b {
		return Written{}, nil
	}
	return Written{Value: true}, nil
}

func parseBool(v any) (value, ok bool) {
	if n, isNumber := finite(v); isNumber {
		return n != 0, n == 0 || n == 1
	}
	s, _ := v.(string)
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "checked", "yes", "1", "on":
		return true, true
	case "false", "unchecked", "no", "0", "off":
		return false, true
	}
	return false, false
}

func writeDate(f *Field, v any, typecast bool) (Written, error) {
	t, err := f.moment(v, typecast)
	if err != nil {
		return Written{}, err
	}
	return Written{Value: t.Format(dateLayout)}, nil
}

func writeDateTime(f *Field, v any, typecast bool) (Written, error) {
	if n, ok := finite(v); ok {
		// Airtable takes epoch milliseconds here.
		if math.Abs(n) > 1e15 {
			return Written{}, InvalidValue(f.Name)
		}
		return f.instant(time.UnixMilli(int64(n)))
	}
	t, err := f.moment(v, typecast)
	if err != nil {
		return Written{}, err
	}
	return f.instant(t)
}

func (f *Field) instant(t time.Time) (Written, error) {
	t = t.UTC()
	if t.Year() < 1 || t.Year() > 9999 {
		return Written{}, InvalidValue(f.Name)
	}
	return Written{Value: t.Format(timestampLayout)}, nil
}

var isoLayouts = []string{
	dateLayout,
	"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05",
	"2006-01-02T15:04Z07:00", "2006-01-02T15:04",
	"2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02 15:04",
}

var looseDays = []string{"January 2, 2006", "Jan 2, 2006", "2 January 2006", "2 Jan 2006", "2006/1/2", "2006-1-2"}

var looseTimes = []string{"", " 15:04", " 15:04:05", " 3:04pm", " 3:04 pm", " 3:04PM", " 3:04 PM"}

// moment reads a date or time in the field's zone; typecast adds the spellings
// of the field's own date format.
func (f *Field) moment(v any, typecast bool) (time.Time, error) {
	s, ok := v.(string)
	if !ok {
		return time.Time{}, InvalidValue(f.Name)
	}
	s = strings.TrimSpace(s)
	if len(s) > 64 {
		return time.Time{}, InvalidValue(f.Name)
	}
	for _, layout := range isoLayouts {
		if t, err := time.ParseInLocation(layout, s, f.Options.Zone()); err == nil && t.Year() >= 1 {
			return t, nil
		}
	}
	if !typecast {
		return time.Time{}, InvalidValue(f.Name)
	}
	days := append([]string{"1/2/2006"}, looseDays...)
	if f.Options.DateFormat == "european" {
		days[0] = "2/1/2006"
	}
	for _, day := range days {
		for _, clock := range looseTimes {
			if t, err := time.ParseInLocation(day+clock, s, f.Options.Zone()); err == nil && t.Year() >= 1 {
				return t, nil
			}
		}
	}
	return time.Time{}, Unparsable(s, f.Name)
}

func writeChoice(f *Field, v any, typecast bool) (Written, error) {
	name, ok := f.choiceName(v, typecast)
	if !ok {
		return Written{}, InvalidValue(f.Name)
	}
	if name == "" {
		return Written{}, nil
	}
	c, ok := f.Options.choiceNamed(name)
	switch {
	case ok:
		return Written{Value: string(c.ID)}, nil
	case typecast:
		return Written{NewChoices: []string{name}}, nil
	}
	return Written{}, UnknownChoice(name)
}

func writeChoiceList(f *Field, v any, typecast bool) (Written, error) {
	list, ok := v.([]any)
	if !ok && typecast {
		list, ok = []any{v}, true
	}
	if !ok || len(list) > maxCellChoices {
		return Written{}, InvalidValue(f.Name)
	}
	var w Written
	var ids []string
	seen := map[string]bool{}
	for _, item := range list {
		name, ok := f.choiceName(item, typecast)
		if !ok || name == "" {
			return Written{}, InvalidValue(f.Name)
		}
		if seen[name] {
			continue
		}
		seen[name] = true
		c, ok := f.Options.choiceNamed(name)
		switch {
		case ok:
			ids = append(ids, string(c.ID))
		case typecast:
			w.NewChoices = append(w.NewChoices, name)
		default:
			return Written{}, UnknownChoice(name)
		}
	}
	w.Value = ids
	return w, nil
}

// choiceName reads the name of a choice; a value that is no name is not ok.
func (f *Field) choiceName(v any, typecast bool) (string, bool) {
	s, ok := v.(string)
	if !ok && typecast {
		s, ok = scalarText(v)
	}
	s = strings.TrimSpace(clean(s))
	return s, ok && !tooLong(s)
}

func writeLinks(f *Field, v any, typecast bool) (Written, error) {
	list, ok := v.([]any)
	if s, isText := v.(string); isText && typecast {
		list, ok = splitLinks(s), true
	}
	if !ok || len(list) > maxCellLinks {
		return Written{}, NotRecordIDs()
	}
	var refs []LinkRef
	seen := map[LinkRef]bool{}
	for _, item := range list {
		ref, err := linkRef(item, typecast)
		if err != nil {
			return Written{}, err
		}
		if !seen[ref] && ref != (LinkRef{}) {
			refs = append(refs, ref)
		}
		seen[ref] = true
	}
	return Written{Links: refs}, nil
}

func linkRef(item any, typecast bool) (LinkRef, error) {
	if m, ok := item.(map[string]any); ok {
		item = m["id"]
		typecast = false
	}
	s, ok := item.(string)
	if !ok && typecast {
		s, ok = scalarText(item)
	}
	if !ok {
		return LinkRef{}, NotRecordIDs()
	}
	s = strings.TrimSpace(clean(s))
	switch {
	case IsID("rec", s) && (!typecast || len(s) == len("rec")+idLength):
		return LinkRef{ID: RecordID(s)}, nil
	case !typecast || tooLong(s):
		return LinkRef{}, InvalidRecordID(s)
	}
	return LinkRef{Text: s}, nil
}

func splitLinks(s string) []any {
	var out []any
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

func readChoiceName(f *Field, r *Record) (any, error) {
	id, ok := r.Cells[f.ID].(string)
	if !ok {
		return nil, nil
	}
	c, ok := f.Options.choice(ChoiceID(id))
	if !ok {
		return nil, ErrUnknownChoice
	}
	return c.Name, nil
}

func readChoiceNames(f *Field, r *Record) (any, error) {
	ids := Strings(r.Cells[f.ID])
	if len(ids) == 0 {
		return nil, nil
	}
	names := make([]string, len(ids))
	for i, id := range ids {
		c, ok := f.Options.choice(ChoiceID(id))
		if !ok {
			return nil, ErrUnknownChoice
		}
		names[i] = c.Name
	}
	return names, nil
}

// Strings returns a stored list, whether it was just written or decoded from JSON.
func Strings(v any) []string {
	switch v := v.(type) {
	case []string:
		return v
	case []any:
		out := make([]string, 0, len(v))
		for _, item := range v {
			if s, ok := item.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}

func readLinks(f *Field, r *Record) (any, error) {
	links := r.Links[f.ID]
	if len(links) == 0 {
		return nil, nil
	}
	out := make([]string, len(links))
	for i, id := range links {
		out[i] = string(id)
	}
	return out, nil
}
