package models

import (
	"encoding/binary"
	"encoding/json"
	"slices"
	"strconv"
)

// CanonicalList reads the parameters of a list and writes them, all but the offset and
// the size of pages, which may change from page to page, so that two lists are written
// alike only if they mean the same: GET or POST, the order of parameters, the spelling of arrays and booleans and what is the default
// anyway make no difference. Nor does the order of fields, as they name the members
// of JSON objects. What no list of ours knows is kept, since Airtable may know it.
//
// The zone and the locale count although Airtable documents them for
// cellFormat=string alone: that they mean nothing else is unconfirmed.
func CanonicalList(rawQuery string, body []byte) ([]byte, ListParams, error) {
	in, err := listInput(rawQuery, body)
	if err != nil {
		return nil, ListParams{}, err
	}
	p, err := readList(in)
	if err != nil {
		return nil, p, err
	}
	r := &paramReader{in: in}
	var w canonical
	w.number(p.MaxRecords)
	w.text(p.View)
	w.text(p.Formula)
	none, isList := in["fields"].([]any)
	w.flag(isList && len(none) == 0) // an empty list of fields may mean none of them: unconfirmed
	w.set(p.Fields)
	w.number(len(p.Sort))
	for _, s := range p.Sort {
		w.text(s.Field)
		w.flag(s.Desc)
	}
	w.set(r.texts("recordMetadata"))
	w.output(r, p.Output)
	err = w.rest(in, "pageSize", "limit", "maxRecords", "offset", "view", "filterByFormula", "fields", "sort", "recordMetadata", "method")
	return w, p, err
}

// CanonicalRecord does for the query of getting one record what CanonicalList does
// for a list.
func CanonicalRecord(rawQuery string) ([]byte, error) {
	in, err := parseQuery(rawQuery)
	if err != nil {
		return nil, err
	}
	r := &paramReader{in: in}
	o := r.output()
	if r.err != nil {
		return nil, r.err
	}
	var w canonical
	w.output(r, o)
	err = w.rest(in)
	return w, err
}

// CanonicalSchema does the same for the queries of schemas and views.
func CanonicalSchema(rawQuery string) ([]byte, error) {
	in, err := parseQuery(rawQuery)
	if err != nil {
		return nil, err
	}
	r := &paramReader{in: in}
	var w canonical
	w.set(r.texts("include"))
	if r.err != nil {
		return nil, r.err
	}
	err = w.rest(in, "include")
	return w, err
}

// canonical is written to; every part says where it ends, so that no two sequences
// of parts give the same bytes.
type canonical []byte

func (w *canonical) text(s string) {
	*w = binary.AppendUvarint(*w, uint64(len(s)))
	*w = append(*w, s...)
}

func (w *canonical) number(n int) { w.text(strconv.Itoa(n)) }

func (w *canonical) flag(yes bool) {
	if yes {
		*w = append(*w, 1)
	} else {
		*w = append(*w, 0)
	}
}

func (w *canonical) set(list []string) {
	list = slices.Compact(slices.Sorted(slices.Values(list)))
	w.number(len(list))
	for _, s := range list {
		w.text(s)
	}
}

func (w *canonical) output(r *paramReader, o Output) {
	w.flag(o.ByFieldID)
	w.flag(o.AsText)
	w.text(r.text("timeZone"))
	w.text(r.text("userLocale"))
}

// rest writes the parameters that are neither known to every call nor named. An
// absent, an empty and a null one are the same.
func (w *canonical) rest(in map[string]any, known ...string) error {
	known = append(known, "returnFieldsByFieldId", "cellFormat", "timeZone", "userLocale")
	rest := map[string]any{}
	for k, v := range in {
		if v != nil && v != "" && !slices.Contains(known, k) {
			rest[k] = v
		}
	}
	if len(rest) == 0 {
		return nil
	}
	text, err := json.Marshal(rest) // members are sorted
	if err != nil {
		return ErrInvalidRequest
	}
	w.text(string(text))
	return nil
}
