package models

import (
	"errors"
	"maps"
	"slices"
)

// WriteRequest is the body of a create, update, replace or upsert.
type WriteRequest struct {
	Items    []RecordInput
	Single   bool // the answer is one record, not a list
	Typecast bool
	Output   Output
	MergeOn  []string // names or ids; nil unless Upsert
	Upsert   bool
}

// RecordInput is one record of a write; ID is "" for one to be created.
type RecordInput struct {
	ID     RecordID
	Fields map[string]any
}

// CellWrite is what a write does to one cell.
type CellWrite struct {
	Field *Field
	Written
}

// ParseCreate reads {"fields":…} or {"records":[{"fields":…},…]}.
func ParseCreate(body []byte) (WriteRequest, error) {
	in, err := DecodeObject(body)
	if err != nil {
		return WriteRequest{}, err
	}
	w, err := parseWriteFlags(in)
	if err != nil {
		return w, err
	}
	if list, isBatch := in["records"]; isBatch {
		w.Items, err = parseItems(list, ErrCreateRecords, false)
		return w, err
	}
	return parseSingle(w, in, "")
}

// ParseUpdate reads the body of an update or replace: of one record if id is
// given, else of a batch or an upsert.
func ParseUpdate(body []byte, id RecordID) (WriteRequest, error) {
	in, err := DecodeObject(body)
	if err != nil {
		return WriteRequest{}, err
	}
	w, err := parseWriteFlags(in)
	if err != nil {
		return w, err
	}
	if id != "" {
		return parseSingle(w, in, id)
	}
	if upsert, ok := in["performUpsert"]; ok && upsert != nil {
		if w.MergeOn, err = parseMergeOn(upsert); err != nil {
			return w, err
		}
		w.Upsert = true
	}
	w.Items, err = parseItems(in["records"], ErrUpdateRecords, !w.Upsert)
	return w, err
}

func parseWriteFlags(in map[string]any) (WriteRequest, error) {
	r := &paramReader{in: in}
	w := WriteRequest{Typecast: r.bool("typecast")}
	w.Output.ByFieldID = r.bool("returnFieldsByFieldId")
	return w, r.err
}

func parseSingle(w WriteRequest, in map[string]any, id RecordID) (WriteRequest, error) {
	raw, ok := in["fields"]
	if !ok {
		return w, ErrMissingFields
	}
	fields, ok := raw.(map[string]any)
	if !ok {
		return w, ErrInvalidRequest
	}
	w.Single = true
	w.Items = []RecordInput{{id, fields}}
	return w, nil
}

func parseMergeOn(v any) ([]string, error) {
	upsert, _ := v.(map[string]any)
	list, ok := upsert["fieldsToMergeOn"].([]any)
	if !ok || len(list) == 0 || len(list) > MaxMerge {
		return nil, BadRequest("Invalid request: \"fieldsToMergeOn\" must be an array of 1 to %d field names or ids.", MaxMerge)
	}
	out := make([]string, len(list))
	for i, item := range list {
		if out[i], ok = item.(string); !ok {
			return nil, ErrInvalidRequest
		}
	}
	return out, nil
}

func parseItems(v any, refusal *Error, needID bool) ([]RecordInput, error) {
	list, ok := v.([]any)
	if !ok || len(list) == 0 || len(list) > MaxBatch {
		return nil, refusal
	}
	out := make([]RecordInput, len(list))
	for i, item := range list {
		object, ok := item.(map[string]any)
		if !ok {
			return nil, refusal
		}
		fields, ok := object["fields"].(map[string]any)
		id, isText := object["id"].(string)
		if !ok || object["id"] != nil && !isText || needID && id == "" {
			return nil, refusal
		}
		// Creating ignores an id, as a record read before may be sent again.
		if refusal == ErrCreateRecords {
			id = ""
		}
		if id != "" && !IsID("rec", id) {
			return nil, InvalidRecordID(id)
		}
		out[i] = RecordInput{RecordID(id), fields}
	}
	return out, nil
}

// CheckFields finds the fields of all items by id or name, before any value is
// looked at.
func CheckFields(t *Table, items []RecordInput) error {
	for _, item := range items {
		for _, key := range slices.Sorted(maps.Keys(item.Fields)) {
			if t.Field(key) == nil {
				return UnknownField(key)
			}
		}
	}
	return nil
}

// WriteCells reads the values of one item, in the table's field order.
func WriteCells(t *Table, in map[string]any, typecast bool) ([]CellWrite, error) {
	return readCells(t, in, typecast, (*Field).Write)
}

// ImportCells is WriteCells for an import.
func ImportCells(t *Table, in map[string]any, typecast bool) ([]CellWrite, error) {
	return readCells(t, in, typecast, (*Field).Import)
}

func readCells(t *Table, in map[string]any, typecast bool, write func(*Field, any, bool) (Written, error)) ([]CellWrite, error) {
	writes := make(map[FieldID]CellWrite, len(in))
	for _, key := range slices.Sorted(maps.Keys(in)) {
		f := t.Field(key)
		if f == nil {
			return nil, UnknownField(key)
		}
		w, err := write(f, in[key], typecast)
		if err != nil {
			return nil, err
		}
		writes[f.ID] = CellWrite{f, w}
	}
	out := make([]CellWrite, 0, len(writes))
	for _, f := range t.Fields {
		if w, ok := writes[f.ID]; ok {
			out = append(out, w)
		}
	}
	return out, nil
}

// MergeFields finds the fields that an upsert matches by.
func MergeFields(t *Table, names []string) ([]*Field, error) {
	out := make([]*Field, len(names))
	for i, name := range names {
		f := t.Field(name)
		switch {
		case f == nil:
			return nil, UnknownField(name)
		case !f.Type.Mergeable():
			return nil, BadRequest("Invalid request: field \"%s\" cannot be used in fieldsToMergeOn.", f.Name)
		}
		out[i] = f
	}
	return out, nil
}

// AsError finds Airtable's refusal in err.
func AsError(err error) (*Error, bool) {
	var e *Error
	ok := errors.As(err, &e)
	return e, ok
}
