package models

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Airtable's limits of one call.
const (
	MaxPage  = 100
	MaxBatch = 10
	MaxMerge = 3
)

// ListParams are what a list asks for, from a query string or a listRecords body.
type ListParams struct {
	PageSize   int // 1 to MaxPage
	MaxRecords int // 0: no limit
	Offset     string
	View       string
	Formula    string
	Fields     []string // nil: all
	Sort       []SortBy
	Output     Output
}

type SortBy struct {
	Field string
	Desc  bool
}

// Output says how records are written.
type Output struct {
	ByFieldID bool
	AsText    bool // cellFormat=string
	Comments  bool // recordMetadata: how many comments each record has
	Zone      *time.Location
	Locale    string
}

// ParseList reads the parameters of a list. body is nil for GET; where both say
// something, the body wins, except for timeZone and userLocale, which Airtable
// reads from the query. Unknown keys are ignored. The error is an *Error.
func ParseList(rawQuery string, body []byte) (ListParams, error) {
	in, err := listInput(rawQuery, body)
	if err != nil {
		return ListParams{}, err
	}
	return readList(in)
}

// listInput merges query and body.
func listInput(rawQuery string, body []byte) (map[string]any, error) {
	in, err := parseQuery(rawQuery)
	if err != nil || body == nil {
		return in, err
	}
	object, err := DecodeObject(body)
	if err != nil {
		return nil, err
	}
	// An offset in the query of a POST is ignored, as Airtable ignores it.
	delete(in, "offset")
	for k, v := range object {
		if _, fromQuery := in[k]; fromQuery && (k == "timeZone" || k == "userLocale") {
			continue
		}
		in[k] = v
	}
	return in, nil
}

func readList(in map[string]any) (ListParams, error) {
	p := ListParams{PageSize: MaxPage}
	r := &paramReader{in: in}
	if size, ok := r.integer("pageSize", MaxPage); ok {
		p.PageSize = size
	} else if size, ok := r.integer("limit", MaxPage); ok {
		p.PageSize = size
	}
	if most, ok := r.integer("maxRecords", 1<<31-1); ok {
		p.MaxRecords = most
	}
	p.Offset, p.View, p.Formula = r.text("offset"), r.text("view"), r.text("filterByFormula")
	p.Fields = r.texts("fields")
	p.Sort = r.sort()
	p.Output = r.output()
	return p, r.err
}

// ParseOutput reads the parameters of getting one record.
func ParseOutput(rawQuery string) (Output, error) {
	in, err := parseQuery(rawQuery)
	if err != nil {
		return Output{}, err
	}
	r := &paramReader{in: in}
	return r.output(), r.err
}

// ParseDelete reads the ids of a batch delete: records[]=, records[0]= or records=.
func ParseDelete(rawQuery string) ([]RecordID, error) {
	in, err := parseQuery(rawQuery)
	if err != nil {
		return nil, err
	}
	r := &paramReader{in: in}
	texts := r.texts("records")
	if r.err != nil || len(texts) == 0 || len(texts) > MaxBatch {
		return nil, ErrDeleteRecords
	}
	ids := make([]RecordID, len(texts))
	for i, t := range texts {
		if !IsID("rec", t) {
			return nil, InvalidRecordID(t)
		}
		ids[i] = RecordID(t)
	}
	return ids, nil
}

// Hash binds a walk to what it lists: every parameter but the page's size and
// the place in the walk, and what these mean by the schema, as texts.
func (p ListParams) Hash(b BaseID, t TableID, v ViewID, meaning []string) string {
	var buf bytes.Buffer
	_ = json.NewEncoder(&buf).Encode([]any{b, t, v, meaning, p.MaxRecords, p.Formula, p.Fields, p.Sort, p.Output.ByFieldID, p.Output.AsText})
	sum := sha256.Sum256(buf.Bytes())
	return base64.RawURLEncoding.EncodeToString(sum[:15])
}

// parseQuery turns a query string into what a JSON body would hold: k[] and
// k[i] become lists, k[i][name] lists of objects, a repeated k a list.
func parseQuery(raw string) (map[string]any, error) {
	values, err := url.ParseQuery(strings.TrimPrefix(raw, "?"))
	if err != nil {
		return nil, ErrInvalidRequest
	}
	out := map[string]any{}
	indexed := map[string]map[int]any{}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		name, path, _ := strings.Cut(key, "[")
		vals := values[key]
		switch {
		case path == "" && len(vals) == 1:
			if _, isList := out[name]; !isList {
				out[name] = vals[0]
			}
		case path == "" || path == "]":
			list, _ := out[name].([]any)
			for _, v := range vals {
				list = append(list, v)
			}
			out[name] = list
		default:
			if err := putIndexed(indexed, name, path, vals[len(vals)-1]); err != nil {
				return nil, err
			}
		}
	}
	for name, items := range indexed {
		list := make([]any, 0, len(items))
		for _, i := range slices.Sorted(maps.Keys(items)) {
			list = append(list, items[i])
		}
		out[name] = list
	}
	return out, nil
}

// putIndexed stores the value of name[i] or name[i][key]; path is "i]" or "i][key]".
func putIndexed(indexed map[string]map[int]any, name, path, value string) error {
	index, key, nested := strings.Cut(strings.TrimSuffix(path, "]"), "][")
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 {
		return ErrInvalidRequest
	}
	if indexed[name] == nil {
		indexed[name] = map[int]any{}
	}
	if !nested {
		indexed[name][i] = value
		return nil
	}
	object, _ := indexed[name][i].(map[string]any)
	if object == nil {
		object = map[string]any{}
	}
	object[key] = value
	indexed[name][i] = object
	return nil
}

// paramReader takes parameters one by one and remembers the first fault.
// Absent, null and "" are the same.
type paramReader struct {
	in  map[string]any
	err error
}

func (r *paramReader) bad() {
	if r.err == nil {
		r.err = ErrInvalidRequest
	}
}

func (r *paramReader) text(key string) string {
	v := r.in[key]
	if list, ok := v.([]any); ok && len(list) == 1 {
		v = list[0]
	}
	s, ok := v.(string)
	if !ok && v != nil {
		r.bad()
	}
	return s
}

func (r *paramReader) texts(key string) []string {
	var out []string
	switch v := r.in[key].(type) {
	case nil:
	case string:
		if v != "" {
			out = append(out, v)
		}
	case []any:
		for _, item := range v {
			s, ok := item.(string)
			if !ok {
				r.bad()
			}
			out = append(out, s)
		}
	default:
		r.bad()
	}
	return out
}

func (r *paramReader) integer(key string, most int) (int, bool) {
	v := r.in[key]
	if v == nil || v == "" {
		return 0, false
	}
	var n int
	var err error
	switch v := v.(type) {
	case string:
		n, err = strconv.Atoi(v)
	case json.Number:
		n, err = strconv.Atoi(v.String())
	default:
		err = strconv.ErrSyntax
	}
	if err != nil || n < 1 || n > most {
		r.bad()
		return 0, false
	}
	return n, true
}

func (r *paramReader) bool(key string) bool {
	switch v := r.in[key].(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		switch v {
		case "1", "true":
			return true
		case "0", "false", "":
			return false
		}
	case json.Number:
		if v == "0" || v == "1" {
			return v == "1"
		}
	}
	r.bad()
	return false
}

func (r *paramReader) sort() []SortBy {
	if r.in["sort"] == nil || r.in["sort"] == "" {
		return nil
	}
	list, ok := r.in["sort"].([]any)
	if !ok {
		r.bad()
		return nil
	}
	out := make([]SortBy, 0, len(list))
	for _, item := range list {
		entry, _ := item.(map[string]any)
		field, _ := entry["field"].(string)
		direction := entry["direction"]
		if field == "" || direction != nil && direction != "" && direction != "asc" && direction != "desc" {
			r.bad()
		}
		out = append(out, SortBy{field, direction == "desc"})
	}
	return out
}

func (r *paramReader) output() Output {
	o := Output{ByFieldID: r.bool("returnFieldsByFieldId"), Locale: r.text("userLocale"), Zone: time.UTC}
	zone := r.text("timeZone")
	switch r.text("cellFormat") {
	case "", "json":
	case "string":
		o.AsText = true
	default:
		r.bad()
	}
	if zone != "" && zone != "utc" && zone != "client" {
		named, err := loadZone(zone)
		if err != nil {
			r.bad()
		} else {
			o.Zone = named
		}
	}
	for _, name := range r.texts("recordMetadata") {
		if name != "commentCount" {
			r.bad()
		}
		o.Comments = true
	}
	if o.AsText && (zone == "" || o.Locale == "") && r.err == nil {
		r.err = ErrStringFormat
	}
	return o
}

// DecodeObject reads a body that must be one JSON object; numbers stay as
// written (json.Number).
func DecodeObject(body []byte) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var out map[string]any
	if err := dec.Decode(&out); err != nil || out == nil {
		return nil, ErrUnparsableBody
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, ErrUnparsableBody
	}
	return out, nil
}
