package repository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// Enqueue adds a job in a transaction; it exists if that commits.
type Enqueue func(ctx context.Context, tx pgx.Tx, args river.JobArgs) error

// Files keeps what is known of files: which bytes are stored, their thumbnails, and
// what refers to them.
type Files struct{ pool *pgxpool.Pool }

// NewFiles returns the files in pool's database.
func NewFiles(pool *pgxpool.Pool) *Files { return &Files{pool} }

// UseBlob notes that the bytes of that sum are about to be stored or referred to.
// For a while from at on the collector leaves them alone.
func (r *Files) UseBlob(ctx context.Context, tenant id.TenantID, sum string, size int64, at time.Time) error {
	_, err := postgres.ForTenant(r.pool, tenant).Exec(ctx, `
		INSERT INTO blobs (tenant_id, sum, size, used_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT ON CONSTRAINT blobs_pkey DO UPDATE SET used_at = greatest(blobs.used_at, excluded.used_at)`,
		tenant, sum, size, at)
	if err != nil {
		return fmt.Errorf("use blob: %w", err)
	}
	return nil
}

// HasBlob reports whether the tenant has the bytes of that sum, or is about to.
func (r *Files) HasBlob(ctx context.Context, tenant id.TenantID, sum string) (has bool, err error) {
	err = postgres.ForTenant(r.pool, tenant).QueryRow(ctx, `SELECT EXISTS (SELECT FROM blobs WHERE tenant_id = $1 AND sum = $2)`, tenant, sum).Scan(&has)
	if err != nil {
		return false, fmt.Errorf("look for blob: %w", err)
	}
	return has, nil
}

// Blob names the bytes of a tenant.
type Blob struct {
	Tenant id.TenantID
	Sum    string
	Size   int64
}

// UnusedBlobs returns up to limit blobs that were not used since before and that
// nothing refers to.
func (r *Files) UnusedBlobs(ctx context.Context, before time.Time, limit int) ([]Blob, error) {
	rows, err := postgres.ForEveryTenant(r.pool).Query(ctx, `
		SELECT b.tenant_id, b.sum, b.size FROM blobs b
		WHERE b.used_at < $1
		  AND NOT EXISTS (SELECT FROM attachments a WHERE a.tenant_id = b.tenant_id AND a.sum = b.sum)
		  AND NOT EXISTS (SELECT FROM stable_files f WHERE f.tenant_id = b.tenant_id AND f.sum = b.sum)
		  AND NOT EXISTS (SELECT FROM thumbnails t WHERE t.tenant_id = b.tenant_id AND t.thumb_sum = b.sum)
		  AND NOT EXISTS (SELECT FROM snapshots s WHERE s.tenant_id = b.tenant_id AND s.sum = b.sum)
		  AND NOT EXISTS (SELECT FROM snapshot_files s WHERE s.tenant_id = b.tenant_id AND s.sum = b.sum)
		ORDER BY b.used_at LIMIT $2`, before, limit)
	if err != nil {
		return nil, fmt.Errorf("look for unused blobs: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Blob])
	if err != nil {
		return nil, fmt.Errorf("look for unused blobs: %w", err)
	}
	return list, nil
}

// ForgetBlob has erase remove the bytes of b, unless they were used since before or
// something refers to them, and reports whether it did. Who stores the same bytes
// meanwhile waits in UseBlob until they are gone, and who refers to them fails: the
// row is locked from before the bytes go until after.
func (r *Files) ForgetBlob(ctx context.Context, b Blob, before time.Time, erase func() error) (bool, error) {
	gone := false
	err := postgres.InTenant(ctx, r.pool, b.Tenant, func(tx pgx.Tx) error {
		gone = false
		tag, err := tx.Exec(ctx, `DELETE FROM blobs WHERE tenant_id = $1 AND sum = $2 AND used_at < $3`, b.Tenant, b.Sum, before)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		gone = true
		return erase()
	})
	for _, constraint := range []string{"attachments_blob_fkey", "stable_files_blob_fkey", "thumbnails_thumb_fkey",
		"snapshots_blob_fkey", "snapshot_files_blob_fkey"} {
		if postgres.IsForeignKey(err, constraint) {
			return false, nil
		}
	}
	if err != nil {
		return false, fmt.Errorf("forget blob: %w", err)
	}
	return gone, nil
}

// BlobsOf lists at most limit of the tenant's blobs, by sum, after the given one.
func (r *Files) BlobsOf(ctx context.Context, tenant id.TenantID, after string, limit int) ([]Blob, error) {
	rows, err := postgres.ForTenant(r.pool, tenant).Query(ctx, `
		SELECT tenant_id, sum, size FROM blobs WHERE tenant_id = $1 AND sum > $2 ORDER BY sum LIMIT $3`, tenant, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list blobs: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Blob])
	if err != nil {
		return nil, fmt.Errorf("list blobs: %w", err)
	}
	return list, nil
}

// Thumbnail is a small picture.
type Thumbnail struct{ Sum, Type string }

// Thumbnail returns errs.ErrNotFound if it was not made yet.
func (r *Files) Thumbnail(ctx context.Context, tenant id.TenantID, sum, variant string) (Thumbnail, error) {
	var t Thumbnail
	err := postgres.ForTenant(r.pool, tenant).QueryRow(ctx, `
		SELECT thumb_sum, type FROM thumbnails WHERE tenant_id = $1 AND sum = $2 AND variant = $3`,
		tenant, sum, variant).Scan(&t.Sum, &t.Type)
	if err != nil {
		return t, fmt.Errorf("select thumbnail: %w", postgres.NotFound(err))
	}
	return t, nil
}

// PutThumbnail stores that t is the picture of sum.
func (r *Files) PutThumbnail(ctx context.Context, tenant id.TenantID, sum, variant string, t Thumbnail) error {
	_, err := postgres.ForTenant(r.pool, tenant).Exec(ctx, `
		INSERT INTO thumbnails (tenant_id, sum, variant, thumb_sum, type) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT ON CONSTRAINT thumbnails_pkey DO UPDATE SET thumb_sum = excluded.thumb_sum, type = excluded.type`,
		tenant, sum, variant, t.Sum, t.Type)
	if err != nil {
		return fmt.Errorf("put thumbnail: %w", err)
	}
	return nil
}

// LinkKey returns the sealed key of links, after it stored fresh if there was none.
func (r *Files) LinkKey(ctx context.Context, fresh []byte) ([]byte, error) {
	var key []byte
	err := postgres.InTx(ctx, r.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO link_keys (id, key) VALUES (1, $1) ON CONFLICT DO NOTHING`, fresh); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT key FROM link_keys WHERE id = 1`).Scan(&key)
	})
	if err != nil {
		return nil, fmt.Errorf("link key: %w", err)
	}
	return key, nil
}

// ResealLinkKey puts sealed in the place of old, if that is still there.
func (r *Files) ResealLinkKey(ctx context.Context, old, sealed []byte) error {
	if _, err := r.pool.Exec(ctx, `UPDATE link_keys SET key = $2 WHERE id = 1 AND key = $1`, old, sealed); err != nil {
		return fmt.Errorf("reseal link key: %w", err)
	}
	return nil
}

// CellFile is an attachment in a cell of the base store.
type CellFile struct {
	models.Attachment
	Base   models.BaseID
	Table  models.TableID
	Record models.RecordID
	Field  models.FieldID
	Source string // where it still has to be fetched
}

const cellFileColumns = `a.id, a.table_id, a.record_id, a.field_id, a.base_id, a.filename, a.type, a.size, a.width, a.height,
	coalesce(a.sum, ''), a.source_url`

func scanCellFile(row pgx.CollectableRow) (CellFile, error) {
	var f CellFile
	err := row.Scan(&f.ID, &f.Table, &f.Record, &f.Field, &f.Base, &f.Filename, &f.Type, &f.Size, &f.Width, &f.Height, &f.Sum, &f.Source)
	return f, err
}

// Attachment returns an attachment of the base store as one of its cells has it, or
// errs.ErrNotFound, also if all of them are in the trash.
func (r *Files) Attachment(ctx context.Context, tenant id.TenantID, key models.AttachmentID) (models.Attachment, error) {
	rows, err := postgres.ForTenant(r.pool, tenant).Query(ctx, `SELECT `+cellFileColumns+` FROM attachments a
		WHERE a.tenant_id = $1 AND a.id = $2
			AND NOT EXISTS (SELECT FROM withheld_bases w WHERE w.tenant_id = a.tenant_id AND w.base_id = a.base_id) AND`+notErased(`a.tenant_id`)+` LIMIT 1`, tenant, key)
	if err != nil {
		return models.Attachment{}, fmt.Errorf("select attachment: %w", err)
	}
	f, err := pgx.CollectExactlyOneRow(rows, scanCellFile)
	if err != nil {
		return models.Attachment{}, fmt.Errorf("select attachment: %w", postgres.NotFound(err))
	}
	return f.Attachment, nil
}

// CellFiles returns the cells of the base that the attachments stand in, by id.
func (r Reader) CellFiles(ctx context.Context, tenant id.TenantID, base models.BaseID, ids []models.AttachmentID) (map[models.AttachmentID][]CellFile, error) {
	out := map[models.AttachmentID][]CellFile{}
	if len(ids) == 0 {
		return out, nil
	}
	rows, err := r.of(tenant).Query(ctx, `
		SELECT `+cellFileColumns+` FROM attachments a
		WHERE a.tenant_id = $1 AND a.id = ANY($2) AND a.base_id = $3 ORDER BY a.id, a.table_id, a.record_id, a.field_id`,
		tenant, ids, base)
	if err != nil {
		return nil, fmt.Errorf("select attachments: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanCellFile)
	if err != nil {
		return nil, fmt.Errorf("select attachments: %w", err)
	}
	for _, f := range list {
		out[f.ID] = append(out[f.ID], f)
	}
	return out, nil
}

// ErrBlobGone says that bytes went between the moment they were stored and the one
// something wanted to refer to them: only if that took longer than the collector
// waits.
var ErrBlobGone = errors.New("the bytes of an attachment are gone")

// PutCellFiles stores that files stand in their cells, of records that are stored.
func (t *Tx) PutCellFiles(ctx context.Context, tenant id.TenantID, files []CellFile) error {
	batch := &pgx.Batch{}
	for _, f := range files {
		batch.Queue(`
			INSERT INTO attachments (tenant_id, id, table_id, record_id, field_id, base_id, filename, type, size, width, height, sum, source_url)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, nullif($12, ''), $13)
			ON CONFLICT ON CONSTRAINT attachments_pkey DO UPDATE SET filename = excluded.filename, type = excluded.type,
				size = excluded.size, width = excluded.width, height = excluded.height, sum = excluded.sum, source_url = excluded.source_url`,
			tenant, f.ID, f.Table, f.Record, f.Field, f.Base, f.Filename, f.Type, f.Size, f.Width, f.Height, f.Sum, f.Source)
	}
	return t.send(ctx, "put attachments", batch)
}

// DropCellFiles stores that files no longer stand in their cells.
func (t *Tx) DropCellFiles(ctx context.Context, tenant id.TenantID, files []CellFile) error {
	batch := &pgx.Batch{}
	for _, f := range files {
		batch.Queue(`DELETE FROM attachments WHERE tenant_id = $1 AND id = $2 AND table_id = $3 AND record_id = $4 AND field_id = $5`,
			tenant, f.ID, f.Table, f.Record, f.Field)
	}
	return t.send(ctx, "drop attachments", batch)
}

func (t *Tx) send(ctx context.Context, doing string, batch *pgx.Batch) error {
	if batch.Len() == 0 {
		return nil
	}
	err := t.tx.SendBatch(ctx, batch).Close()
	if postgres.IsForeignKey(err, "attachments_blob_fkey") {
		return fmt.Errorf("%s: %w", doing, ErrBlobGone)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// RecordTable returns the table of the base's tables that has the record; "" if none
// does.
func (r Reader) RecordTable(ctx context.Context, tenant id.TenantID, tables []models.TableID, record models.RecordID) (models.TableID, error) {
	var table models.TableID
	err := r.of(tenant).QueryRow(ctx, `
		SELECT table_id FROM records WHERE tenant_id = $1 AND table_id = ANY($2) AND id = $3 LIMIT 1`, tenant, tables, record).Scan(&table)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look for the record's table: %w", err)
	}
	return table, nil
}

// Enqueue adds a job that exists if the transaction holds.
func (t *Tx) Enqueue(ctx context.Context, add Enqueue, args river.JobArgs) error {
	return add(ctx, t.tx, args)
}
