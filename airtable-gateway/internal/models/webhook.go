package models

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"
)

// WebhookID names a webhook: ach…
type WebhookID string

// Airtable's limits of webhooks.
const (
	MaxWebhooks = 10 // of a base, expired ones not counted
	MaxPayloads = 50 // of one call
	// WebhookLife is how long a webhook lives after its creation, a refresh or a
	// reading of its payloads.
	WebhookLife = 7 * 24 * time.Hour
	// WebhookAfterlife is how long an expired webhook and its payloads can still be
	// read, and how long any payload is kept.
	WebhookAfterlife = 7 * 24 * time.Hour
)

// maxWebhookURL bounds notification URLs; the true limit is unconfirmed.
const maxWebhookURL = 2_000

// Webhook is one program's wish to hear of changes in a base.
type Webhook struct {
	ID          WebhookID
	Base        BaseID
	URL         string // that is pinged; "": none
	Spec        WebhookSpec
	Secret      []byte // sealed; the key of the pings' MAC
	CreatedAt   time.Time
	ExpiresAt   time.Time
	Broken      bool // its specification names what is gone: it hears no more
	Pings       bool // notifications are enabled
	LastPayload int64
	LastPing    []byte // Airtable's lastNotificationResult; nil: none yet
	PingedAt    time.Time
}

// Active reports whether the webhook hears of changes.
func (w Webhook) Active(now time.Time) bool { return !w.Broken && now.Before(w.ExpiresAt) }

// DataType is a kind of thing whose changes a webhook hears of.
type DataType string

const (
	TableData     DataType = "tableData"     // records and their cells
	TableFields   DataType = "tableFields"   // fields
	TableMetadata DataType = "tableMetadata" // names and descriptions of tables
)

// ChangeType is what can become of a thing.
type ChangeType string

const (
	Added   ChangeType = "add"
	Removed ChangeType = "remove"
	Updated ChangeType = "update"
)

// SourcePublicAPI is the source of every change that is made through the API.
const SourcePublicAPI = "publicApi"

var (
	dataTypes   = []string{string(TableData), string(TableFields), string(TableMetadata)}
	changeTypes = []string{string(Added), string(Removed), string(Updated)}
	hookSources = []string{
		"client", SourcePublicAPI, "formSubmission", "formPageSubmission", "automation", "system", "sync", "anonymousUser", "unknown",
	}
)

// WebhookSpec says which changes a webhook hears of, and how much about them. An
// empty list stands for no restriction.
type WebhookSpec struct {
	DataTypes   []DataType
	ChangeTypes []ChangeType
	Sources     []string
	Table       TableID // "": every table
	View        ViewID  // "": every record

	WatchData    []FieldID // only changes of these fields' cells
	WatchSchemas []FieldID // only changes of these fields' definitions

	IncludeCells          []FieldID // shown although they did not change
	IncludeAllCells       bool
	IncludePrevious       bool // cells
	IncludePreviousFields bool // definitions

	forms []ViewID // named by sourceOptions; the store has no forms
	wire  map[string]any
}

// Wire is the specification in Airtable's form, as it was given.
func (s WebhookSpec) Wire() map[string]any { return s.wire }

// Hears reports whether the webhook hears of such a change, made by the API.
func (s WebhookSpec) Hears(what DataType, change ChangeType) bool {
	return slices.Contains(s.DataTypes, what) &&
		(len(s.ChangeTypes) == 0 || slices.Contains(s.ChangeTypes, change)) &&
		(len(s.Sources) == 0 || slices.Contains(s.Sources, SourcePublicAPI))
}

// Concerns reports whether changes in the table are within the scope.
func (s WebhookSpec) Concerns(t TableID) bool { return s.Table == "" || s.Table == t }

// WatchesCell reports whether a change of the field's cells is one to hear of.
func (s WebhookSpec) WatchesCell(f FieldID) bool {
	return len(s.WatchData) == 0 || slices.Contains(s.WatchData, f)
}

// WatchesSchema reports whether a change of the field is one to hear of.
func (s WebhookSpec) WatchesSchema(f FieldID) bool {
	return len(s.WatchSchemas) == 0 || slices.Contains(s.WatchSchemas, f)
}

// Includes reports whether the field's cells are shown although they did not change.
func (s WebhookSpec) Includes(f FieldID) bool {
	return s.IncludeAllCells || slices.Contains(s.IncludeCells, f)
}

// WebhookDraft is what creating a webhook asks for.
type WebhookDraft struct {
	URL  string
	Spec WebhookSpec
}

// ParseWebhook reads the body of creating a webhook in base.
func ParseWebhook(body []byte, base *Base) (WebhookDraft, error) {
	in, err := DecodeObject(body)
	if err != nil {
		return WebhookDraft{}, err
	}
	r := &hookReader{}
	r.only(in, "notificationUrl", "specification")
	d := WebhookDraft{URL: r.text(in, "notificationUrl")}
	if len(d.URL) > maxWebhookURL {
		r.bad = true
	}
	specification := r.object(in, "specification")
	if r.bad || specification == nil {
		return d, ErrInvalidRequest
	}
	if d.Spec, err = ReadWebhookSpec(specification, base); err != nil {
		return d, err
	}
	return d, d.Spec.Check(base)
}

// ReadWebhookSpec reads a specification in Airtable's form. base tells which table
// a view belongs to; what it does not have is left to Check.
func ReadWebhookSpec(in map[string]any, base *Base) (WebhookSpec, error) {
	r := &hookReader{}
	r.only(in, "options")
	options := r.object(in, "options")
	r.only(options, "filters", "includes")
	filters, includes := r.object(options, "filters"), r.object(options, "includes")
	if filters == nil {
		return WebhookSpec{}, ErrInvalidRequest
	}
	s := WebhookSpec{wire: in}
	r.filters(filters, &s, base)
	r.includes(includes, &s)
	if r.bad || len(s.DataTypes) == 0 {
		return WebhookSpec{}, ErrInvalidRequest
	}
	return s, nil
}

// Check refuses a specification that names what the base does not have.
func (s WebhookSpec) Check(base *Base) error {
	if s.Table != "" && base.Table(string(s.Table)) == nil {
		return badSpecification(string(s.Table))
	}
	if s.View != "" && !base.hasView(s.View) {
		return badSpecification(string(s.View))
	}
	for _, list := range [][]FieldID{s.WatchData, s.WatchSchemas, s.IncludeCells} {
		for _, id := range list {
			if base.Field(id) == nil {
				return badSpecification(string(id))
			}
		}
	}
	for _, id := range s.forms {
		if !base.hasView(id) {
			return badSpecification(string(id))
		}
	}
	return nil
}

func (b *Base) hasView(id ViewID) bool { v, _ := b.ViewByID(id); return v != nil }

// badSpecification refuses a specification for an id that the base does not have.
// Type and words are unconfirmed.
func badSpecification(id string) *Error {
	return BadRequest("Invalid request: the webhook's specification names %s, which this base does not have.", clip(id))
}

// ErrTooManyWebhooks refuses the eleventh webhook of a base. The type is one that
// clients look for; status and words are unconfirmed.
var ErrTooManyWebhooks = invalid("TOO_MANY_WEBHOOKS_IN_BASE", "This base has reached its limit of %d webhooks", MaxWebhooks)

// ErrNoWebhook is the answer for a webhook that the base does not have (any more).
// Clients look at the status; type and words are unconfirmed.
var ErrNoWebhook = &Error{notFound, "NOT_FOUND", "Could not find what you are looking for", Object}

// ErrWebhookExpired refuses to refresh a webhook that has expired: documented is
// only that refreshing is for active ones, type and words are unconfirmed.
var ErrWebhookExpired = BadRequest("Invalid request: the webhook has expired, or is disabled.")

// ErrWebhookURL refuses a notificationUrl; type and words are unconfirmed.
var ErrWebhookURL = BadRequest("Invalid request: \"notificationUrl\" must be a public http or https URL.")

// hookReader reads a specification, of which everything must be right: a filter
// that is misspelled would let through more than was asked for. That Airtable
// refuses unknown keys is unconfirmed.
type hookReader struct{ bad bool }

// only refuses keys that are not in the list.
func (r *hookReader) only(in map[string]any, keys ...string) {
	for k := range in {
		r.bad = r.bad || !slices.Contains(keys, k)
	}
}

// object returns nil if the key is absent or null.
func (r *hookReader) object(in map[string]any, key string) map[string]any {
	v, ok := in[key].(map[string]any)
	r.bad = r.bad || !ok && in[key] != nil
	return v
}

func (r *hookReader) text(in map[string]any, key string) string {
	v, ok := in[key].(string)
	r.bad = r.bad || !ok && in[key] != nil
	return v
}

func (r *hookReader) flag(in map[string]any, key string) bool {
	v, ok := in[key].(bool)
	r.bad = r.bad || !ok && in[key] != nil
	return v
}

// words returns a list of words, each once and of those that are known; nil knows
// any.
func (r *hookReader) words(in map[string]any, key string, known []string) []string {
	list, ok := in[key].([]any)
	r.bad = r.bad || !ok && in[key] != nil
	var out []string
	for _, item := range list {
		word, ok := item.(string)
		if !ok || known != nil && !slices.Contains(known, word) {
			r.bad = true
		}
		if !slices.Contains(out, word) {
			out = append(out, word)
		}
	}
	return out
}

func (r *hookReader) fields(in map[string]any, key string) []FieldID {
	words := r.words(in, key, nil)
	r.bad = r.bad || len(words) > MaxFields*MaxTables
	var out []FieldID
	for _, w := range words {
		r.bad = r.bad || !IsID("fld", w)
		out = append(out, FieldID(w))
	}
	return out
}

func (r *hookReader) filters(in map[string]any, s *WebhookSpec, base *Base) {
	r.only(in, "dataTypes", "recordChangeScope", "changeTypes", "fromSources", "sourceOptions", "watchDataInFieldIds", "watchSchemasOfFieldIds")
	for _, w := range r.words(in, "dataTypes", dataTypes) {
		s.DataTypes = append(s.DataTypes, DataType(w))
	}
	for _, w := range r.words(in, "changeTypes", changeTypes) {
		s.ChangeTypes = append(s.ChangeTypes, ChangeType(w))
	}
	s.Sources = r.words(in, "fromSources", hookSources)
	s.WatchData = r.fields(in, "watchDataInFieldIds")
	s.WatchSchemas = r.fields(in, "watchSchemasOfFieldIds")
	switch scope := r.text(in, "recordChangeScope"); {
	case scope == "":
	case IsID("tbl", scope):
		s.Table = TableID(scope)
	case IsID("viw", scope):
		s.View = ViewID(scope)
		if _, t := base.ViewByID(s.View); t != nil {
			s.Table = t.ID
		}
	default:
		r.bad = true
	}
	r.sources(r.object(in, "sourceOptions"), s)
}

func (r *hookReader) sources(in map[string]any, s *WebhookSpec) {
	r.only(in, "formSubmission", "formPageSubmission")
	if form := r.object(in, "formSubmission"); form != nil {
		r.only(form, "viewId")
		id := r.text(form, "viewId")
		r.bad = r.bad || !IsID("viw", id)
		s.forms = append(s.forms, ViewID(id))
	}
	if form := r.object(in, "formPageSubmission"); form != nil {
		r.only(form, "pageId")
		r.bad = r.bad || !IsID("pbd", r.text(form, "pageId"))
	}
}

func (r *hookReader) includes(in map[string]any, s *WebhookSpec) {
	r.only(in, "includeCellValuesInFieldIds", "includePreviousCellValues", "includePreviousFieldDefinitions")
	s.IncludePrevious = r.flag(in, "includePreviousCellValues")
	s.IncludePreviousFields = r.flag(in, "includePreviousFieldDefinitions")
	if in["includeCellValuesInFieldIds"] == "all" {
		s.IncludeAllCells = true
		return
	}
	s.IncludeCells = r.fields(in, "includeCellValuesInFieldIds")
}

// ParseEnable reads the body of switching a webhook's notifications.
func ParseEnable(body []byte) (bool, error) {
	in, err := DecodeObject(body)
	if err != nil {
		return false, err
	}
	enable, ok := in["enable"].(bool)
	if !ok || len(in) != 1 {
		return false, ErrInvalidRequest
	}
	return enable, nil
}

// ParsePayloads reads which payloads are asked for.
func ParsePayloads(rawQuery string) (cursor int64, limit int, err error) {
	in, err := parseQuery(rawQuery)
	if err != nil {
		return 0, 0, err
	}
	r := &paramReader{in: in}
	cursor, limit = 1, MaxPayloads
	if n, ok := r.integer("cursor", 1<<53); ok {
		cursor = int64(n)
	}
	if n, ok := r.integer("limit", MaxPayloads); ok {
		limit = n
	}
	return cursor, limit, r.err
}

// ReadV2 is the record's value in the field as webhooks show it: like Read, but
// choices and links are objects, and people have a permission level. titles are what linked records are called. nil is
// an empty cell.
func (f *Field) ReadV2(r *Record, titles map[RecordID]string) (any, error) {
	switch f.Type {
	case SingleSelect:
		return f.choiceV2(r.Cells[f.ID])
	case MultipleSelects:
		var out []any
		for _, id := range Strings(r.Cells[f.ID]) {
			c, err := f.choiceV2(id)
			if err != nil {
				return nil, err
			}
			out = append(out, c)
		}
		return someOf(out), nil
	case MultipleRecordLinks:
		var out []any
		for _, id := range r.Links[f.ID] {
			out = append(out, map[string]string{"id": string(id), "name": titles[id]})
		}
		return someOf(out), nil
	}
	v, err := f.Read(r)
	if err != nil || !f.Type.NamesPeople() {
		return Linkless(v), err
	}
	if person, ok := v.(map[string]any); ok {
		person["permissionLevel"] = permissionLevel
		return person, nil
	}
	people, _ := v.([]any)
	for _, p := range people {
		p.(map[string]any)["permissionLevel"] = permissionLevel
	}
	return v, nil
}

// someOf is the list, or an empty cell.
func someOf(list []any) any {
	if len(list) == 0 {
		return nil
	}
	return list
}

func (f *Field) choiceV2(v any) (any, error) {
	id, ok := v.(string)
	if !ok {
		return nil, nil
	}
	c, ok := f.Options.choice(ChoiceID(id))
	if !ok {
		return nil, ErrUnknownChoice
	}
	out := map[string]string{"id": string(c.ID), "name": c.Name}
	if c.Color != "" {
		out["color"] = c.Color
	}
	return out, nil
}

// attachmentMark begins a text that stands for an attachment in what is stored of a
// payload: links do not live as long as payloads, and are made when these are read.
// No other text begins so, as none holds a NUL.
const attachmentMark = "\x00"

// Linkless puts texts in the place of attachments, for Relink to find.
func Linkless(v any) any {
	switch v := v.(type) {
	case Attachment:
		return attachmentMark + string(Marshal(v.stored()))
	case []Attachment:
		out := make([]any, len(v))
		for i, a := range v {
			out[i] = Linkless(a)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = Linkless(item)
		}
		return out
	}
	return v
}

// Relink puts what show writes in the place of the texts that Linkless made, in a
// JSON text.
func Relink(out, body []byte, show func(out []byte, a Attachment) []byte) []byte {
	const begin = `"\u0000` // of a JSON text; inside of one the quote would have a backslash before it
	for {
		i := bytes.Index(body, []byte(begin))
		if i < 0 {
			return append(out, body...)
		}
		var text string
		dec := json.NewDecoder(bytes.NewReader(body[i:]))
		var stored map[string]any
		if dec.Decode(&text) != nil || json.Unmarshal([]byte(text[len(attachmentMark):]), &stored) != nil {
			return append(out, body...) // never: Linkless wrote it
		}
		out = append(out, body[:i]...)
		for _, a := range Attachments([]any{stored}) {
			out = show(out, a)
		}
		body = body[i+int(dec.InputOffset()):]
	}
}
