package models

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/auditapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// Draft is an entry whose personal data is not sealed yet.
type Draft struct {
	Entry
	OwnData   Personal
	OtherData Personal
}

// open are the members of an event's data that name no person, beside ids (_id, _ids),
// times (_at), numbers and booleans. What is not known is personal.
var open = []string{
	"service", "op", "path", "code", "what", "status", "role", "custom_roles", "kind", "method", "changed", "plan",
	"limits", "object", "objects", "format", "chain",
}

// Record makes the draft of an event's entry. It reads the data by the names of its
// members alone, so that a new type of event needs no code:
//
//   - who: the origin's user, or else actor_id, author_id, or, of what auth-service
//     says, user_id, since who signs in is not known to the request
//   - base_id, record_id, changed_field_ids: what the history of a record is found by
//   - user_id, if it is another one than who acted: whose personal data the rest is
func Record(e events.Event, now time.Time) Draft {
	d := Draft{Entry: Entry{
		Log: LogOf(e.TenantID), EventID: strings.ToLower(e.ID), At: e.Time.UTC().Truncate(time.Microsecond), RecordedAt: now,
		Action: clean(e.Type), Source: clean(e.Source), Object: clean(e.Subject), Version: e.Version, Result: auditapi.ResultDone,
		User: clean(e.User), Actor: clean(e.Actor), Session: clean(e.Session), Token: clean(e.Token), Request: clean(e.Request),
	}}
	if d.Action == auditapi.RequestRefused.Name {
		d.Result = auditapi.ResultRefused
	}
	members := map[string]json.RawMessage{}
	if json.Unmarshal(e.Data, &members) != nil {
		members = map[string]json.RawMessage{"value": e.Data}
	}
	d.Base, d.Record = text(members["base_id"]), text(members["record_id"])
	if strings.Contains(d.Action, ".record.") && d.Record == "" {
		d.Record = d.Object
	}
	var fields []string
	if json.Unmarshal(members["changed_field_ids"], &fields) == nil {
		d.Fields = clean(strings.Join(fields, ","))
	}
	if d.User == "" {
		d.User = author(members, d.Source)
	}
	facts, personal := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	for name, value := range members {
		if isFact(name, value) {
			facts[name] = value
		} else {
			personal[name] = value
		}
	}
	d.Facts = strings.ToValidUTF8(object(facts), "\uFFFD")
	d.keep(personal, text(members["user_id"]), e)
	return d
}

// keep puts personal data to its person: what the event says of another user to him,
// the rest to who acted, or to the tenant if nobody did.
func (d *Draft) keep(personal map[string]json.RawMessage, about string, e events.Event) {
	own := d.Log
	if isID(d.User) {
		own = d.User
	}
	d.OwnData.IP, d.OwnData.Agent = clean(e.IP), clean(e.Agent)
	if len(personal) > 0 {
		data := json.RawMessage(object(personal))
		if about != own && isID(about) {
			d.Other.Subject, d.OtherData.Data = about, data
		} else {
			d.OwnData.Data = data
		}
	}
	if d.OwnData.IP != "" || d.OwnData.Agent != "" || d.OwnData.Data != nil {
		d.Own.Subject = own
	}
}

func author(members map[string]json.RawMessage, source string) string {
	for _, name := range []string{"actor_id", "author_id"} {
		if who := text(members[name]); who != "" {
			return who
		}
	}
	if source == "/auth-service" {
		return text(members["user_id"])
	}
	return ""
}

func isFact(name string, value json.RawMessage) bool {
	if strings.HasSuffix(name, "_id") || strings.HasSuffix(name, "_ids") || strings.HasSuffix(name, "_at") || slices.Contains(open, name) {
		return true
	}
	value = bytes.TrimLeft(value, " \t\r\n")
	return len(value) > 0 && (value[0] == 't' || value[0] == 'f' || value[0] == '-' || value[0] >= '0' && value[0] <= '9')
}

// object renders members in the order of their names.
func object(members map[string]json.RawMessage) string {
	b, err := json.Marshal(members)
	if err != nil {
		return "{}" // cannot happen: the members were read from JSON
	}
	return string(b)
}

func text(v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) != nil {
		return ""
	}
	return clean(s)
}

func isID(s string) bool {
	_, err := id.Parse[id.User](s)
	return err == nil
}

// clean makes text that PostgreSQL stores.
func clean(s string) string {
	if !strings.ContainsRune(s, 0) {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// Change is what an event tells of before and after; nil is not told.
type Change struct{ Before, After json.RawMessage }

// ChangeOf reads what was changed from the data's members: old_X beside new_X or X,
// former_X beside X, old beside new, before beside after. Cells come as they are, others
// by name. Data without such pairs is what the object is now or, of what was deleted,
// was before.
func ChangeOf(action string, members map[string]json.RawMessage) Change {
	before, after := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	for name, value := range members {
		var bare string
		switch {
		case name == "old" || name == "before":
			bare = name
		case strings.HasSuffix(name, "_unknown"):
			continue
		case strings.HasPrefix(name, "old_"), strings.HasPrefix(name, "former_"):
			_, bare, _ = strings.Cut(name, "_")
		default:
			continue
		}
		now, told := members["new_"+bare]
		switch name {
		case "old":
			now, told = members["new"]
		case "before":
			now, told = members["after"]
		}
		if !told {
			now = members[bare]
		}
		before[bare] = value
		if now != nil {
			after[bare] = now
		}
	}
	if len(before) == 0 {
		return whole(action, members)
	}
	for _, bare := range []string{"cells", "old", "before"} {
		if v, ok := before[bare]; ok && len(before) == 1 {
			return Change{v, after[bare]}
		}
	}
	return Change{json.RawMessage(object(before)), json.RawMessage(object(after))}
}

func whole(action string, members map[string]json.RawMessage) Change {
	if len(members) == 0 || action == auditapi.RequestRefused.Name {
		return Change{}
	}
	parts := strings.Split(action, ".")
	verb := parts[max(0, len(parts)-2)]
	for _, end := range []string{"deleted", "removed", "revoked", "unlinked"} {
		if strings.HasSuffix(verb, end) {
			return Change{Before: json.RawMessage(object(members))}
		}
	}
	return Change{After: json.RawMessage(object(members))}
}

// Cell narrows a change of cells to one of them.
func (c Change) Cell(field string) Change {
	return Change{member(c.Before, field), member(c.After, field)}
}

func member(cells json.RawMessage, name string) json.RawMessage {
	var m map[string]json.RawMessage
	if json.Unmarshal(cells, &m) != nil {
		return nil
	}
	return m[name]
}
