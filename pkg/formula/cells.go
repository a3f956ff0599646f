package formula

import (
	"encoding/json"
	"strings"
)

// FieldType returns what a field of Airtable's type yields to formulas; false if
// the type is unknown, or formula, rollup, multipleLookupValues, createdTime or
// lastModifiedTime, whose type is that of their result.
func FieldType(airtable string) (Type, bool) {
	switch airtable {
	case "singleLineText", "multilineText", "richText", "email", "url", "phoneNumber", "singleSelect",
		"multipleSelects", "multipleRecordLinks", "multipleAttachments", "singleCollaborator",
		"multipleCollaborators", "barcode", "createdBy", "lastModifiedBy", "aiText", "button", "externalSyncSource",
		"manualSort":
		return Type{Kind: KindText}, true
	case "number", "currency", "percent", "duration", "rating", "count", "autoNumber":
		return Type{Kind: KindNumber}, true
	case "checkbox":
		return Type{Kind: KindBool}, true
	case "date":
		return Type{Kind: KindDate, Day: true}, true
	case "dateTime":
		return Type{Kind: KindDate}, true
	}
	return Type{}, false
}

// FromCell makes a value of a cell as the API shows it (decoded JSON; []string is a
// list too) in a field of type t. A cell that does not have the form of the type is
// what it looks like, and nil is blank. Lists of names become one text, joined by
// ", ", unless t is a list. Links must come as the texts of the linked records.
//
// Unconfirmed: an attachment is its filename, a collaborator the name.
func FromCell(t Type, cell any) Value {
	switch v := cell.(type) {
	case nil:
		return Blank()
	case bool:
		if !v && t.Kind != KindList {
			return Blank() // an unchecked box is an empty cell
		}
		return Bool(v)
	case float64:
		return Number(v)
	case int64:
		return Number(float64(v))
	case int:
		return Number(float64(v))
	case json.Number:
		n, _ := v.Float64()
		return Number(n)
	case string:
		return fromText(t, v)
	case []string:
		return fromList(t, v)
	case []any:
		return fromList(t, v)
	case map[string]any:
		return fromObject(v)
	}
	return Blank()
}

func fromText(t Type, s string) Value {
	if s == "" {
		return Blank()
	}
	if t.element().Kind != KindDate {
		return Text(s)
	}
	d := parseISO(s)
	if d.kind != KindDate {
		return Text(s)
	}
	if t.Day {
		return Day(d.Time())
	}
	d.day = false
	return d
}

func fromList[E any](t Type, items []E) Value {
	if len(items) == 0 {
		return Blank()
	}
	vs := make([]Value, len(items))
	for i, item := range items {
		vs[i] = FromCell(t.element(), item)
	}
	if t.Kind == KindList {
		return List(vs...)
	}
	parts := make([]string, len(vs))
	for i, v := range vs {
		parts[i] = v.String()
	}
	return Text(strings.Join(parts, listSeparator))
}

// fromObject reads collaborators, attachments, barcodes, buttons, AI texts, and the
// API's errors and special numbers.
func fromObject(o map[string]any) Value {
	if _, failed := o["error"]; failed {
		return Fail("the cell is an error")
	}
	if s, ok := o["specialValue"].(string); ok {
		return special(s)
	}
	for _, key := range []string{"name", "filename", "text", "value", "label", "email", "url", "id"} {
		if s, ok := o[key].(string); ok && s != "" {
			return Text(s)
		}
	}
	return Blank()
}
