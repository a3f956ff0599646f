package stable

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/links"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
)

// span is a part of a body.
type span struct{ from, to int }

func (s span) of(body []byte) []byte { return body[s.from:s.to] }

// place is where an object stands: what is known of the record around it.
type place struct{ table, record string }

// object is a JSON object that has a "url", with its members as they stand there.
type object struct {
	place
	whole   span
	members map[string]span
}

// deepest bounds how far objects are looked for. Attachments stand five deep, in
// payloads of webhooks nine.
const deepest = 24

// objects finds all objects of the body that have a member "url", outermost first,
// in their order. It is nil if the body is not JSON.
func objects(body []byte, at place) []object {
	s := &scanner{body: body}
	s.value(at, deepest)
	if s.space(); s.failed || s.i != len(body) {
		return nil
	}
	return s.found
}

// scanner reads JSON without decoding it, in one pass.
type scanner struct {
	body   []byte
	i      int
	failed bool
	found  []object
}

func (s *scanner) space() {
	for s.i < len(s.body) && (s.body[s.i] == ' ' || s.body[s.i] == '\n' || s.body[s.i] == '\r' || s.body[s.i] == '\t') {
		s.i++
	}
}

// next skips space and takes c, if it is there.
func (s *scanner) next(c byte) bool {
	s.space()
	if s.i < len(s.body) && s.body[s.i] == c {
		s.i++
		return true
	}
	return false
}

func (s *scanner) value(at place, depth int) span {
	s.space()
	from := s.i
	switch {
	case s.failed || s.i >= len(s.body) || depth == 0:
		s.failed = true
	case s.body[s.i] == '{':
		s.object(at, depth)
	case s.body[s.i] == '[':
		s.list(at, depth)
	case s.body[s.i] == '"':
		s.text()
	default:
		for s.i < len(s.body) && !strings.ContainsRune(" \n\r\t,]}", rune(s.body[s.i])) {
			s.i++
		}
		s.failed = s.failed || s.i == from
	}
	return span{from, s.i}
}

func (s *scanner) text() span {
	from := s.i
	for s.i++; s.i < len(s.body); s.i++ {
		switch s.body[s.i] {
		case '\\':
			s.i++
		case '"':
			s.i++
			return span{from, s.i}
		}
	}
	s.failed, s.i = true, len(s.body)
	return span{from, s.i}
}

func (s *scanner) list(at place, depth int) {
	s.i++
	if s.next(']') {
		return
	}
	for !s.failed {
		s.value(at, depth-1)
		if s.next(']') {
			return
		}
		s.failed = s.failed || !s.next(',')
	}
}

// object reads an object twice if it is a record: its id may stand behind its cells.
func (s *scanner) object(at place, depth int) {
	from := s.i
	s.i++
	members := map[string]span{}
	found := len(s.found)
	for empty := s.next('}'); !empty && !s.failed; {
		if s.space(); s.i >= len(s.body) || s.body[s.i] != '"' {
			s.failed = true
			return
		}
		name := text(s.text().of(s.body))
		if s.failed = s.failed || !s.next(':'); s.failed {
			return
		}
		members[name] = s.value(at.in(name), depth-1)
		if s.next('}') {
			break
		}
		s.failed = s.failed || !s.next(',')
	}
	if id := text(members["id"].of(s.body)); models.IsID("rec", id) {
		for i := range s.found[found:] {
			if inner := &s.found[found+i]; inner.record == at.record {
				inner.record = id
			}
		}
	}
	if _, ok := members["url"]; ok {
		s.found = append(s.found, object{place: at, whole: span{from, s.i}, members: members})
	}
}

// in is the place of a member: payloads of webhooks key by the ids of tables and
// records.
func (p place) in(name string) place {
	switch {
	case models.IsID("rec", name):
		p.record = name
	case models.IsID("tbl", name):
		p.table = name
	}
	return p
}

// text decodes a JSON string; "" for anything else.
func text(raw []byte) string {
	var s string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

func (o object) text(body []byte, name string) string { return text(o.members[name].of(body)) }

// attachment is one that Airtable tells of, with the places of its addresses.
type attachment struct {
	place
	id             models.AttachmentID
	filename, kind string
	size           int64
	urls           map[links.Variant]span
}

var thumbnails = []links.Variant{links.Small, links.Large, links.Full}

// attachments finds those that the body tells of.
func attachments(body []byte, at place) []attachment {
	var out []attachment
	for _, o := range objects(body, at) {
		id := o.text(body, "id")
		if !models.IsID("att", id) || o.text(body, "url") == "" {
			continue
		}
		a := attachment{
			place: o.place, id: models.AttachmentID(id), filename: models.CleanFilename(o.text(body, "filename")), kind: o.text(body, "type"),
			urls: map[links.Variant]span{links.File: o.members["url"]},
		}
		_ = json.Unmarshal(o.members["size"].of(body), &a.size) // absent while Airtable still fetches it
		if t := o.members["thumbnails"]; t.to > t.from {
			a.thumbnails(body, t)
		}
		out = append(out, a)
	}
	return out
}

// thumbnails finds the addresses in {"small":{"url":…},…}.
func (a *attachment) thumbnails(body []byte, t span) {
	s := &scanner{body: body[:t.to], i: t.from}
	var names map[string]span
	if s.next('{') {
		s.i--
		names = s.shallow()
	}
	for _, v := range thumbnails {
		at := names[string(v)]
		if at.to == at.from || body[at.from] != '{' {
			continue
		}
		inner := &scanner{body: body[:at.to], i: at.from}
		if url := inner.shallow()["url"]; text(url.of(body)) != "" {
			a.urls[v] = url
		}
	}
}

// shallow reads the members of the object at hand.
func (s *scanner) shallow() map[string]span {
	out := map[string]span{}
	s.i++
	for !s.next('}') && !s.failed && s.i < len(s.body) && s.body[s.i] == '"' {
		name := text(s.text().of(s.body))
		if !s.next(':') {
			break
		}
		out[name] = s.value(place{}, deepest)
		s.next(',')
	}
	return out
}

// change is a part of a body and what stands there instead.
type change struct {
	at  span
	new []byte
}

// apply makes the changes; all else stays byte for byte. One inside another is part of
// what went.
func apply(body []byte, changes []change) []byte {
	slices.SortFunc(changes, func(a, b change) int { return a.at.from - b.at.from })
	out := make([]byte, 0, len(body)+64*len(changes))
	done := 0
	for _, c := range changes {
		if c.at.from < done {
			continue
		}
		out = append(append(out, body[done:c.at.from]...), c.new...)
		done = c.at.to
	}
	return append(out, body[done:]...)
}
