package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

const commentColumns = `c.id, c.table_id, c.record_id, c.number, c.author_id, c.text, coalesce(c.parent_id, ''), c.version, c.created_at, c.updated_at`

func scanComment(row pgx.CollectableRow) (models.Comment, error) {
	var c models.Comment
	var updated *time.Time
	err := row.Scan(&c.ID, &c.Table, &c.Record, &c.Number, &c.Author, &c.Text, &c.Parent, &c.Version, &c.CreatedAt, &updated)
	if updated != nil {
		c.UpdatedAt = *updated
	}
	return c, err
}

// Comments returns up to limit comments of a record, the newest first, from below
// the number before on; 0 is no bound.
func (r Reader) Comments(ctx context.Context, tenant id.TenantID, table models.TableID, record models.RecordID, before int64, limit int) ([]models.Comment, error) {
	rows, err := r.of(tenant).Query(ctx, `
		SELECT `+commentColumns+` FROM comments c
		WHERE c.tenant_id = $1 AND c.table_id = $2 AND c.record_id = $3 AND ($4 = 0 OR c.number < $4)
		ORDER BY c.number DESC LIMIT $5`, tenant, table, record, before, limit)
	if err != nil {
		return nil, fmt.Errorf("list comments: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanComment)
	if err != nil {
		return nil, fmt.Errorf("list comments: %w", err)
	}
	return list, nil
}

// CountComments returns how many comments the records have that have any.
func (r Reader) CountComments(ctx context.Context, tenant id.TenantID, table models.TableID, records []models.RecordID) (map[models.RecordID]int, error) {
	rows, err := r.of(tenant).Query(ctx, `
		SELECT record_id, count(*) FROM comments
		WHERE tenant_id = $1 AND table_id = $2 AND record_id = ANY($3) GROUP BY record_id`, tenant, table, records)
	if err != nil {
		return nil, fmt.Errorf("count comments: %w", err)
	}
	out := map[models.RecordID]int{}
	var record models.RecordID
	var n int
	_, err = pgx.ForEachRow(rows, []any{&record, &n}, func() error {
		out[record] = n
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count comments: %w", err)
	}
	return out, nil
}

// LockComment returns a comment of the record, and keeps others from changing it; or
// errs.ErrNotFound.
func (t *Tx) LockComment(ctx context.Context, tenant id.TenantID, table models.TableID, record models.RecordID, comment models.CommentID) (models.Comment, error) {
	rows, err := t.tx.Query(ctx, `
		SELECT `+commentColumns+` FROM comments c
		WHERE c.tenant_id = $1 AND c.table_id = $2 AND c.record_id = $3 AND c.id = $4 FOR UPDATE`, tenant, table, record, comment)
	if err != nil {
		return models.Comment{}, fmt.Errorf("lock comment: %w", err)
	}
	c, err := pgx.CollectExactlyOneRow(rows, scanComment)
	if err != nil {
		return models.Comment{}, fmt.Errorf("lock comment: %w", postgres.NotFound(err))
	}
	return c, nil
}

// InsertComment stores a comment and gives it its number. It returns errs.ErrNotFound
// if the record, or the comment that it answers, has gone.
func (t *Tx) InsertComment(ctx context.Context, tenant id.TenantID, c *models.Comment) error {
	err := t.tx.QueryRow(ctx, `
		INSERT INTO comments (tenant_id, id, table_id, record_id, author_id, text, parent_id, version, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, nullif($7, ''), $8, $9) RETURNING number`,
		tenant, c.ID, c.Table, c.Record, c.Author, c.Text, c.Parent, c.Version, c.CreatedAt).Scan(&c.Number)
	if postgres.IsForeignKey(err, "comments_record_fkey") || postgres.IsForeignKey(err, "comments_parent_fkey") {
		return fmt.Errorf("insert comment: %w", errs.ErrNotFound)
	}
	return insertError("comment", "comments_pkey", err)
}

// UpdateComment stores the text, version and time of change of a locked comment.
func (t *Tx) UpdateComment(ctx context.Context, tenant id.TenantID, c models.Comment) error {
	return t.one(ctx, "update comment", `
		UPDATE comments SET text = $3, version = $4, updated_at = $5 WHERE tenant_id = $1 AND id = $2`,
		tenant, c.ID, c.Text, c.Version, c.UpdatedAt)
}

// DeleteComment removes a comment; what answered it stays, and answers nothing then.
// What Airtable does with answers is unconfirmed.
func (t *Tx) DeleteComment(ctx context.Context, tenant id.TenantID, c models.Comment) error {
	return t.one(ctx, "delete comment", `DELETE FROM comments WHERE tenant_id = $1 AND id = $2`, tenant, c.ID)
}
