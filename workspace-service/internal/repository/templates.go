package repository

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
)

// Templates keeps the templates of tenants. It is a part of the service's database.
type Templates struct{ pool *pgxpool.Pool }

// NewTemplates returns the templates in the pool's database.
func NewTemplates(pool *pgxpool.Pool) *Templates { return &Templates{pool} }

func (r *Templates) of(tenant id.TenantID) postgres.Querier {
	return postgres.ForTenant(r.pool, tenant)
}

const templateColumns = `SELECT t.tenant_id, t.id, t.base_id, t.name, t.description, t.category, t.tags, t.icon, t.skip_records, t.edition, t.content_id,
	t.next_id, t.error_code, t.error_text, t.records, t.tables, t.published_at, t.created_by, t.version, t.created_at, t.updated_at FROM templates t `

func scanTemplate(row pgx.CollectableRow) (t models.Template, err error) {
	var published *time.Time
	err = row.Scan(&t.Tenant, &t.ID, &t.Base, &t.Name, &t.Description, &t.Category, &t.Tags, &t.Icon, &t.SkipRecords, &t.Edition, &t.Content,
		&t.Next, &t.Fault.Code, &t.Fault.Text, &t.Records, &t.Tables, &published, &t.CreatedBy, &t.Version, &t.CreatedAt, &t.UpdatedAt)
	t.PublishedAt = zero(published)
	return t, err
}

// CreateTemplate stores a template that is being published, with the event. It returns
// workspaceapi.ErrTooManyHere if the tenant has most already, and errs.ErrNotFound for a
// tenant that was deleted.
func (r *Templates) CreateTemplate(ctx context.Context, t models.Template, most int, made events.Event, enqueue Enqueue) error {
	return postgres.InTenant(ctx, r.pool, t.Tenant, func(tx pgx.Tx) error {
		if err := lockTenant(ctx, tx, t.Tenant); err != nil {
			return err
		}
		stored, err := exec(ctx, tx, "insert template", `
			INSERT INTO templates (tenant_id, id, base_id, name, description, category, tags, icon, skip_records, next_id, created_by, version, created_at, updated_at)
			SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13 WHERE (SELECT count(*) FROM templates WHERE tenant_id = $1) < $14`,
			t.Tenant, t.ID, t.Base, t.Name, t.Description, t.Category, t.Tags, t.Icon, t.SkipRecords, t.Next, t.CreatedBy, t.Version, t.CreatedAt, most)
		if err == nil && stored == 0 {
			err = workspaceapi.ErrTooManyHere
		}
		if err != nil {
			return err
		}
		if err := events.Emit(ctx, tx, made); err != nil {
			return err
		}
		return enqueue(ctx, tx)
	})
}

// Template returns a template of the tenant, or errs.ErrNotFound.
func (r *Templates) Template(ctx context.Context, tenant id.TenantID, key models.TemplateID) (models.Template, error) {
	return one(ctx, r.of(tenant), "read template", scanTemplate, templateColumns+`WHERE t.tenant_id = $1 AND t.id = $2`, tenant, key)
}

// TemplateFilter selects templates. Zero values select all.
type TemplateFilter struct{ Category, Tag, Text string }

// Templates returns up to limit of the tenant's templates, the newest first, from behind
// before on, if that is not zero.
func (r *Templates) Templates(ctx context.Context, tenant id.TenantID, f TemplateFilter, before models.TemplateID, limit int) ([]models.Template, error) {
	return query(ctx, r.of(tenant), "list templates", scanTemplate, templateColumns+`
		WHERE t.tenant_id = $1 AND ($2 = '' OR t.category = $2) AND ($3 = '' OR $3 = ANY(t.tags))
			AND ($4 = '' OR strpos(lower(concat_ws(E'\n', t.name, t.description, t.category, array_to_string(t.tags, E'\n'))), lower($4)) > 0)
			AND ($5::uuid IS NULL OR t.id < $5)
		ORDER BY t.id DESC LIMIT $6`, tenant, f.Category, f.Tag, f.Text, before, limit)
}

// ChangeTemplate applies change to the template under its row lock and stores the result
// with the events that change returns, and what after does, or nothing. What has no new
// version then did not change. It returns errs.ErrNotFound if the tenant has no such
// template.
func (r *Templates) ChangeTemplate(ctx context.Context, tenant id.TenantID, key models.TemplateID,
	change func(*models.Template) ([]events.Event, Enqueue, error)) (t models.Template, err error) {
	err = postgres.InTenant(ctx, r.pool, tenant, func(tx pgx.Tx) error {
		if t, err = lockTemplate(ctx, tx, tenant, key, `FOR UPDATE`); err != nil {
			return err
		}
		before := t.Version
		evs, after, err := change(&t)
		if err != nil || t.Version == before {
			return err
		}
		_, err = exec(ctx, tx, "update template", `
			UPDATE templates SET name = $3, description = $4, category = $5, tags = $6, icon = $7, edition = $8, content_id = $9, next_id = $10,
				error_code = $11, error_text = $12, records = $13, tables = $14, published_at = $15, version = $16, updated_at = $17
			WHERE tenant_id = $1 AND id = $2`,
			tenant, key, t.Name, t.Description, t.Category, t.Tags, t.Icon, t.Edition, t.Content, t.Next,
			t.Fault.Code, t.Fault.Text, t.Records, t.Tables, null(t.PublishedAt), t.Version, t.UpdatedAt)
		if err != nil {
			return err
		}
		if err := events.Emit(ctx, tx, evs...); err != nil || after == nil {
			return err
		}
		return after(ctx, tx)
	})
	return t, err
}

func lockTemplate(ctx context.Context, tx pgx.Tx, tenant id.TenantID, key models.TemplateID, lock string) (models.Template, error) {
	return one(ctx, tx, "lock template", scanTemplate, templateColumns+`WHERE t.tenant_id = $1 AND t.id = $2 `+lock, tenant, key)
}

// DeleteTemplate forgets a template, with the event, and does what after does with what it
// held. It returns errs.ErrNotFound if the tenant has no such template.
func (r *Templates) DeleteTemplate(ctx context.Context, tenant id.TenantID, key models.TemplateID,
	gone func(models.Template) events.Event, after func(context.Context, pgx.Tx, models.Template) error) error {
	return postgres.InTenant(ctx, r.pool, tenant, func(tx pgx.Tx) error {
		t, err := lockTemplate(ctx, tx, tenant, key, `FOR UPDATE`)
		if err == nil {
			_, err = exec(ctx, tx, "delete template", `DELETE FROM templates WHERE tenant_id = $1 AND id = $2`, tenant, key)
		}
		if err != nil {
			return err
		}
		if err := events.Emit(ctx, tx, gone(t)); err != nil {
			return err
		}
		return after(ctx, tx, t)
	})
}

// UseTemplate stores that a base is to be made of what the template holds now, which stays
// until that has ended. It returns errs.ErrNotFound if there is no such template, and
// workspaceapi.ErrTemplateNotReady if it holds nothing yet.
func (r *Templates) UseTemplate(ctx context.Context, n models.Restoration, key models.TemplateID, enqueue Enqueue) (models.Restoration, error) {
	err := postgres.InTenant(ctx, r.pool, n.Tenant, func(tx pgx.Tx) error {
		t, err := lockTemplate(ctx, tx, n.Tenant, key, `FOR SHARE`)
		if err == nil && t.Content.IsZero() {
			err = workspaceapi.ErrTemplateNotReady
		}
		if err != nil {
			return err
		}
		n.Snapshot = t.Content
		if err := insertRestoration(ctx, tx, n); err != nil {
			return err
		}
		return enqueue(ctx, tx)
	})
	return n, err
}

// InUse reports whether something is being made of the content.
func (r *Templates) InUse(ctx context.Context, tenant id.TenantID, content models.SnapshotID) (bool, error) {
	return one(ctx, r.of(tenant), "look for use", pgx.RowTo[bool],
		`SELECT EXISTS (SELECT FROM restores WHERE tenant_id = $1 AND snapshot_id = $2 AND status = 'running')`, tenant, content)
}

// TemplateChanged records what became of a template, for all members of the tenant.
func (r *Repository) TemplateChanged(ctx context.Context, tx pgx.Tx, e events.Event, d workspaceapi.TemplateChanged) error {
	return r.record(ctx, tx, e, models.Activity{
		Kind: kindOf(e), Audience: models.Members, Actor: d.ActorID, Subject: d.TemplateID, Name: d.Name, Changed: d.Changed,
	})
}

// TemplateUsed records that a base was made of a template, if it is in a workspace.
func (r *Repository) TemplateUsed(ctx context.Context, tx pgx.Tx, e events.Event, d workspaceapi.TemplateUsage) error {
	return r.recordOfBase(ctx, tx, e, models.Activity{Kind: kindOf(e), Audience: models.Readers, Actor: d.ActorID, Base: d.BaseID, Subject: d.TemplateID}, e.ID)
}
