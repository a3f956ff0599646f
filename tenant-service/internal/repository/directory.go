package repository

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
	"github.com/pyairtable/pyairtable/tenant-service/internal/scim"
)

const scimTokenColumns = `id, tenant_id, name, token_hash, created_by, created_at, expires_at, last_used_at, version`

// CreateSCIMToken stores a token with its event, if allowed says so under the tenant's
// lock. It returns tenantapi.ErrTooManySCIMTokens.
func (r *Repository) CreateSCIMToken(ctx context.Context, c models.Caller, t models.SCIMToken, allowed func(*models.Scene) error) error {
	return r.withScene(ctx, c, func(tx pgx.Tx, s *models.Scene) error {
		if err := allowed(s); err != nil {
			return err
		}
		var n int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM scim_tokens WHERE tenant_id = $1`, t.Tenant).Scan(&n); err != nil {
			return fmt.Errorf("count SCIM tokens: %w", err)
		}
		if n >= models.MaxSCIMTokens {
			return tenantapi.ErrTooManySCIMTokens
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO scim_tokens (tenant_id, id, name, token_hash, created_by, created_at, expires_at, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			t.Tenant, t.ID, t.Name, t.Hash, t.CreatedBy, t.CreatedAt, null(t.ExpiresAt), t.Version)
		if err != nil {
			return fmt.Errorf("insert SCIM token: %w", err)
		}
		return events.Emit(ctx, tx, scimTokenEvent(ctx, t, "created", c.User))
	})
}

// ChangeSCIMToken gives a token another hash, or deletes it for none, if allowed says so
// under the tenant's lock. It returns tenantapi.ErrSCIMTokenNotFound.
func (r *Repository) ChangeSCIMToken(ctx context.Context, c models.Caller, ref models.SCIMTokenID, hash []byte, allowed func(*models.Scene) error) (t models.SCIMToken, err error) {
	err = r.withScene(ctx, c, func(tx pgx.Tx, s *models.Scene) error {
		if err := allowed(s); err != nil {
			return err
		}
		what, sql, args := "revoked", `DELETE FROM scim_tokens WHERE tenant_id = $1 AND id = $2 RETURNING `+scimTokenColumns, []any{c.Tenant, ref}
		if hash != nil {
			what, args = "rotated", append(args, hash)
			sql = `UPDATE scim_tokens SET token_hash = $3, last_used_at = NULL, version = version + 1 WHERE tenant_id = $1 AND id = $2 RETURNING ` + scimTokenColumns
		}
		found, err := scimTokens(ctx, tx, sql, args...)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return tenantapi.ErrSCIMTokenNotFound
		}
		t = found[0]
		if hash == nil {
			t.Version++
		}
		return events.Emit(ctx, tx, scimTokenEvent(ctx, t, what, c.User))
	})
	return t, err
}

// SCIMTokens returns at most limit of the tenant's tokens, those after the given one,
// oldest first.
func (r *Repository) SCIMTokens(ctx context.Context, tenant id.TenantID, after models.SCIMTokenID, limit int) ([]models.SCIMToken, error) {
	return scimTokens(ctx, r.of(tenant), `
		SELECT `+scimTokenColumns+` FROM scim_tokens WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3`, tenant, after, limit)
}

// OpenDirectory returns the tenant whose token has the hash, with the token; it returns
// tenantapi.ErrSCIMTokenNotFound if there is none that is live. The use is noted, to the
// minute.
func (r *Repository) OpenDirectory(ctx context.Context, tenant id.TenantID, hash []byte, now time.Time) (t models.Tenant, token models.SCIMToken, err error) {
	found, err := scimTokens(ctx, r.of(tenant), `SELECT `+scimTokenColumns+` FROM scim_tokens WHERE tenant_id = $1 AND token_hash = $2`, tenant, hash)
	if err != nil {
		return t, token, err
	}
	if len(found) == 0 || !found[0].Live(now) {
		return t, token, tenantapi.ErrSCIMTokenNotFound
	}
	token = found[0]
	if now.Sub(token.LastUsedAt) >= time.Minute {
		if _, err := r.of(tenant).Exec(ctx, `UPDATE scim_tokens SET last_used_at = $3 WHERE tenant_id = $1 AND id = $2`, tenant, token.ID, now); err != nil {
			return t, token, fmt.Errorf("note use of SCIM token: %w", err)
		}
	}
	t, err = scanTenant(r.of(tenant).QueryRow(ctx, `SELECT `+tenantColumns+` FROM tenants t WHERE t.tenant_id = $1`, tenant))
	return t, token, err
}

func scimTokens(ctx context.Context, q postgres.Querier, sql string, args ...any) ([]models.SCIMToken, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read SCIM tokens: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t models.SCIMToken, err error) {
		var expires, used *time.Time
		err = row.Scan(&t.ID, &t.Tenant, &t.Name, &t.Hash, &t.CreatedBy, &t.CreatedAt, &expires, &used, &t.Version)
		t.ExpiresAt, t.LastUsedAt = zero(expires), zero(used)
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("read SCIM tokens: %w", err)
	}
	return found, nil
}

func scimTokenEvent(ctx context.Context, t models.SCIMToken, what string, actor id.UserID) events.Event {
	return tenantapi.SCIMTokenChanged.New(ctx, t.Tenant, t.ID.String(), t.Version, tenantapi.SCIMTokenChangedData{
		TokenID: t.ID.String(), TenantID: t.Tenant.String(), What: what, Name: t.Name, ActorID: actor.String(),
	})
}

// An account lies in its user's personal tenant: what joins it looks into every tenant,
// and names its own.
const (
	peopleTables = ` FROM members m LEFT JOIN scim_users s ON s.tenant_id = m.tenant_id AND s.member_id = m.id
		LEFT JOIN accounts a ON a.user_id = m.user_id`
	peopleWhere = ` WHERE m.tenant_id = $1 AND m.kind = 'user' AND ($2::uuid IS NULL OR m.id = $2)
		AND ($3::text IS NULL OR coalesce(s.name_key, nullif(a.email, ''), m.user_id::text) = $3)
		AND ($4::text IS NULL OR coalesce(s.external_id, '') = $4)
		AND ($5::text IS NULL OR s.email_key = $5 OR a.email = $5)`
)

// source is where a directory's resources come from: $1 is the tenant in its conditions.
type source struct{ tables, where, document, key string }

const personColumns = memberColumns + `, s.member_id IS NOT NULL, coalesce(s.user_name, nullif(a.email, ''), m.user_id::text), coalesce(s.email_key, a.email, ''),
	coalesce(s.external_id, ''), coalesce(s.attributes, '{}'), coalesce(s.version, 0), s.updated_at`

func ofPeople() source { return source{peopleTables, peopleWhere, personDocument, "m.id"} }

// People returns the tenant's users whom sel selects, in the order in which they joined,
// and how many there are without offset and limit.
func (r *Repository) People(ctx context.Context, tenant id.TenantID, sel models.People) ([]models.Person, int, error) {
	q := postgres.ForEveryTenant(r.pool)
	sql, args := ofPeople().listing(sel.Listing, tenant, sel.ID, sel.NameKey, sel.ExternalID, sel.EmailKey)
	found, err := people(ctx, q, `SELECT `+personColumns+sql, args...)
	if err != nil {
		return nil, 0, err
	}
	total := len(found)
	if sel.Limit > 0 {
		sql, args = ofPeople().tally(sel.Listing, tenant, sel.ID, sel.NameKey, sel.ExternalID, sel.EmailKey)
		if err := q.QueryRow(ctx, sql, args...).Scan(&total); err != nil {
			return nil, 0, fmt.Errorf("count people: %w", err)
		}
	}
	return found, total, nil
}

// The documents are the resources as internal/scim shows them, as far as they can be
// filtered and ordered by.
const (
	stamp          = `'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'`
	personDocument = `coalesce(s.attributes, '{}') || jsonb_strip_nulls(jsonb_build_object(
		'id', m.id, 'externalId', nullif(s.external_id, ''), 'userName', coalesce(s.user_name, nullif(a.email, ''), m.user_id::text),
		'active', m.suspended_at IS NULL, 'schemas', CASE WHEN coalesce(s.attributes, '{}') ? '` + scim.EnterpriseSchema + `'
			THEN '["` + scim.UserSchema + `", "` + scim.EnterpriseSchema + `"]'::jsonb ELSE '["` + scim.UserSchema + `"]' END,
		'emails', CASE WHEN s.member_id IS NULL AND a.email <> '' THEN jsonb_build_array(jsonb_build_object('value', a.email, 'primary', true)) END,
		'groups', (SELECT jsonb_agg(jsonb_build_object('value', g.id, '$ref', l.base || '/Groups/' || g.id, 'display', g.name, 'type', 'direct') ORDER BY g.id)
			FROM group_members i JOIN groups g ON g.tenant_id = i.tenant_id AND g.id = i.group_id WHERE i.tenant_id = m.tenant_id AND i.member_id = m.id),
		'meta', jsonb_build_object('resourceType', 'User', 'location', l.base || '/Users/' || m.id,
			'created', to_char(m.joined_at AT TIME ZONE 'UTC', ` + stamp + `),
			'lastModified', to_char(greatest(m.updated_at, s.updated_at) AT TIME ZONE 'UTC', ` + stamp + `),
			'version', ` + weakTag + `m.version || '.' || coalesce(s.version, 0)` + tagEnd + `)))`
	groupDocument = `jsonb_strip_nulls(jsonb_build_object(
		'id', g.id, 'externalId', nullif(g.external_id, ''), 'displayName', g.name, 'schemas', '["` + scim.GroupSchema + `"]'::jsonb,
		'members', (SELECT jsonb_agg(jsonb_build_object('value', m.id, '$ref', l.base || '/Users/' || m.id, 'type', 'User',
				'display', coalesce(s.user_name, nullif(a.email, ''), m.user_id::text)) ORDER BY m.id)
			FROM group_members i JOIN members m ON m.tenant_id = i.tenant_id AND m.id = i.member_id AND m.kind = 'user'
			LEFT JOIN scim_users s ON s.tenant_id = m.tenant_id AND s.member_id = m.id LEFT JOIN accounts a ON a.user_id = m.user_id
			WHERE i.tenant_id = g.tenant_id AND i.group_id = g.id),
		'meta', jsonb_build_object('resourceType', 'Group', 'location', l.base || '/Groups/' || g.id,
			'created', to_char(g.created_at AT TIME ZONE 'UTC', ` + stamp + `), 'lastModified', to_char(g.updated_at AT TIME ZONE 'UTC', ` + stamp + `),
			'version', ` + weakTag + `g.version::text` + tagEnd + `)))`
	weakTag = `'W/"' || rtrim(translate(encode(convert_to(`
	tagEnd  = `, 'UTF8'), 'base64'), '+/', '-_'), '=') || '"'`
)

// selected is the source with the condition that the document is as l wants it, and the
// arguments with those that this takes.
func (s source) selected(l models.Listing, args []any) (string, []any) {
	if l.Where == "" && len(l.By) == 0 {
		return s.tables + s.where, args
	}
	n := len(args)
	return fmt.Sprintf(`%s CROSS JOIN (SELECT $%d::text AS base) l CROSS JOIN LATERAL (SELECT %s AS e) e
		CROSS JOIN LATERAL (SELECT jsonb_build_object('e', e.e, 'l', lower(e.e::text)::jsonb) AS r) d
		%s AND ($%d::text = '' OR d.r @@ nullif($%d, '')::jsonpath)`, s.tables, n+1, s.document, s.where, n+2, n+2), append(args, l.Base, l.Where)
}

// listing is selected, in order, and cut.
func (s source) listing(l models.Listing, args ...any) (string, []any) {
	sql, args := s.selected(l, args)
	order := s.key
	if len(l.By) > 0 {
		args = append(args, l.By)
		text := fmt.Sprintf(`(SELECT jsonb_path_query_first(d.r, p::jsonpath) #>> '{}' FROM unnest($%d::text[]) WITH ORDINALITY b (p, nth)
			WHERE jsonb_path_exists(d.r, p::jsonpath) ORDER BY nth LIMIT 1)`, len(args))
		if !l.Exact {
			text = `lower(` + text + `)`
		}
		down := ""
		if l.Down {
			down = " DESC"
		}
		order = `nullif(` + text + `, '') COLLATE "C"` + down + ` NULLS LAST, ` + s.key
	}
	n := len(args)
	return fmt.Sprintf(`%s ORDER BY %s OFFSET $%d LIMIT nullif($%d::bigint, 0)`, sql, order, n+1, n+2), append(args, l.Offset, l.Limit)
}

// tally counts what listing does not cut.
func (s source) tally(l models.Listing, args ...any) (string, []any) {
	l.By = nil
	sql, args := s.selected(l, args)
	return `SELECT count(*)` + sql, args
}

func people(ctx context.Context, q postgres.Querier, sql string, args ...any) ([]models.Person, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read people: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p models.Person, err error) {
		var told *time.Time
		p.Member, err = scanMember(row, &p.Told, &p.UserName, &p.Email, &p.ExternalID, &p.Attributes, &p.Revision, &told)
		p.ToldAt = zero(told)
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("read people: %w", err)
	}
	return found, withGroups(ctx, q, found)
}

// withGroups tells the people, who are of one tenant, their groups.
func withGroups(ctx context.Context, q postgres.Querier, people []models.Person) error {
	if len(people) == 0 {
		return nil
	}
	at, ids := map[models.MemberID]int{}, make([]string, len(people))
	for i, p := range people {
		at[p.ID], ids[i] = i, p.ID.String()
	}
	rows, err := q.Query(ctx, `
		SELECT i.member_id, g.id, g.name FROM group_members i JOIN groups g ON g.tenant_id = i.tenant_id AND g.id = i.group_id
		WHERE i.tenant_id = $1 AND i.member_id = ANY($2) ORDER BY g.id`, people[0].Tenant, ids)
	if err != nil {
		return fmt.Errorf("read groups of people: %w", err)
	}
	var m models.MemberID
	var g models.Group
	_, err = pgx.ForEachRow(rows, []any{&m, &g.ID, &g.Name}, func() error {
		p := &people[at[m]]
		p.Groups = append(p.Groups, g)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read groups of people: %w", err)
	}
	return nil
}

// ProvedDomainOf reports whether the address, in lower case, is of a domain that the
// tenant has proved to be its own.
func (r *Repository) ProvedDomainOf(ctx context.Context, tenant id.TenantID, address string) (bool, error) {
	_, domain, _ := strings.Cut(address, "@")
	var proved bool
	err := r.of(tenant).QueryRow(ctx, `SELECT EXISTS (SELECT FROM domains WHERE tenant_id = $1 AND domain = $2 AND verified_at IS NOT NULL)`,
		tenant, domain).Scan(&proved)
	if err != nil {
		return false, fmt.Errorf("look for domain: %w", err)
	}
	return proved, nil
}

// AddPerson stores a new member with what a directory says of him, and his event, if
// allowed says so under the tenant's lock. It returns tenantapi.ErrAlreadyMember if he, or
// somebody with his user name, is one.
func (r *Repository) AddPerson(ctx context.Context, c models.Caller, p models.Person, allowed func(*models.Scene) error) error {
	return r.withScene(ctx, c, func(tx pgx.Tx, s *models.Scene) error {
		if err := allowed(s); err != nil {
			return err
		}
		if err := insertMember(ctx, tx, p.Member); err != nil {
			if errors.Is(err, errMember) {
				return tenantapi.ErrAlreadyMember.Because(err)
			}
			return err
		}
		if p.Suspended() {
			if err := updateMember(ctx, tx, p.Member); err != nil {
				return err
			}
		}
		if err := r.tell(ctx, tx, p); err != nil {
			return err
		}
		return events.Emit(ctx, tx, MemberEvent(ctx, tenantapi.MemberAdded, p.Member, c.User))
	})
}

// ChangePerson has change decide about a user under the tenant's lock, and stores what
// became of the scene, whose target he is, and of what a directory says of him. The person
// is nil if the tenant has no such user; change has to refuse that.
func (r *Repository) ChangePerson(ctx context.Context, c models.Caller, ref models.MemberID, change func(*models.Scene, *models.Person) error) (p models.Person, err error) {
	err = postgres.InTenant(ctx, r.pool, c.Tenant, func(tx pgx.Tx) error {
		t, err := lockTenant(ctx, tx, c.Tenant)
		if err != nil {
			return err
		}
		cast, err := members(ctx, tx, `SELECT `+memberColumns+` FROM members m WHERE m.tenant_id = $1 AND (m.role = 'owner' OR m.id = $2) ORDER BY m.id`, c.Tenant, ref)
		if err != nil {
			return err
		}
		s, _ := models.NewScene(t, cast, c, models.About{Member: ref})
		var found []models.Person
		err = r.everywhere(ctx, tx, c.Tenant, func() (err error) {
			found, err = people(ctx, tx, `SELECT `+personColumns+peopleTables+peopleWhere, c.Tenant, &ref, nil, nil, nil)
			return err
		})
		if err != nil {
			return err
		}
		var who *models.Person
		var before int64
		if len(found) > 0 {
			who, before = &found[0], found[0].Revision
		}
		if err := change(s, who); err != nil {
			return err
		}
		var evs []events.Event
		for _, m := range s.ChangedMembers() {
			evs = append(evs, MemberEvent(ctx, tenantapi.MemberUpdated, m, c.User))
		}
		if s.Removed {
			evs = append(evs, MemberEvent(ctx, tenantapi.MemberRemoved, *s.Target, c.User))
		}
		if err := r.storeScene(ctx, tx, s, t, c.User, evs); err != nil {
			return err
		}
		p = *who
		p.Member = *s.Target
		if s.Removed || who.Revision == before {
			return nil
		}
		return r.tell(ctx, tx, p)
	})
	return p, err
}

// tell stores what a directory says of a person.
func (r *Repository) tell(ctx context.Context, tx pgx.Tx, p models.Person) error {
	var taken bool // by a member of whom no directory has said anything
	err := r.everywhere(ctx, tx, p.Tenant, func() error {
		return tx.QueryRow(ctx, `
			SELECT EXISTS (SELECT FROM members m JOIN accounts a ON a.user_id = m.user_id
				LEFT JOIN scim_users s ON s.tenant_id = m.tenant_id AND s.member_id = m.id
				WHERE m.tenant_id = $1 AND m.id <> $2 AND m.kind = 'user' AND s.member_id IS NULL AND a.email = $3)`,
			p.Tenant, p.ID, models.NameKey(p.UserName)).Scan(&taken)
	})
	if err != nil {
		return fmt.Errorf("look for user name: %w", err)
	}
	if taken {
		return tenantapi.ErrAlreadyMember
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO scim_users (tenant_id, member_id, user_name, name_key, email_key, external_id, attributes, version, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT ON CONSTRAINT scim_users_pkey DO UPDATE SET user_name = excluded.user_name, name_key = excluded.name_key,
			email_key = excluded.email_key, external_id = excluded.external_id, attributes = excluded.attributes, version = excluded.version,
			updated_at = excluded.updated_at`,
		p.Tenant, p.ID, p.UserName, models.NameKey(p.UserName), p.Email, p.ExternalID, p.Attributes, p.Revision, p.ToldAt)
	if postgres.IsUnique(err, "scim_users_name_key") {
		return tenantapi.ErrAlreadyMember.Because(err)
	}
	if err != nil {
		return fmt.Errorf("store what a directory says: %w", err)
	}
	return nil
}

// FindGroups returns those of the tenant's groups that l selects; only the one with the
// id, with the name, and with the external id unless they are nil. The second value is how
// many there are without offset and limit.
func (r *Repository) FindGroups(ctx context.Context, tenant id.TenantID, ref *models.GroupID, nameKey, externalID *string, l models.Listing) ([]models.Group, int, error) {
	from := source{` FROM groups g`, ` WHERE g.tenant_id = $1 AND ($2::uuid IS NULL OR g.id = $2) AND ($3::text IS NULL OR g.name_key = $3)
		AND ($4::text IS NULL OR g.external_id = $4)`, groupDocument, "g.id"}
	q := postgres.ForEveryTenant(r.pool) // members' accounts lie in tenants of their own
	sql, args := from.listing(l, tenant, ref, nameKey, externalID)
	found, err := groups(ctx, q, `SELECT `+groupColumns+sql, args...)
	if err != nil {
		return nil, 0, err
	}
	total := len(found)
	if l.Limit > 0 {
		sql, args = from.tally(l, tenant, ref, nameKey, externalID)
		if err := q.QueryRow(ctx, sql, args...).Scan(&total); err != nil {
			return nil, 0, fmt.Errorf("count groups: %w", err)
		}
	}
	return found, total, nil
}

const matesOf = `
	SELECT i.group_id, m.id, coalesce(s.user_name, nullif(a.email, ''), m.user_id::text) FROM group_members i JOIN members m ON m.tenant_id = i.tenant_id AND m.id = i.member_id
	LEFT JOIN scim_users s ON s.tenant_id = m.tenant_id AND s.member_id = m.id LEFT JOIN accounts a ON a.user_id = m.user_id
	WHERE i.tenant_id = $1 AND i.group_id = ANY($2) AND m.kind = 'user' ORDER BY m.id`

// Mates returns the users in the groups.
func (r *Repository) Mates(ctx context.Context, tenant id.TenantID, of []models.Group) (map[models.GroupID][]models.Mate, error) {
	return mates(ctx, postgres.ForEveryTenant(r.pool), tenant, of)
}

func mates(ctx context.Context, q postgres.Querier, tenant id.TenantID, of []models.Group) (map[models.GroupID][]models.Mate, error) {
	ids := make([]string, len(of))
	for i, g := range of {
		ids[i] = g.ID.String()
	}
	rows, err := q.Query(ctx, matesOf, tenant, ids)
	if err != nil {
		return nil, fmt.Errorf("read members of groups: %w", err)
	}
	out := map[models.GroupID][]models.Mate{}
	var g models.GroupID
	var m models.Mate
	_, err = pgx.ForEachRow(rows, []any{&g, &m.ID, &m.Name}, func() error {
		out[g] = append(out[g], m)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read members of groups: %w", err)
	}
	return out, nil
}

// ChangeDirectoryGroup is ChangeGroup for a directory, which sees the users in the group.
func (r *Repository) ChangeDirectoryGroup(ctx context.Context, c models.Caller, ref models.GroupID,
	change func(*models.Scene, *models.Group, []models.Mate) (models.GroupEdit, error)) (models.Group, error) {
	return r.changeGroup(ctx, c, ref, func(tx pgx.Tx, s *models.Scene, g *models.Group) (models.GroupEdit, error) {
		if g == nil {
			return change(s, nil, nil)
		}
		var in map[models.GroupID][]models.Mate
		err := r.everywhere(ctx, tx, c.Tenant, func() (err error) {
			in, err = mates(ctx, tx, c.Tenant, []models.Group{*g})
			return err
		})
		if err != nil {
			return models.GroupEdit{}, err
		}
		return change(s, g, in[g.ID])
	})
}
