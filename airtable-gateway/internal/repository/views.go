package repository

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/id"
)

const viewColumns = `v.id, v.table_id, v.position, v.name, v.type, v.description, v.filter,
	v.sort_fields, v.sort_desc, v.field_order, v.hidden_fields, v.version`

func scanView(row pgx.CollectableRow) (models.View, error) {
	var v models.View
	var fields []string
	var desc []bool
	err := row.Scan(&v.ID, &v.Table, &v.Position, &v.Name, &v.Type, &v.Description, &v.Filter,
		&fields, &desc, &v.Order, &v.Hidden, &v.Version)
	for i, f := range fields {
		v.Sort = append(v.Sort, models.SortBy{Field: f, Desc: desc[i]})
	}
	return v, err
}

func sortColumns(sort []models.SortBy) (fields []string, desc []bool) {
	fields, desc = make([]string, len(sort)), make([]bool, len(sort))
	for i, s := range sort {
		fields[i], desc[i] = s.Field, s.Desc
	}
	return fields, desc
}

// orEmpty makes an empty list of none, which is NULL otherwise.
func orEmpty(list []models.FieldID) []models.FieldID {
	if list == nil {
		return []models.FieldID{}
	}
	return list
}

// InsertView stores a view. It returns ErrDuplicateID if the tenant has it; that the
// table has no other one of the name is the caller's to check, under the base's lock.
func (t *Tx) InsertView(ctx context.Context, tenant id.TenantID, v models.View) error {
	fields, desc := sortColumns(v.Sort)
	_, err := t.tx.Exec(ctx, `
		INSERT INTO views (tenant_id, id, table_id, position, name, name_key, type, description, filter,
			sort_fields, sort_desc, field_order, hidden_fields, version)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		tenant, v.ID, v.Table, v.Position, v.Name, models.NameKey(v.Name), v.Type, v.Description, v.Filter,
		fields, desc, orEmpty(v.Order), orEmpty(v.Hidden), v.Version)
	return insertError("view", "views_pkey", err)
}

// UpdateView stores what may change about a view.
func (t *Tx) UpdateView(ctx context.Context, tenant id.TenantID, v models.View) error {
	fields, desc := sortColumns(v.Sort)
	return t.one(ctx, "update view", `
		UPDATE views SET name = $3, name_key = $4, description = $5, filter = $6, sort_fields = $7, sort_desc = $8,
			field_order = $9, hidden_fields = $10, version = $11
		WHERE tenant_id = $1 AND id = $2`,
		tenant, v.ID, v.Name, models.NameKey(v.Name), v.Description, v.Filter, fields, desc,
		orEmpty(v.Order), orEmpty(v.Hidden), v.Version)
}

// DeleteView removes a view.
func (t *Tx) DeleteView(ctx context.Context, tenant id.TenantID, view models.ViewID) error {
	return t.one(ctx, "delete view", `DELETE FROM views WHERE tenant_id = $1 AND id = $2`, tenant, view)
}
