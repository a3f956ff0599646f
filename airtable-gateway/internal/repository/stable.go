package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// StableFiles keeps where files of Airtable accounts were seen last, and their copies.
type StableFiles struct {
	pool    *pgxpool.Pool
	enqueue Enqueue
}

// NewStableFiles returns those in pool's database; enqueue adds the jobs that copy.
func NewStableFiles(pool *pgxpool.Pool, enqueue Enqueue) *StableFiles {
	return &StableFiles{pool, enqueue}
}

// StableKey names a file of an Airtable account: an attachment, or a picture of it.
type StableKey struct {
	Tenant     id.TenantID
	Connection models.ConnectionID
	Attachment models.AttachmentID
	Variant    string
}

// StableFile is such a file as it was seen last.
type StableFile struct {
	StableKey
	Base, Table, Record string // Table is an id or a name; either may be "": not known
	InComment           bool
	Filename, Type      string
	Source              string // its address at Airtable, which expires
	SourceSize          int64  // as Airtable tells it; 0: it did not
	SeenAt              time.Time
	Sum                 string // of our copy; "": there is none
}

// Note stores files as they were just seen, all of one connection and each once, in
// the order of their keys; what is not known of one stays as it was. The copy of a
// file that has another size now is forgotten. For those without a copy it adds the
// jobs that copies makes. It stores nothing for a connection that is gone, and
// reports false.
func (r *StableFiles) Note(ctx context.Context, list []StableFile, copies func(missing []StableKey) []river.JobArgs) (bool, error) {
	err := postgres.InTenant(ctx, r.pool, list[0].Tenant, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		var missing []StableKey
		for _, f := range list {
			batch.Queue(`
				INSERT INTO stable_files AS s (tenant_id, connection_id, attachment_id, variant, base_id, table_name, record_id,
					in_comment, filename, type, source_url, source_size, seen_at)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
				ON CONFLICT ON CONSTRAINT stable_files_pkey DO UPDATE SET
					base_id = excluded.base_id, in_comment = excluded.in_comment, filename = excluded.filename,
					table_name = CASE WHEN excluded.table_name = '' THEN s.table_name ELSE excluded.table_name END,
					record_id = CASE WHEN excluded.record_id = '' THEN s.record_id ELSE excluded.record_id END,
					type = CASE WHEN excluded.type = '' THEN s.type ELSE excluded.type END,
					source_url = excluded.source_url, seen_at = greatest(s.seen_at, excluded.seen_at),
					source_size = CASE WHEN excluded.source_size = 0 THEN s.source_size ELSE excluded.source_size END,
					sum = CASE WHEN s.source_size <> 0 AND excluded.source_size <> 0 AND s.source_size <> excluded.source_size THEN NULL ELSE s.sum END
				RETURNING s.sum IS NULL`,
				f.Tenant, f.Connection, f.Attachment, f.Variant, f.Base, f.Table, f.Record,
				f.InComment, f.Filename, f.Type, f.Source, f.SourceSize, f.SeenAt,
			).QueryRow(func(row pgx.Row) error {
				var uncopied bool
				if err := row.Scan(&uncopied); err != nil {
					return err
				}
				if uncopied {
					missing = append(missing, f.StableKey)
				}
				return nil
			})
		}
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return err
		}
		for _, args := range copies(missing) {
			if err := r.enqueue(ctx, tx, args); err != nil {
				return err
			}
		}
		return nil
	})
	if postgres.IsForeignKey(err, "stable_files_connection_fkey") {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("note files: %w", err)
	}
	return true, nil
}

// StableFile returns errs.ErrNotFound for a file that was never seen, or whose base is in
// the trash.
func (r *StableFiles) StableFile(ctx context.Context, key StableKey) (StableFile, error) {
	f := StableFile{StableKey: key}
	err := postgres.ForTenant(r.pool, key.Tenant).QueryRow(ctx, `
		SELECT base_id, table_name, record_id, in_comment, filename, type, source_url, source_size, seen_at, coalesce(sum, '')
		FROM stable_files f WHERE tenant_id = $1 AND connection_id = $2 AND attachment_id = $3 AND variant = $4
			AND NOT EXISTS (SELECT FROM withheld_bases w WHERE w.tenant_id = f.tenant_id AND w.base_id = f.base_id) AND`+notErased(`f.tenant_id`),
		key.Tenant, key.Connection, key.Attachment, key.Variant).
		Scan(&f.Base, &f.Table, &f.Record, &f.InComment, &f.Filename, &f.Type, &f.Source, &f.SourceSize, &f.SeenAt, &f.Sum)
	if err != nil {
		return f, fmt.Errorf("select file: %w", postgres.NotFound(err))
	}
	return f, nil
}

// Copied stores that the bytes of the sum, which are stored, are the file's copy.
func (r *StableFiles) Copied(ctx context.Context, key StableKey, sum, kind string) error {
	_, err := postgres.ForTenant(r.pool, key.Tenant).Exec(ctx, `
		UPDATE stable_files SET sum = $5, type = $6
		WHERE tenant_id = $1 AND connection_id = $2 AND attachment_id = $3 AND variant = $4`,
		key.Tenant, key.Connection, key.Attachment, key.Variant, sum, kind)
	if err != nil {
		return fmt.Errorf("store copy: %w", err)
	}
	return nil
}
