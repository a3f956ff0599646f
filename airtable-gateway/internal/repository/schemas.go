package repository

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// ErrDuplicateID says that a chosen id of a base, table, field, view or record is
// taken in this tenant.
var ErrDuplicateID = errors.New("the id is taken")

// Bases returns up to limit bases of the tenant by ascending id, from behind
// after on. Their tables are not loaded.
func (r Reader) Bases(ctx context.Context, tenant id.TenantID, after models.BaseID, limit int) ([]models.Base, error) {
	rows, err := r.of(tenant).Query(ctx, `
		SELECT id, name FROM bases
		WHERE tenant_id = $1 AND id COLLATE "C" > $2 ORDER BY id COLLATE "C" LIMIT $3`,
		tenant, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list bases: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (models.Base, error) {
		var b models.Base
		err := row.Scan(&b.ID, &b.Name)
		return b, err
	})
}

// SchemaVersion returns the version of a base's schema, or errs.ErrNotFound.
func (r Reader) SchemaVersion(ctx context.Context, tenant id.TenantID, base models.BaseID) (int64, error) {
	var version int64
	err := r.of(tenant).QueryRow(ctx, `SELECT schema_version FROM bases WHERE tenant_id = $1 AND id = $2`, tenant, base).Scan(&version)
	if err != nil {
		return 0, fmt.Errorf("read schema version: %w", postgres.NotFound(err))
	}
	return version, nil
}

// Schema returns a base with its tables, fields and views, or errs.ErrNotFound.
// The version is read first: what follows is at least as new.
func (r Reader) Schema(ctx context.Context, tenant id.TenantID, base models.BaseID) (*models.Base, error) {
	batch := &pgx.Batch{}
	batch.Queue(`SELECT name, workspace_id, schema_version FROM bases WHERE tenant_id = $1 AND id = $2`, tenant, base)
	batch.Queue(`
		SELECT id, name, description, primary_field_id FROM tables
		WHERE tenant_id = $1 AND base_id = $2 ORDER BY position, id`, tenant, base)
	batch.Queue(`
		SELECT f.id, f.table_id, f.name, f.description, f.type, f.options FROM fields f
		JOIN tables t ON t.tenant_id = f.tenant_id AND t.id = f.table_id
		WHERE f.tenant_id = $1 AND t.tenant_id = $1 AND t.base_id = $2 ORDER BY f.position, f.id`, tenant, base)
	batch.Queue(`
		SELECT `+viewColumns+` FROM views v
		JOIN tables t ON t.tenant_id = v.tenant_id AND t.id = v.table_id
		WHERE v.tenant_id = $1 AND t.tenant_id = $1 AND t.base_id = $2 ORDER BY v.position, v.id`, tenant, base)
	results := r.of(tenant).SendBatch(ctx, batch)
	b, err := readSchema(results, base)
	if closeErr := results.Close(); err == nil && closeErr != nil {
		err = closeErr
	}
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	b.Index()
	b.Bind()
	return b, nil
}

func readSchema(results pgx.BatchResults, base models.BaseID) (*models.Base, error) {
	b := &models.Base{ID: base}
	if err := results.QueryRow().Scan(&b.Name, &b.Workspace, &b.Version); err != nil {
		return nil, postgres.NotFound(err)
	}
	tables := map[models.TableID]*models.Table{}
	rows, err := results.Query()
	if err != nil {
		return nil, err
	}
	b.Tables, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*models.Table, error) {
		t := &models.Table{}
		err := row.Scan(&t.ID, &t.Name, &t.Description, &t.Primary)
		tables[t.ID] = t
		return t, err
	})
	if err != nil {
		return nil, err
	}
	if rows, err = results.Query(); err != nil {
		return nil, err
	}
	fields, err := pgx.CollectRows(rows, scanField)
	if err != nil {
		return nil, err
	}
	for _, f := range fields {
		// A table made since the tables were read is left to the next version.
		if t := tables[f.Table]; t != nil {
			t.Fields = append(t.Fields, f)
		}
	}
	if rows, err = results.Query(); err != nil {
		return nil, err
	}
	views, err := pgx.CollectRows(rows, scanView)
	for _, v := range views {
		if t := tables[v.Table]; t != nil {
			t.Views = append(t.Views, v)
		}
	}
	return b, err
}

func scanField(row pgx.CollectableRow) (*models.Field, error) {
	f := &models.Field{}
	var raw []byte
	if err := row.Scan(&f.ID, &f.Table, &f.Name, &f.Description, &f.Type, &raw); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var options map[string]any
	if err := dec.Decode(&options); err != nil {
		return nil, fmt.Errorf("options of field %s: %w", f.ID, err)
	}
	var err error
	if f.Options, err = models.ParseOptions(f.Type, f.Name, options); err != nil {
		return nil, fmt.Errorf("options of field %s: %w", f.ID, err)
	}
	return f, nil
}

// LockBase makes the transaction the only one that changes the base's schema,
// and returns the schema as it then is, or errs.ErrNotFound.
func (t *Tx) LockBase(ctx context.Context, tenant id.TenantID, base models.BaseID) (*models.Base, error) {
	var locked models.BaseID
	err := t.tx.QueryRow(ctx, `SELECT id FROM bases WHERE tenant_id = $1 AND id = $2 FOR UPDATE`, tenant, base).Scan(&locked)
	if err != nil {
		return nil, fmt.Errorf("lock base: %w", postgres.NotFound(err))
	}
	return t.Schema(ctx, tenant, base)
}

// InsertBase stores an empty base. It returns ErrDuplicateID if the tenant has it.
func (t *Tx) InsertBase(ctx context.Context, tenant id.TenantID, b *models.Base, at time.Time, by id.UserID) error {
	_, err := t.tx.Exec(ctx, `
		INSERT INTO bases (tenant_id, id, name, workspace_id, created_at, created_by) VALUES ($1, $2, $3, $4, $5, $6)`,
		tenant, b.ID, b.Name, b.Workspace, at, by)
	return insertError("base", "bases_pkey", err)
}

// InsertTable stores a table with its fields and views, as the position-th of the
// base. Fields must be given in their order.
func (t *Tx) InsertTable(ctx context.Context, tenant id.TenantID, base models.BaseID, position int, table *models.Table) error {
	_, err := t.tx.Exec(ctx, `
		INSERT INTO tables (tenant_id, id, base_id, position, name, name_key, description, primary_field_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		tenant, table.ID, base, position, table.Name, models.NameKey(table.Name), table.Description, table.Primary)
	if err := insertError("table", "tables_pkey", err); err != nil {
		return err
	}
	if _, err := t.tx.Exec(ctx, `INSERT INTO table_counters (tenant_id, table_id) VALUES ($1, $2)`, tenant, table.ID); err != nil {
		return fmt.Errorf("insert counter: %w", err)
	}
	for i, f := range table.Fields {
		if err := t.InsertField(ctx, tenant, i, f); err != nil {
			return err
		}
	}
	for _, v := range table.Views {
		if err := t.InsertView(ctx, tenant, v); err != nil {
			return err
		}
	}
	return nil
}

// InsertField stores a field as the position-th of its table.
func (t *Tx) InsertField(ctx context.Context, tenant id.TenantID, position int, f *models.Field) error {
	_, err := t.tx.Exec(ctx, `
		INSERT INTO fields (tenant_id, id, table_id, position, name, name_key, description, type, options)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		tenant, f.ID, f.Table, position, f.Name, models.NameKey(f.Name), f.Description, f.Type, models.Marshal(f.WireOptions()))
	return insertError("field", "fields_pkey", err)
}

// UpdateTable stores the table's name and description.
func (t *Tx) UpdateTable(ctx context.Context, tenant id.TenantID, table *models.Table) error {
	return t.one(ctx, "update table", `
		UPDATE tables SET name = $3, name_key = $4, description = $5 WHERE tenant_id = $1 AND id = $2`,
		tenant, table.ID, table.Name, models.NameKey(table.Name), table.Description)
}

// UpdateField stores the field's name, description and options.
func (t *Tx) UpdateField(ctx context.Context, tenant id.TenantID, f *models.Field) error {
	return t.one(ctx, "update field", `
		UPDATE fields SET name = $3, name_key = $4, description = $5, options = $6 WHERE tenant_id = $1 AND id = $2`,
		tenant, f.ID, f.Name, models.NameKey(f.Name), f.Description, models.Marshal(f.WireOptions()))
}

// BumpSchema gives the base's schema a new version: caches of it are stale then.
func (t *Tx) BumpSchema(ctx context.Context, tenant id.TenantID, base models.BaseID) error {
	return t.one(ctx, "bump schema version", `
		UPDATE bases SET schema_version = schema_version + 1 WHERE tenant_id = $1 AND id = $2`, tenant, base)
}

func (t *Tx) one(ctx context.Context, doing, sql string, args ...any) error {
	tag, err := t.tx.Exec(ctx, sql, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if tag.RowsAffected() != 1 {
		return fmt.Errorf("%s: %w", doing, errs.ErrNotFound)
	}
	return nil
}

func insertError(what, key string, err error) error {
	if postgres.IsUnique(err, key) {
		return fmt.Errorf("insert %s: %w", what, ErrDuplicateID)
	}
	if err != nil {
		return fmt.Errorf("insert %s: %w", what, err)
	}
	return nil
}
