package repository

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// pieceSize is how many records one stored piece of an iterator names.
const pieceSize = 1_000

// begun is the total of an iterator of which only the first page is known.
const begun = -1

// ErrIteratorBegun says that an iterator knows no more than its first page yet.
var ErrIteratorBegun = errors.New("the iterator is not complete")

// CreateIterator stores the order of a sorted walk, or of its first page alone if that
// is not all, and forgets the tenant's expired ones.
func (s *Store) CreateIterator(ctx context.Context, tenant id.TenantID, name, params string, numbers []int64, all bool, now, expires time.Time) error {
	total := begun
	if all {
		total = len(numbers)
	}
	return postgres.InTenant(ctx, s.pool, tenant, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			DELETE FROM list_iterators WHERE tenant_id = $1 AND id IN (
				SELECT id FROM list_iterators WHERE tenant_id = $1 AND expires_at <= $2 LIMIT 20 FOR UPDATE SKIP LOCKED)`,
			tenant, now)
		if err != nil {
			return fmt.Errorf("forget iterators: %w", err)
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO list_iterators (tenant_id, id, params, total, expires_at) VALUES ($1, $2, $3, $4, $5)`,
			tenant, name, params, total, expires)
		if err != nil {
			return fmt.Errorf("insert iterator: %w", err)
		}
		return putPieces(ctx, tx, tenant, name, numbers)
	})
}

// FirstPage returns the numbers that an iterator began with, errs.ErrNotFound if it is
// gone.
func (s *Store) FirstPage(ctx context.Context, tenant id.TenantID, name string) ([]int64, error) {
	var first []int64
	err := s.of(tenant).QueryRow(ctx, `
		SELECT numbers FROM list_iterator_pieces WHERE tenant_id = $1 AND iterator_id = $2 AND piece = 0`, tenant, name).Scan(&first)
	if err != nil {
		return nil, fmt.Errorf("read iterator: %w", postgres.NotFound(err))
	}
	return first, nil
}

// CompleteIterator stores the whole order of a walk, the first page included. Of
// several that complete an iterator at once the first one counts.
func (s *Store) CompleteIterator(ctx context.Context, tenant id.TenantID, name string, numbers []int64) error {
	return postgres.InTenant(ctx, s.pool, tenant, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE list_iterators SET total = $3 WHERE tenant_id = $1 AND id = $2 AND total = $4`, tenant, name, len(numbers), begun)
		if err != nil || tag.RowsAffected() == 0 {
			return wrap("complete iterator", err)
		}
		if _, err = tx.Exec(ctx, `DELETE FROM list_iterator_pieces WHERE tenant_id = $1 AND iterator_id = $2`, tenant, name); err != nil {
			return wrap("complete iterator", err)
		}
		return putPieces(ctx, tx, tenant, name, numbers)
	})
}

func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func putPieces(ctx context.Context, tx pgx.Tx, tenant id.TenantID, name string, numbers []int64) error {
	batch := &pgx.Batch{} // COPY does not go into tables with row-level security
	for piece := range slices.Chunk(numbers, pieceSize) {
		batch.Queue(`INSERT INTO list_iterator_pieces (tenant_id, iterator_id, piece, numbers) VALUES ($1, $2, $3, $4)`,
			tenant, name, batch.Len(), piece)
	}
	if batch.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("insert iterator's pieces: %w", err)
	}
	return nil
}

// Iterate returns up to n numbers of a walk from the from-th on, and how many it
// has in all, and lets it live until expires. It returns errs.ErrNotFound if
// there is no such iterator for these parameters or it expired before now, and
// ErrIteratorBegun if it is to be completed first.
func (s *Store) Iterate(ctx context.Context, tenant id.TenantID, name, params string, from int64, n int, now, expires time.Time) ([]int64, int64, error) {
	var total int64
	err := s.of(tenant).QueryRow(ctx, `
		UPDATE list_iterators SET expires_at = $5
		WHERE tenant_id = $1 AND id = $2 AND params = $3 AND expires_at > $4 RETURNING total`,
		tenant, name, params, now, expires).Scan(&total)
	if err != nil {
		return nil, 0, fmt.Errorf("read iterator: %w", postgres.NotFound(err))
	}
	if total == begun {
		return nil, 0, ErrIteratorBegun
	}
	if from == total { // what was to come has been deleted before its order was found
		return nil, total, nil
	}
	if from < 0 || from > total {
		return nil, 0, fmt.Errorf("read iterator at %d of %d: %w", from, total, errs.ErrNotFound)
	}
	until := min(from+int64(n), total)
	first := from / pieceSize
	rows, err := s.of(tenant).Query(ctx, `
		SELECT numbers FROM list_iterator_pieces
		WHERE tenant_id = $1 AND iterator_id = $2 AND piece BETWEEN $3 AND $4 ORDER BY piece`,
		tenant, name, first, (until-1)/pieceSize)
	if err != nil {
		return nil, 0, fmt.Errorf("read iterator: %w", err)
	}
	pieces, err := pgx.CollectRows(rows, pgx.RowTo[[]int64])
	if err != nil {
		return nil, 0, fmt.Errorf("read iterator: %w", err)
	}
	var numbers []int64
	for _, p := range pieces {
		numbers = append(numbers, p...)
	}
	skip := from - first*pieceSize
	if int64(len(numbers)) < until-first*pieceSize {
		return nil, 0, fmt.Errorf("read iterator: %w", errs.ErrNotFound)
	}
	return numbers[skip : until-first*pieceSize], total, nil
}
