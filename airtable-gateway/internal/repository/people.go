package repository

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/id"
)

const personColumns = `p.user_id, p.airtable_id, p.email, p.name`

func (r Reader) people(ctx context.Context, tenant id.TenantID, sql string, args ...any) ([]models.Person, error) {
	rows, err := r.of(tenant).Query(ctx, `SELECT `+personColumns+` FROM people p WHERE p.tenant_id = $1 AND p.erased_at IS NULL AND `+sql, append([]any{tenant}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("read people: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (models.Person, error) {
		var p models.Person
		err := row.Scan(&p.User, &p.ID, &p.Email, &p.Name)
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("read people: %w", err)
	}
	return list, nil
}

// People returns those that the tenant's directory has by id or as a user.
func (r Reader) People(ctx context.Context, tenant id.TenantID, ids []models.PersonID, users []id.UserID) (*models.People, error) {
	if len(ids) == 0 && len(users) == 0 {
		return models.NewPeople(nil), nil
	}
	list, err := r.people(ctx, tenant, `(p.airtable_id = ANY($2) OR p.user_id = ANY($3))`, ids, users)
	return models.NewPeople(list), err
}

// PeopleCalled returns the tenant's people who have one of these ids, addresses
// (lower-cased) or names, by id.
func (r Reader) PeopleCalled(ctx context.Context, tenant id.TenantID, ids []models.PersonID, emails, names []string) ([]models.Person, error) {
	return r.people(ctx, tenant, `(p.airtable_id = ANY($2) OR lower(p.email) = ANY($3) OR p.name = ANY($4)) ORDER BY p.airtable_id COLLATE "C"`,
		ids, emails, names)
}

// EnterPerson stores a person with a chosen id, or changes his id, address and name.
// It returns ErrDuplicateID if another of the tenant has the id.
func (s *Store) EnterPerson(ctx context.Context, tenant id.TenantID, p models.Person) error {
	_, err := s.of(tenant).Exec(ctx, `
		INSERT INTO people (tenant_id, user_id, airtable_id, email, name) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT ON CONSTRAINT people_pkey DO UPDATE SET airtable_id = excluded.airtable_id, email = excluded.email, name = excluded.name`,
		tenant, p.User, p.ID, p.Email, p.Name)
	return insertError("person", "people_airtable_id_key", err)
}

// readTouched reads who changed which cell last.
func readTouched(raw []byte) (map[models.FieldID]models.Touch, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var stamps map[models.FieldID]stamp
	if err := json.Unmarshal(raw, &stamps); err != nil {
		return nil, err
	}
	out := make(map[models.FieldID]models.Touch, len(stamps))
	for f, s := range stamps {
		out[f] = models.Touch(s)
	}
	return out, nil
}

func writeTouched(touched map[models.FieldID]models.Touch) []byte {
	stamps := make(map[models.FieldID]stamp, len(touched))
	for f, t := range touched {
		stamps[f] = stamp(t)
	}
	return models.Marshal(stamps)
}

// stamp is a touch as it is stored: [milliseconds since 1970, user].
type stamp models.Touch

func (s stamp) MarshalJSON() ([]byte, error) { return json.Marshal([]any{s.At.UnixMilli(), s.By}) }

func (s *stamp) UnmarshalJSON(b []byte) error {
	var ms int64
	if err := json.Unmarshal(b, &[]any{&ms, &s.By}); err != nil {
		return err
	}
	s.At = time.UnixMilli(ms).UTC()
	return nil
}

// people writes the SQL of what the people in a field are called.
func (q *sorter) people(f *models.Field) string {
	const called = `coalesce(nullif(p.name, ''), nullif(p.email, ''), p.airtable_id)`
	who := `SELECT ` + called + ` FROM people p WHERE p.tenant_id = $1 AND `
	switch f.Type.Order() {
	case models.ByPerson:
		who += `p.airtable_id = r.cells ->> ` + q.arg(string(f.ID))
	case models.ByPeople:
		who = `SELECT string_agg(` + called + `, ', ' ORDER BY e.n)
			FROM jsonb_array_elements_text(r.cells -> ` + q.arg(string(f.ID)) + `) WITH ORDINALITY AS e (person, n)
			JOIN people p ON p.tenant_id = $1 AND p.airtable_id = e.person`
	case models.ByCreator:
		who += `p.user_id = r.created_by`
	default:
		if len(f.Options.Referenced) == 0 {
			who += `p.user_id = r.modified_by`
			break
		}
		who += `p.user_id = (` + q.lastTouch(f, `(t.touch ->> 1)::uuid`) + `)`
	}
	return `(` + who + `) COLLATE natural_order`
}

// lastTouch writes the SQL of a part of the last change of what the field looks at.
func (q *sorter) lastTouch(f *models.Field, part string) string {
	fields := make([]string, len(f.Options.Referenced))
	for i, fieldID := range f.Options.Referenced {
		fields[i] = string(fieldID)
	}
	return `SELECT ` + part + ` FROM (SELECT r.touched -> u.field AS touch FROM unnest(` + q.arg(fields) + `::text[]) AS u (field)) AS t
		WHERE t.touch IS NOT NULL ORDER BY (t.touch ->> 0)::bigint DESC LIMIT 1`
}
