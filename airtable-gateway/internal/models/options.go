package models

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Options are a field's settings; each type uses its own few.
type Options struct {
	Precision      int
	Symbol         string
	Icon, Color    string
	Max            int
	DurationFormat string
	DateFormat     string // local, friendly, us, european, iso
	TimeFormat     string // 12hour, 24hour
	TimeZone       string // utc, client or an IANA name
	Choices        []Choice
	LinkedTable    TableID
	Inverse        FieldID // the mirror of a link field in the other table
	Reversed       bool    // of links: made by the store as a mirror; of attachments: shown last first
	Single         bool
	PickView       ViewID
	ResultType     FieldType // what a computed time shows: date or dateTime
	Formula        string    // of a formula or rollup, with fields by id
	Via            FieldID   // the link field that a rollup, lookup or count follows
	Target         FieldID   // the field of the linked table that a rollup or lookup takes
	Result         *Result   // how a derived field shows its values; nil: as the store finds
	Referenced     []FieldID // that a field of changes, or generated text, looks at
	Prompt         []PromptPart

	zone *time.Location // of TimeZone, where that names one
}

type Choice struct {
	ID    ChoiceID
	Name  string
	Color string
}

// PromptPart is a piece of a prompt: a text, or what a field holds.
type PromptPart struct {
	Text  string
	Field FieldID
}

// maxChoices is Airtable's limit of choices in a field.
const maxChoices = 10_000

var (
	dateFormats     = map[string]string{"local": "l", "friendly": "LL", "us": "M/D/YYYY", "european": "D/M/YYYY", "iso": "YYYY-MM-DD"}
	timeFormats     = map[string]string{"12hour": "h:mma", "24hour": "HH:mm"}
	durationFormats = []string{"h:mm", "h:mm:ss", "h:mm:ss.S", "h:mm:ss.SS", "h:mm:ss.SSS"}
	ratingIcons     = []string{"star", "heart", "thumbsUp", "flag", "dot"}
	checkboxIcons   = []string{"check", "xCheckbox", "star", "heart", "thumbsUp", "flag", "dot"}
	hues            = []string{"blue", "cyan", "teal", "green", "yellow", "orange", "red", "pink", "purple", "gray"}
	shades          = []string{"Light2", "Light1", "Bright", "Dark1"}
)

// ParseOptions reads options in Airtable's form (decoded JSON; numbers as
// json.Number, float64 or int) for a field of the type. name is the field's, for
// the message. Choices without an id have none yet.
func ParseOptions(t FieldType, name string, in map[string]any) (Options, error) {
	b := behaviours[t]
	if b.options == nil {
		if len(in) > 0 {
			return Options{}, invalidOptions("%s.options must be absent", name)
		}
		return Options{}, nil
	}
	if in == nil && !b.computed && !b.bare {
		return Options{}, invalidOptions("%s.options is missing", name)
	}
	r := &optionReader{in: in, at: name + ".options"}
	o := b.options(r)
	if t == Formula || t == Rollup {
		o.Result = r.result()
	}
	if r.err != nil {
		return Options{}, r.err
	}
	return o, nil
}

// WireOptions returns the options in Airtable's form, as they are stored; nil for
// types without.
func (f *Field) WireOptions() map[string]any {
	wire := behaviours[f.Type].wire
	if wire == nil {
		return nil
	}
	out := wire(f.Options)
	if f.Options.Result != nil {
		out["result"] = f.Options.Result.wire()
	}
	return out
}

// AddChoices returns a copy of the options with a choice for each name that has none.
func (o Options) AddChoices(names []string, ids *IDs) (Options, error) {
	o.Choices = slices.Clone(o.Choices)
	for _, name := range names {
		if _, ok := o.choiceNamed(name); !ok {
			o.Choices = append(o.Choices, Choice{ids.Choice(), name, ChoiceColor(len(o.Choices))})
		}
	}
	if len(o.Choices) > maxChoices {
		return Options{}, BadRequest("A field cannot have more than %d choices.", maxChoices)
	}
	return o, nil
}

// ChoiceColor is the colour that the n-th choice gets when none is asked for.
func ChoiceColor(n int) string {
	return hues[n%len(hues)] + shades[n/len(hues)%len(shades)]
}

// nameChoices gives an id to each choice that has none.
func (o Options) nameChoices(ids *IDs) {
	for i := range o.Choices {
		if o.Choices[i].ID == "" {
			o.Choices[i].ID = ids.Choice()
		}
	}
}

func (o Options) choiceNamed(name string) (Choice, bool) {
	for _, c := range o.Choices {
		if c.Name == name {
			return c, true
		}
	}
	return Choice{}, false
}

func (o Options) choice(id ChoiceID) (Choice, bool) {
	for _, c := range o.Choices {
		if c.ID == id {
			return c, true
		}
	}
	return Choice{}, false
}

// Zone returns the zone in which the field reads times without an offset.
func (o Options) Zone() *time.Location {
	if o.zone != nil {
		return o.zone
	}
	return time.UTC
}

// optionReader takes options one by one and remembers the first fault.
type optionReader struct {
	in  map[string]any
	at  string
	err error
}

func (r *optionReader) fail(key, what string) {
	if r.err == nil {
		r.err = invalidOptions("%s.%s %s", r.at, key, what)
	}
}

func (r *optionReader) text(key string, allowed []string) string {
	s, ok := r.in[key].(string)
	switch {
	case !ok && r.in[key] == nil:
		r.fail(key, "is missing")
	case !ok:
		r.fail(key, "must be a string")
	case allowed != nil && !slices.Contains(allowed, s):
		r.fail(key, "is not one of the allowed values")
	}
	return clean(s)
}

func (r *optionReader) number(key string, least, most int) int {
	if r.in[key] == nil {
		r.fail(key, "is missing")
		return 0
	}
	n, ok := float(r.in[key])
	if !ok || n != float64(int(n)) || int(n) < least || int(n) > most {
		r.fail(key, "must be an integer from "+itoa(least)+" to "+itoa(most))
		return 0
	}
	return int(n)
}

func (r *optionReader) bool(key string) bool {
	b, ok := r.in[key].(bool)
	if !ok && r.in[key] != nil {
		r.fail(key, "must be a boolean")
	}
	return b
}

// format reads {"name":…,"format":…}, where format may be left out but must agree.
func (r *optionReader) format(key string, known map[string]string) string {
	in, ok := r.in[key].(map[string]any)
	if !ok {
		r.fail(key, "is missing")
		return ""
	}
	name, _ := in["name"].(string)
	pattern, ok := known[name]
	if !ok {
		r.fail(key+".name", "is not one of the allowed values")
		return ""
	}
	if given := in["format"]; given != nil && given != pattern {
		r.fail(key+".format", "does not agree with the name")
	}
	return name
}

func float(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int:
		return float64(v), true
	case json.Number:
		n, err := v.Float64()
		return n, err == nil
	}
	return 0, false
}

func readPrecision(r *optionReader) Options { return Options{Precision: r.number("precision", 0, 8)} }

func wirePrecision(o Options) map[string]any { return map[string]any{"precision": o.Precision} }

func readCurrency(r *optionReader) Options {
	return Options{Precision: r.number("precision", 0, 7), Symbol: r.text("symbol", nil)}
}

func wireCurrency(o Options) map[string]any {
	return map[string]any{"precision": o.Precision, "symbol": o.Symbol}
}

func readDuration(r *optionReader) Options {
	return Options{DurationFormat: r.text("durationFormat", durationFormats)}
}

func wireDuration(o Options) map[string]any {
	return map[string]any{"durationFormat": o.DurationFormat}
}

func readRating(r *optionReader) Options {
	return Options{Icon: r.text("icon", ratingIcons), Max: r.number("max", 1, 10), Color: r.brightColor()}
}

func wireRating(o Options) map[string]any {
	return map[string]any{"icon": o.Icon, "max": o.Max, "color": o.Color}
}

func readIcon(r *optionReader) Options {
	return Options{Icon: r.text("icon", checkboxIcons), Color: r.brightColor()}
}

func wireIcon(o Options) map[string]any { return map[string]any{"icon": o.Icon, "color": o.Color} }

func (r *optionReader) brightColor() string {
	c := r.text("color", nil)
	if !slices.Contains(hues, strings.TrimSuffix(c, "Bright")) || !strings.HasSuffix(c, "Bright") {
		r.fail("color", "is not one of the allowed values")
	}
	return c
}

func readDate(r *optionReader) Options {
	return Options{DateFormat: r.format("dateFormat", dateFormats)}
}

func wireDate(o Options) map[string]any {
	return map[string]any{"dateFormat": map[string]any{"name": o.DateFormat, "format": dateFormats[o.DateFormat]}}
}

func readDateTime(r *optionReader) Options {
	o := readDate(r)
	o.TimeFormat = r.format("timeFormat", timeFormats)
	o.TimeZone = r.text("timeZone", nil)
	switch o.TimeZone {
	case "utc", "client", "":
	default:
		zone, err := loadZone(o.TimeZone)
		// Airtable spells it utc and refuses UTC.
		if err != nil || o.TimeZone == "UTC" {
			r.fail("timeZone", "is not one of the allowed values")
		}
		o.zone = zone
	}
	return o
}

// loadZone knows IANA names only: time.LoadLocation would also take "Local".
func loadZone(name string) (*time.Location, error) {
	if name == "Local" || name == "" {
		return nil, errNoZone
	}
	return time.LoadLocation(name)
}

func wireDateTime(o Options) map[string]any {
	m := wireDate(o)
	m["timeFormat"] = map[string]any{"name": o.TimeFormat, "format": timeFormats[o.TimeFormat]}
	m["timeZone"] = o.TimeZone
	return m
}

func readResult(r *optionReader) Options {
	fallback := Options{ResultType: DateTime, DateFormat: "iso", TimeFormat: "24hour", TimeZone: "utc"}
	result, ok := r.in["result"].(map[string]any)
	if !ok {
		return fallback
	}
	options, _ := result["options"].(map[string]any)
	inner := &optionReader{in: options, at: r.at + ".result.options"}
	var o Options
	switch t, _ := result["type"].(string); FieldType(t) {
	case Date:
		o = readDate(inner)
		o.ResultType = Date
	case DateTime:
		o = readDateTime(inner)
		o.ResultType = DateTime
	default:
		r.fail("result.type", "is not one of the allowed values")
	}
	if r.err == nil {
		r.err = inner.err
	}
	return o
}

func wireResult(o Options) map[string]any {
	options := wireDate(o)
	if o.ResultType == DateTime {
		options = wireDateTime(o)
	}
	return map[string]any{"result": map[string]any{"type": string(o.ResultType), "options": options}}
}

func readChoices(r *optionReader) Options {
	in, ok := r.in["choices"].([]any)
	if !ok {
		r.fail("choices", "is missing")
		return Options{}
	}
	if len(in) > maxChoices {
		r.fail("choices", "has more than "+itoa(maxChoices)+" items")
		return Options{}
	}
	out := make([]Choice, 0, len(in))
	names := map[string]bool{}
	for i, v := range in {
		c, ok := v.(map[string]any)
		at := &optionReader{in: c, at: r.at + ".choices." + itoa(i)}
		if !ok {
			r.fail("choices."+itoa(i), "must be an object")
			return Options{}
		}
		name := strings.TrimSpace(at.text("name", nil))
		if name == "" || names[name] {
			at.fail("name", "is empty or used twice")
		}
		names[name] = true
		color := ChoiceColor(i)
		if c["color"] != nil {
			color = at.text("color", nil)
			if !isColor(color) {
				at.fail("color", "is not one of the allowed values")
			}
		}
		id, _ := c["id"].(string)
		if !IsID("sel", id) {
			id = ""
		}
		if at.err != nil {
			r.err = at.err
			return Options{}
		}
		out = append(out, Choice{ChoiceID(id), name, color})
	}
	return Options{Choices: out}
}

func isColor(c string) bool {
	for _, shade := range shades {
		if hue, ok := strings.CutSuffix(c, shade); ok && slices.Contains(hues, hue) {
			return true
		}
	}
	return false
}

func wireChoices(o Options) map[string]any {
	list := make([]any, len(o.Choices))
	for i, c := range o.Choices {
		list[i] = map[string]any{"id": string(c.ID), "name": c.Name, "color": c.Color}
	}
	return map[string]any{"choices": list}
}

func readReversed(r *optionReader) Options { return Options{Reversed: r.bool("isReversed")} }

func wireReversed(o Options) map[string]any { return map[string]any{"isReversed": o.Reversed} }

func readLink(r *optionReader) Options {
	o := Options{
		LinkedTable: TableID(r.text("linkedTableId", nil)),
		Reversed:    r.bool("isReversed"),
		Single:      r.bool("prefersSingleRecordLink"),
	}
	if r.in["inverseLinkFieldId"] != nil {
		o.Inverse = FieldID(r.text("inverseLinkFieldId", nil))
	}
	if r.in["viewIdForRecordSelection"] != nil {
		o.PickView = ViewID(r.text("viewIdForRecordSelection", nil))
	}
	return o
}

func wireLink(o Options) map[string]any {
	m := map[string]any{
		"linkedTableId":           string(o.LinkedTable),
		"isReversed":              o.Reversed,
		"prefersSingleRecordLink": o.Single,
	}
	if o.Inverse != "" {
		m["inverseLinkFieldId"] = string(o.Inverse)
	}
	if o.PickView != "" {
		m["viewIdForRecordSelection"] = string(o.PickView)
	}
	return m
}
