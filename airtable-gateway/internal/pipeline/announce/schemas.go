package announce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
)

const (
	// schemaLife is how long a schema is believed that nobody was seen to change.
	schemaLife = 10 * time.Minute
	// schemaPause is how long after a reading, good or bad, there is no other.
	schemaPause = 15 * time.Second
	// schemaWait is how long a write may be held up by the reading of a schema.
	schemaWait  = 10 * time.Second
	mostSchemas = 1_000
)

// schemas are the tables and fields of Airtable's bases as they were read last.
type schemas struct {
	now     func() time.Time
	reading singleflight.Group

	mu    sync.Mutex
	known map[schemaKey]*schema
}

type schemaKey struct{ account, base string }

// schema is one base's. One that could not be read has no tables.
type schema struct {
	read   time.Time
	stale  bool // it was seen to change
	tables map[string]*table
	fields map[string]*table // of a field's id
}

type table struct {
	id     string
	order  []*field
	fields map[string]*field // by id and by name
}

type field struct {
	id   string
	kind string
}

// computed are the types of cells that no write sets.
var computed = map[string]bool{
	"formula": true, "rollup": true, "count": true, "multipleLookupValues": true, "createdTime": true,
	"lastModifiedTime": true, "createdBy": true, "lastModifiedBy": true, "autoNumber": true, "button": true,
	"externalSyncSource": true, "aiText": true, "manualSort": true,
}

func (f *field) computed() bool { return computed[f.kind] }

// attachments is the type whose cells change with every reading.
const attachments = "multipleAttachments"

// table finds a table by id or name; nil if it is not known.
func (s *schema) table(idOrName string) *table {
	if s == nil {
		return nil
	}
	return s.tables[idOrName]
}

// lookUp is what is known of the base, without asking.
func (s *schemas) lookUp(key schemaKey) *schema {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[key]
}

// of returns the schema of the call's base. It asks up for one that is not known,
// old, or was seen to change; nil if that fails.
func (s *schemas) of(ctx context.Context, up upstream.Upstream, account string, c upstream.Call) *schema {
	key := schemaKey{account, c.Base}
	known := s.lookUp(key)
	if known != nil {
		age := s.now().Sub(known.read)
		if age < schemaPause && !known.stale || age < schemaLife && !known.stale && known.tables != nil {
			return known
		}
	}
	// The first to ask reads for all; its going away must not end the reading.
	found := s.reading.DoChan(account+" "+c.Base, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), schemaWait)
		defer cancel()
		fresh, err := read(ctx, up, c)
		if err != nil {
			fresh = &schema{}
			if known != nil {
				fresh.tables, fresh.fields = known.tables, known.fields
			}
		}
		fresh.read = s.now()
		s.keep(key, fresh)
		return fresh, nil
	})
	select {
	case r := <-found:
		fresh, _ := r.Val.(*schema)
		return fresh
	case <-ctx.Done():
		return known
	}
}

func (s *schemas) keep(key schemaKey, fresh *schema) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.known[key]; !ok && len(s.known) >= mostSchemas {
		for other := range s.known { // any one
			delete(s.known, other)
			break
		}
	}
	s.known[key] = fresh
}

// changed says that the base's schema is, or seems to be, another now.
func (s *schemas) changed(key schemaKey, certainly bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.known[key]
	if known == nil || !certainly && s.now().Sub(known.read) < schemaPause {
		return
	}
	gone := *known
	gone.stale = true
	s.known[key] = &gone
}

var errNoSchema = errors.New("the schema was refused")

// read asks for the base's schema, as urgently as the call is made.
func read(ctx context.Context, up upstream.Upstream, c upstream.Call) (*schema, error) {
	answer, err := up.Do(ctx, upstream.Call{
		Op: upstream.BaseSchema, Caller: c.Caller, Method: http.MethodGet, Base: c.Base,
		Path: "/v0/meta/bases/" + url.PathEscape(c.Base) + "/tables", Header: urgency(c),
	})
	if err != nil {
		return nil, err
	}
	if answer.Status != http.StatusOK {
		return nil, fmt.Errorf("%w: %d", errNoSchema, answer.Status)
	}
	var body struct {
		Tables []struct {
			ID, Name string
			Fields   []struct{ ID, Name, Type string }
		}
	}
	if err := json.Unmarshal(answer.Body, &body); err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	s := &schema{tables: map[string]*table{}, fields: map[string]*table{}}
	for _, t := range body.Tables {
		own := &table{id: t.ID, fields: map[string]*field{}}
		for _, f := range t.Fields {
			known := &field{f.ID, f.Type}
			own.order = append(own.order, known)
			own.fields[f.Name] = known
			s.fields[f.ID] = own
		}
		for _, f := range own.order { // a name that looks like another's id must not hide it
			own.fields[f.id] = f
		}
		s.tables[t.Name] = own
	}
	for _, t := range body.Tables {
		s.tables[t.ID] = s.tables[t.Name]
	}
	return s, nil
}

// field finds a field of the table by id or name; nil if it is not known.
func (t *table) field(idOrName string) *field {
	if t == nil {
		return nil
	}
	return t.fields[idOrName]
}

// isFieldID reports whether the key of a cell is an id.
func isFieldID(key string) bool { return models.IsID("fld", key) }
