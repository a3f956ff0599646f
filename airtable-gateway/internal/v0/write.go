package v0

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
)

// Write is a create, update, replace, upsert or delete of records, taken apart
// without re-encoding any of them.
type Write struct {
	Single    bool // the answer is one record, not a list
	Items     []Item
	Typecast  bool
	ByFieldID bool
	MergeOn   []string // names or ids; nil unless it is an upsert
}

// Item is one record of a Write.
type Item struct {
	ID     string          // "" for one to be created or matched
	Raw    json.RawMessage // as a batch carries it; nil for a delete
	Fields json.RawMessage // nil for a delete
}

// ReadWrite takes a write of records apart. It is not ok for what Airtable would
// refuse for its form, and for all that this package does not know: such a call can
// only be passed on as it is.
func ReadWrite(c upstream.Call) (Write, bool) {
	switch {
	case c.Op == upstream.DeleteRecords:
		return readDelete(c)
	case c.Op != upstream.CreateRecords && c.Op != upstream.UpdateRecords, c.RawQuery != "":
		return Write{}, false
	}
	members, err := Members(c.Body)
	if err != nil {
		return Write{}, false
	}
	w := Write{Single: true}
	var fields, records json.RawMessage
	for _, m := range members {
		ok := true
		switch m.Name {
		case "fields":
			fields = m.Value
		case "records":
			records, w.Single = m.Value, false
		case "typecast":
			w.Typecast, ok = readBool(m.Value)
		case "returnFieldsByFieldId":
			w.ByFieldID, ok = readBool(m.Value)
		case "performUpsert":
			w.MergeOn, ok = readMergeOn(m.Value)
			ok = ok && c.Op == upstream.UpdateRecords && c.Record == ""
		default:
			ok = false
		}
		if !ok {
			return Write{}, false
		}
	}
	switch {
	case w.Single && w.MergeOn == nil && (c.Op == upstream.CreateRecords || c.Record != "") && isObject(fields):
		w.Items = []Item{single(c.Record, fields)}
		return w, true
	case w.Single || fields != nil || c.Record != "":
		return Write{}, false
	}
	return w, w.readItems(records, c.Op == upstream.CreateRecords)
}

// single is the record of a write to one record's own path, or of a create, as a
// batch carries it.
func single(record string, fields json.RawMessage) Item {
	members := []Member{{"fields", fields}}
	if record != "" {
		id, _ := json.Marshal(record)
		members = []Member{{"id", id}, {"fields", fields}}
	}
	return Item{ID: record, Raw: Object(members...), Fields: fields}
}

func (w *Write) readItems(records json.RawMessage, creates bool) bool {
	var raws []json.RawMessage
	if json.Unmarshal(records, &raws) != nil || len(raws) == 0 || len(raws) > models.MaxBatch {
		return false
	}
	for _, raw := range raws {
		members, err := Members(raw)
		if err != nil {
			return false
		}
		it := Item{Raw: raw}
		for _, m := range members {
			switch m.Name {
			case "fields":
				it.Fields = m.Value
			case "id":
				if !creates && (json.Unmarshal(m.Value, &it.ID) != nil || it.ID != "" && !isID("rec", it.ID)) {
					return false
				}
			}
		}
		if !isObject(it.Fields) || !creates && w.MergeOn == nil && it.ID == "" {
			return false
		}
		w.Items = append(w.Items, it)
	}
	return w.distinct()
}

// distinct reports whether no record is written twice.
func (w *Write) distinct() bool {
	seen := map[string]bool{}
	for _, it := range w.Items {
		if it.ID != "" && seen[it.ID] {
			return false
		}
		seen[it.ID] = true
	}
	return true
}

func readDelete(c upstream.Call) (Write, bool) {
	if c.Record != "" {
		return Write{Single: true, Items: []Item{{ID: c.Record}}}, c.RawQuery == "" && len(c.Body) == 0
	}
	query, err := url.ParseQuery(c.RawQuery)
	ids := query["records[]"]
	if err != nil || len(query) != 1 || len(ids) == 0 || len(ids) > models.MaxBatch || len(c.Body) > 0 {
		return Write{}, false
	}
	var w Write
	for _, id := range ids {
		if !isID("rec", id) {
			return Write{}, false
		}
		w.Items = append(w.Items, Item{ID: id})
	}
	return w, w.distinct()
}

func readBool(v json.RawMessage) (value, ok bool) {
	return string(v) == "true", string(v) == "true" || string(v) == "false"
}

func readMergeOn(v json.RawMessage) ([]string, bool) {
	members, err := Members(v)
	if err != nil || len(members) != 1 || members[0].Name != "fieldsToMergeOn" {
		return nil, false
	}
	var names []string
	err = json.Unmarshal(members[0].Value, &names)
	return names, err == nil && len(names) > 0 && len(names) <= models.MaxMerge && !slices.Contains(names, "")
}

func isObject(v json.RawMessage) bool { return len(v) > 0 && v[0] == '{' }

// TablePath is the call's escaped path up to its table.
func TablePath(c upstream.Call) string {
	parts := strings.Split(c.Path, "/") // "", v0, base, table, and maybe a record
	return strings.Join(parts[:min(4, len(parts))], "/")
}

// Batch makes c the call in the batch form that writes all of w's items.
func (w Write) Batch(c upstream.Call) upstream.Call {
	c.Path, c.Record, c.RawQuery, c.Body = TablePath(c), "", "", nil
	if c.Op == upstream.DeleteRecords {
		var q strings.Builder
		for i, it := range w.Items {
			if i > 0 {
				q.WriteByte('&')
			}
			q.WriteString("records%5B%5D=" + it.ID)
		}
		c.RawQuery = q.String()
		return c
	}
	raws := make([]json.RawMessage, len(w.Items))
	for i, it := range w.Items {
		raws[i] = it.Raw
	}
	members := []Member{{"records", List(raws)}}
	if w.Typecast {
		members = append(members, Member{"typecast", json.RawMessage("true")})
	}
	if w.ByFieldID {
		members = append(members, Member{"returnFieldsByFieldId", json.RawMessage("true")})
	}
	if w.MergeOn != nil {
		on := Object(Member{"fieldsToMergeOn", models.Marshal(w.MergeOn)})
		members = append(members, Member{"performUpsert", on})
	}
	c.Body = Object(members...)
	return c
}

// Written is the success of a write, taken apart. Members are those of a batch's
// answer in their order, or the one record of a single write under "records".
type Written struct {
	Records []json.RawMessage // in the order of the request
	IDs     []string          // of Records
	members []Member
}

// ReadWritten takes the answer to w apart. It is not ok if the records are not
// those that w wrote.
func ReadWritten(w Write, a upstream.Answer) (out Written, ok bool) {
	if a.Status != http.StatusOK {
		return out, false
	}
	if w.Single {
		out.Records = []json.RawMessage{bytes.TrimSpace(a.Body)}
		out.members = []Member{{"records", nil}}
	} else {
		var err error
		if out.members, err = Members(a.Body); err != nil {
			return out, false
		}
		for _, m := range out.members {
			if m.Name == "records" && json.Unmarshal(m.Value, &out.Records) != nil {
				return out, false
			}
		}
	}
	if len(out.Records) != len(w.Items) {
		return out, false
	}
	for i, r := range out.Records {
		var rec struct{ ID string }
		if json.Unmarshal(r, &rec) != nil || rec.ID == "" || w.Items[i].ID != "" && w.Items[i].ID != rec.ID {
			return out, false
		}
		out.IDs = append(out.IDs, rec.ID)
	}
	return out, true
}

// Drop leaves out what stands beside the records under the names.
func (w Written) Drop(names ...string) Written {
	w.members = slices.DeleteFunc(slices.Clone(w.members), func(m Member) bool { return slices.Contains(names, m.Name) })
	return w
}

// Part is the body of the answer to a write of the n records from the given place
// alone, byte for byte as they stand in this answer.
func (w Written) Part(single bool, from, n int) []byte {
	records := w.Records[from : from+n]
	if single && len(w.members) == 1 {
		return bytes.Clone(records[0])
	}
	own := map[string]bool{}
	for _, id := range w.IDs[from : from+n] {
		own[id] = true
	}
	var out []Member
	for _, m := range w.members {
		switch m.Name {
		case "records":
			m.Value = List(records)
		case "createdRecords", "updatedRecords":
			m.Value = only(m.Value, own)
		}
		out = append(out, m)
	}
	if !single {
		return Object(out...)
	}
	// What is said beside the records is said beside the record's own members.
	members, err := Members(records[0])
	if err != nil {
		return bytes.Clone(records[0])
	}
	for _, m := range out {
		if m.Name != "records" {
			members = append(members, m)
		}
	}
	return Object(members...)
}

// only keeps of a list of ids those that are wanted.
func only(list json.RawMessage, wanted map[string]bool) json.RawMessage {
	var ids []json.RawMessage
	if json.Unmarshal(list, &ids) != nil {
		return list
	}
	ids = slices.DeleteFunc(ids, func(raw json.RawMessage) bool {
		var id string
		return json.Unmarshal(raw, &id) != nil || !wanted[id]
	})
	return List(ids)
}

// Headers are those of a whole answer for a part of it with the body.
func Headers(whole http.Header, body []byte) http.Header {
	out := whole.Clone()
	const length = "Airtable-Uncompressed-Content-Length"
	if out.Get(length) != "" {
		out.Set(length, strconv.Itoa(len(body)))
	}
	return out
}
