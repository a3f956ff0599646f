package models

import (
	"strconv"
	"time"
)

// FieldType is Airtable's name of a field type. What a type can do stands in
// one table, behaviours; a new type is a new row there.
//
// Stored forms of cells: text, date ("2006-01-02") and dateTime
// ("2006-01-02T15:04:05.000Z") as string; numbers as float64; checkbox as true;
// singleSelect as its choice's id, multipleSelects as a list of them; a
// collaborator as his id, several as a list; barcode, button and aiText as the
// object that is shown; attachments as a list of objects without links (see
// Attachments). Record links are not cells but edges. Formulas, rollups, lookups and
// counts are not stored: they are computed when they are read. An empty cell is absent.
type FieldType string

const (
	SingleLineText      FieldType = "singleLineText"
	MultilineText       FieldType = "multilineText"
	RichText            FieldType = "richText"
	Email               FieldType = "email"
	URL                 FieldType = "url"
	PhoneNumber         FieldType = "phoneNumber"
	Number              FieldType = "number"
	Currency            FieldType = "currency"
	Percent             FieldType = "percent"
	Rating              FieldType = "rating"
	Duration            FieldType = "duration"
	Checkbox            FieldType = "checkbox"
	Date                FieldType = "date"
	DateTime            FieldType = "dateTime"
	SingleSelect        FieldType = "singleSelect"
	MultipleSelects     FieldType = "multipleSelects"
	MultipleRecordLinks FieldType = "multipleRecordLinks"
	CreatedTime         FieldType = "createdTime"
	LastModifiedTime    FieldType = "lastModifiedTime"
	AutoNumber          FieldType = "autoNumber"
	Formula             FieldType = "formula"
	Rollup              FieldType = "rollup"
	Lookup              FieldType = "multipleLookupValues"
	Count               FieldType = "count"
	MultipleAttachments FieldType = "multipleAttachments"

	SingleCollaborator    FieldType = "singleCollaborator"
	MultipleCollaborators FieldType = "multipleCollaborators"
	CreatedBy             FieldType = "createdBy"
	LastModifiedBy        FieldType = "lastModifiedBy"
	Barcode               FieldType = "barcode"
	Button                FieldType = "button"
	AIText                FieldType = "aiText"
	ExternalSyncSource    FieldType = "externalSyncSource"
	ManualSort            FieldType = "manualSort"
)

// Order says how values of a type are compared when records are sorted.
type Order int

const (
	ByText       Order = iota // natural order, letter case ignored
	ByNumber                  // as numbers
	ByBool                    // unchecked before checked
	ByISO                     // byte order, which is time order for dates in stored form
	ByChoice                  // the choices' order in the field
	ByChoices                 // the same, for lists
	ByLinks                   // the text of the linked records' primary fields
	ByCounter                 // the record's number
	ByCreated                 // the time of creation
	ByModified                // the time of the last change
	ByPerson                  // what the person is called
	ByPeople                  // what the people are called
	ByCreator                 // what the record's creator is called
	ByModifier                // what who changed the record last is called
	ByObjectText              // the text in the cell's object
	ByValue                   // the value that is computed when it is read
	ByFiles                   // the names of the attachments
)

// Written is what a client's value means to a field: a stored value, or edges,
// and choices that have to exist first. A zero Written clears the cell.
type Written struct {
	Value      any
	Links      []LinkRef
	People     []PersonRef
	NewChoices []string
	Files      []FileRef
	// Edit makes of the attachments in the cell those that shall be there, once the
	// record is locked.
	Edit func(now []Attachment) []Attachment
}

// LinkRef names a record to link to: by id, or (typecast) by its primary value.
type LinkRef struct {
	ID   RecordID
	Text string
}

// Display is how cellFormat=string shows values.
type Display struct {
	Zone   *time.Location
	Locale string
	Titles map[RecordID]string // what linked records are called
	Link   func(Attachment) string
}

type behaviour struct {
	computed  bool // written by the store alone
	primary   bool // may be a table's first field
	mergeable bool // may stand in fieldsToMergeOn
	imported  bool // an import alone makes such fields and fills them; computed to others
	bare      bool // may be made without options
	order     Order

	// options reads the type's options, in Airtable's form; nil: it has none.
	options func(r *optionReader) Options
	// wire is the reverse of options.
	wire func(o Options) map[string]any
	// write reads a client's value. It is not called for values that clear.
	write func(f *Field, v any, typecast bool) (Written, error)
	// read turns the stored value into JSON's; nil: they are the same.
	read func(f *Field, r *Record) (any, error)
	// text shows a value as read; nil: it is a string already.
	text func(f *Field, v any, d Display) string
}

var behaviours = typeTable()

func typeTable() map[FieldType]behaviour {
	text := behaviour{primary: true, mergeable: true, write: writeText}
	plain := behaviour{primary: true, write: writeText}
	return map[FieldType]behaviour{
		SingleLineText: text,
		MultilineText:  text,
		RichText:       {primary: true, write: writeRichText},
		Email:          plain,
		URL:            plain,
		PhoneNumber:    plain,
		Number: {primary: true, mergeable: true, order: ByNumber,
			options: readPrecision, wire: wirePrecision, write: writeNumber, text: textNumber},
		Currency: {primary: true, order: ByNumber,
			options: readCurrency, wire: wireCurrency, write: writeNumber, text: textCurrency},
		Percent: {primary: true, order: ByNumber,
			options: readPrecision, wire: wirePrecision, write: writePercent, text: textPercent},
		Duration: {primary: true, order: ByNumber,
			options: readDuration, wire: wireDuration, write: writeDuration, text: textDuration},
		Rating: {order: ByNumber,
			options: readRating, wire: wireRating, write: writeRating, text: textPlainNumber},
		Checkbox: {order: ByBool,
			options: readIcon, wire: wireIcon, write: writeCheckbox, text: textCheckbox},
		Date: {primary: true, mergeable: true, order: ByISO,
			options: readDate, wire: wireDate, write: writeDate, text: textDate},
		DateTime: {primary: true, order: ByISO,
			options: readDateTime, wire: wireDateTime, write: writeDateTime, text: textDateTime},
		SingleSelect: {mergeable: true, order: ByChoice,
			options: readChoices, wire: wireChoices, write: writeChoice, read: readChoiceName},
		MultipleSelects: {mergeable: true, order: ByChoices,
			options: readChoices, wire: wireChoices, write: writeChoiceList, read: readChoiceNames, text: textList},
		MultipleRecordLinks: {order: ByLinks,
			options: readLink, wire: wireLink, write: writeLinks, read: readLinks, text: textLinks},
		MultipleAttachments: {bare: true, order: ByFiles,
			options: readReversed, wire: wireReversed, write: writeAttachments, read: readAttachments, text: textAttachments},
		CreatedTime: {computed: true, order: ByCreated,
			options: readResult, wire: wireResult, read: readCreated, text: textResult},
		LastModifiedTime: {computed: true, order: ByModified,
			options: readModifiedTime, wire: wireModifiedTime, read: readModified, text: textResult},
		AutoNumber: {primary: true, computed: true, order: ByCounter,
			read: readAutoNumber, text: textPlainNumber},
		Formula: {primary: true, computed: true, order: ByValue,
			options: readFormula, wire: wireFormula, read: readComputed},
		Rollup: {computed: true, order: ByValue,
			options: readRollup, wire: wireRollup, read: readComputed},
		Lookup: {computed: true, order: ByValue,
			options: readLookup, wire: wireLookup, read: readComputed},
		Count: {computed: true, order: ByValue,
			options: readCount, wire: wireCount, read: readComputed},
		SingleCollaborator:    {order: ByPerson, write: writePerson, read: readPerson, text: textPerson},
		MultipleCollaborators: {order: ByPeople, write: writePeople, read: readPeople, text: textPeople},
		CreatedBy:             {computed: true, order: ByCreator, read: readCreatedBy, text: textPerson},
		LastModifiedBy: {computed: true, order: ByModifier,
			options: readModifier, wire: wireModifier, read: readModifiedBy, text: textPerson},
		Barcode: {primary: true, order: ByObjectText, write: writeBarcode, text: textBarcode},
		Button:  {computed: true, imported: true, write: writeButton, text: textButton},
		AIText: {computed: true, imported: true,
			options: readPrompt, wire: wirePrompt, write: writeAIText, text: textAI},
		ExternalSyncSource: {computed: true, imported: true, order: ByChoice,
			options: readChoices, wire: wireChoices, write: writeChoice, read: readChoiceName},
		ManualSort: {computed: true, imported: true, write: writeText},
	}
}

// Known reports whether Airtable, and the store, has the type.
func (t FieldType) Known() bool { _, ok := behaviours[t]; return ok }

// Creatable reports whether a client may make such fields.
func (t FieldType) Creatable() bool { return t.Known() && !behaviours[t].imported }

// Computed reports whether the store alone writes such fields.
func (t FieldType) Computed() bool { return behaviours[t].computed }

// CanBePrimary reports whether a table's first field may be of the type.
func (t FieldType) CanBePrimary() bool { return behaviours[t].primary }

// Mergeable reports whether an upsert may match records by such a field.
func (t FieldType) Mergeable() bool { return behaviours[t].mergeable }

// Order returns how such fields are sorted.
func (t FieldType) Order() Order { return behaviours[t].order }

// Write reads a client's value for the field: decoded JSON with numbers as
// json.Number. null, "" and [] clear any writable field. With typecast, strings
// are read as people write them and unknown choices are asked for in NewChoices.
// The error is an *Error.
func (f *Field) Write(v any, typecast bool) (Written, error) {
	if f.Type.Computed() {
		return Written{}, ComputedField(f.Name)
	}
	return f.write(v, typecast)
}

// Import is Write for an import, which also brings what Airtable computes and the
// store does not.
func (f *Field) Import(v any, typecast bool) (Written, error) {
	if !behaviours[f.Type].imported {
		return f.Write(v, typecast)
	}
	return f.write(v, typecast)
}

func (f *Field) write(v any, typecast bool) (Written, error) {
	if clears(v) {
		return Written{}, nil
	}
	return behaviours[f.Type].write(f, v, typecast)
}

func clears(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	}
	return false
}

// Read returns the record's value in the field as Airtable shows it: string,
// float64, int64, bool, a list of strings, []Attachment, an object (map[string]any) or
// a list of them; nil if the cell is empty. People whom the record does not know are
// shown by their ids. What derived fields hold must have been computed
// (Record.Computed), and may also be a list of these or Airtable's object for an error.
// It fails with ErrUnknownChoice when the field is older than the record.
func (f *Field) Read(r *Record) (any, error) {
	if read := behaviours[f.Type].read; read != nil {
		return read(f, r)
	}
	return r.Cells[f.ID], nil
}

// Text is a value returned by Read as a person would see it; "" for nil.
func (f *Field) Text(v any, d Display) string {
	if v == nil {
		return ""
	}
	if f.calc != nil {
		return f.calc.text(v, d)
	}
	if text := behaviours[f.Type].text; text != nil {
		return text(f, v, d)
	}
	s, _ := v.(string)
	return s
}

func readAutoNumber(_ *Field, r *Record) (any, error) { return r.Number, nil }

func readCreated(f *Field, r *Record) (any, error) { return f.result(r.CreatedAt), nil }

func readModified(f *Field, r *Record) (any, error) {
	at := r.lastTouch(f).At
	if at.IsZero() {
		return nil, nil
	}
	return f.result(at), nil
}

// result writes a computed time as the field shows it: a moment or a day.
func (f *Field) result(t time.Time) string {
	if f.Options.ResultType == Date {
		return t.UTC().Format(dateLayout)
	}
	return Timestamp(t)
}

// Timestamp writes a time as Airtable does: UTC with milliseconds.
func Timestamp(t time.Time) string { return t.UTC().Format(timestampLayout) }

func itoa(n int) string { return strconv.Itoa(n) }
