package repository

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/audit-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

const logColumns = `tenant_id::text, size, peaks, chain, pruned, pruned_chain, edge, retention_days`

func scanLog(row pgx.CollectableRow) (models.Log, error) {
	var l models.Log
	var peaks, chain, prunedChain, edge []byte
	err := row.Scan(&l.ID, &l.Tree.Size, &peaks, &chain, &l.Pruned, &prunedChain, &edge, &l.RetentionDays)
	if err != nil {
		return l, err
	}
	var faults [4]error
	l.Tree.Peaks, faults[0] = models.HashesOf(peaks)
	l.Chain, faults[1] = models.HashOf(chain)
	l.PrunedChain, faults[2] = models.HashOf(prunedChain)
	l.Edge, faults[3] = models.HashesOf(edge)
	return l, errors.Join(append(faults[:], l.Tree.Check())...)
}

// Append adds the entries, each to its log, in their order, in the caller's transaction.
// It numbers, chains and hashes them. Logs stay locked until the transaction ends.
func (r *Repository) Append(ctx context.Context, tx pgx.Tx, list []models.Entry) error {
	if err := postgres.EnterEvery(ctx, tx); err != nil {
		return err
	}
	var names []string
	for i := range list {
		names = append(names, list[i].Log)
	}
	slices.Sort(names) // everybody locks in this order
	logs, err := lockLogs(ctx, tx, slices.Compact(names))
	if err != nil {
		return err
	}
	var nodes nodeRows
	for i := range list {
		l := logs[list[i].Log]
		err := l.Append(&list[i], func(level int, index int64, h models.Hash) {
			nodes.add(l.ID, level, index, h)
		})
		if err != nil {
			return err
		}
	}
	b := &pgx.Batch{}
	queueEntries(b, list)
	nodes.queue(b)
	queueLogs(b, logs)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("append entries: %w", err)
	}
	return nil
}

// lockLogs makes the logs that are new, and locks all.
func lockLogs(ctx context.Context, tx pgx.Tx, names []string) (map[string]*models.Log, error) {
	b := &pgx.Batch{}
	zero := models.Hash{}
	b.Queue(`INSERT INTO logs (tenant_id, chain, pruned_chain) SELECT t, $2, $2 FROM unnest($1::uuid[]) t ORDER BY t
		ON CONFLICT ON CONSTRAINT logs_pkey DO NOTHING`, names, zero[:])
	b.Queue(`SELECT `+logColumns+` FROM logs WHERE tenant_id = ANY($1::uuid[]) ORDER BY tenant_id FOR UPDATE`, names)
	results := tx.SendBatch(ctx, b)
	defer func() { _ = results.Close() }() // its error is that of the query
	if _, err := results.Exec(); err != nil {
		return nil, fmt.Errorf("make logs: %w", err)
	}
	rows, err := results.Query()
	if err != nil {
		return nil, fmt.Errorf("lock logs: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanLog)
	if err != nil {
		return nil, fmt.Errorf("lock logs: %w", err)
	}
	logs := make(map[string]*models.Log, len(list))
	for i := range list {
		logs[list[i].ID] = &list[i]
	}
	return logs, nil
}

func queueLogs(b *pgx.Batch, logs map[string]*models.Log) {
	var ids []string
	var sizes []int64
	var peaks, chains [][]byte
	for id, l := range logs {
		ids, sizes = append(ids, id), append(sizes, l.Tree.Size)
		peaks, chains = append(peaks, models.Bytes(l.Tree.Peaks)), append(chains, l.Chain[:])
	}
	b.Queue(`UPDATE logs SET size = n.size, peaks = n.peaks, chain = n.chain
		FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bytea[]) AS n (id, size, peaks, chain)
		WHERE tenant_id = n.id`, ids, sizes, peaks, chains)
}

type nodeRows struct {
	logs    []string
	levels  []int16
	indexes []int64
	hashes  [][]byte
}

func (n *nodeRows) add(log string, level int, index int64, h models.Hash) {
	n.logs, n.levels = append(n.logs, log), append(n.levels, int16(level))
	n.indexes, n.hashes = append(n.indexes, index), append(n.hashes, h[:])
}

func (n *nodeRows) queue(b *pgx.Batch) {
	if len(n.logs) > 0 {
		b.Queue(`INSERT INTO nodes (tenant_id, level, idx, hash)
			SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::bigint[], $4::bytea[])`, n.logs, n.levels, n.indexes, n.hashes)
	}
}

// Log returns the state of a log, or errs.ErrNotFound if nothing was ever recorded.
func (r *Repository) Log(ctx context.Context, log string) (l models.Log, err error) {
	err = r.in(ctx, log, func(tx pgx.Tx) error { l, err = readLog(ctx, tx, log, ""); return err })
	return l, err
}

func readLog(ctx context.Context, tx pgx.Tx, log, lock string) (models.Log, error) {
	rows, err := tx.Query(ctx, `SELECT `+logColumns+` FROM logs WHERE tenant_id = $1 `+lock, log)
	if err != nil {
		return models.Log{}, fmt.Errorf("read log: %w", err)
	}
	l, err := pgx.CollectExactlyOneRow(rows, scanLog)
	if err != nil {
		return l, fmt.Errorf("read log: %w", postgres.NotFound(err))
	}
	return l, nil
}

// Logs names the logs that the condition holds for, after the given one.
func (r *Repository) logs(ctx context.Context, where, after string, limit int) (list []string, err error) {
	err = r.in(ctx, "*", func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT tenant_id::text FROM logs l
			WHERE ($1 = '' OR tenant_id > nullif($1, '')::uuid) AND `+where+` ORDER BY tenant_id LIMIT $2`, after, limit)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list logs: %w", err)
	}
	return list, nil
}

// UnsignedLogs names logs with entries beyond the newest signed head.
func (r *Repository) UnsignedLogs(ctx context.Context, after string, limit int) ([]string, error) {
	return r.logs(ctx, `l.size > coalesce((SELECT max(h.size) FROM heads h WHERE h.tenant_id = l.tenant_id), 0)`, after, limit)
}

// RetainedLogs names logs that entries are pruned of.
func (r *Repository) RetainedLogs(ctx context.Context, after string, limit int) ([]string, error) {
	return r.logs(ctx, `l.retention_days > 0 AND l.size > l.pruned`, after, limit)
}

// SetRetention changes how long the tenant's entries are kept, and announces it.
func (r *Repository) SetRetention(ctx context.Context, log string, days int, announce func(old int) events.Event) error {
	return r.in(ctx, log, func(tx pgx.Tx) error {
		if _, err := lockLogs(ctx, tx, []string{log}); err != nil {
			return err
		}
		l, err := readLog(ctx, tx, log, "")
		if err != nil {
			return err
		}
		if l.RetentionDays == days {
			return nil
		}
		if _, err := tx.Exec(ctx, `UPDATE logs SET retention_days = $2 WHERE tenant_id = $1`, log, days); err != nil {
			return fmt.Errorf("set retention: %w", err)
		}
		return events.Emit(ctx, tx, announce(l.RetentionDays))
	})
}

// pruneMost bounds a transaction of Prune.
const pruneMost = 5000

// Prune deletes up to a few thousand entries that are older than the retention and that
// every enabled sink has, and keeps the edge of the tree there. It returns how many.
func (r *Repository) Prune(ctx context.Context, log string, announce func(models.Log) events.Event) (n int64, err error) {
	err = r.in(ctx, log, func(tx pgx.Tx) error {
		l, err := readLog(ctx, tx, log, "FOR UPDATE")
		if err != nil {
			return err
		}
		if l.RetentionDays == 0 {
			return nil
		}
		var upto int64
		err = tx.QueryRow(ctx, `SELECT least($2,
			(SELECT min(seq) FROM entries WHERE tenant_id = $1 AND recorded_at >= now() - make_interval(days => $3)),
			(SELECT min(next_seq) FROM sinks WHERE tenant_id = $1 AND enabled))`,
			log, min(l.Tree.Size, l.Pruned+pruneMost), l.RetentionDays).Scan(&upto)
		if err != nil {
			return fmt.Errorf("find what to prune: %w", err)
		}
		if n = upto - l.Pruned; n <= 0 {
			n = 0
			return nil
		}
		if err := cut(ctx, tx, &l, upto); err != nil {
			return err
		}
		return events.Emit(ctx, tx, announce(l))
	})
	return n, err
}

// cut deletes the entries below upto and notes what remains of them.
func cut(ctx context.Context, tx pgx.Tx, l *models.Log, upto int64) error {
	from := upto / models.TileWidth * models.TileWidth
	edge, err := (&nodeReader{ctx, tx, *l}).Hashes(0, from, upto)
	if err != nil {
		return err
	}
	var chain []byte
	if err := tx.QueryRow(ctx, `SELECT chain FROM entries WHERE tenant_id = $1 AND seq = $2`, l.ID, upto-1).Scan(&chain); err != nil {
		return fmt.Errorf("read chain: %w", err)
	}
	l.Pruned, l.Edge = upto, edge
	if l.PrunedChain, err = models.HashOf(chain); err != nil {
		return err
	}
	b := &pgx.Batch{}
	b.Queue(`UPDATE logs SET pruned = $2, pruned_chain = $3, edge = $4 WHERE tenant_id = $1`, l.ID, upto, chain, models.Bytes(edge))
	b.Queue(`DELETE FROM entries WHERE tenant_id = $1 AND seq < $2`, l.ID, upto)
	b.Queue(`DELETE FROM heads WHERE tenant_id = $1 AND size < $2`, l.ID, upto)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("prune entries: %w", err)
	}
	return nil
}

// nodeReader reads the nodes of a log's tree, and the leaves that were kept of its
// pruned part.
type nodeReader struct {
	ctx context.Context
	tx  pgx.Tx
	log models.Log
}

// Hashes implements models.Nodes.
func (n *nodeReader) Hashes(level int, from, to int64) ([]models.Hash, error) {
	var list []models.Hash
	if level == 0 && from < n.log.Pruned {
		first := n.log.Pruned - int64(len(n.log.Edge))
		if from < first {
			return nil, models.ErrGone
		}
		list = append(list, n.log.Edge[from-first:min(to, n.log.Pruned)-first]...)
		if from = n.log.Pruned; from >= to {
			return list, nil
		}
	}
	sql, args := `SELECT leaf FROM entries WHERE tenant_id = $1 AND seq >= $2 AND seq < $3 ORDER BY seq`, []any{n.log.ID, from, to}
	if level > 0 {
		sql, args = `SELECT hash FROM nodes WHERE tenant_id = $1 AND idx >= $2 AND idx < $3 AND level = $4 ORDER BY idx`, append(args, level)
	}
	rows, err := n.tx.Query(n.ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read tree: %w", err)
	}
	more, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (models.Hash, error) {
		var b []byte
		if err := row.Scan(&b); err != nil {
			return models.Hash{}, err
		}
		return models.HashOf(b)
	})
	if err != nil {
		return nil, fmt.Errorf("read tree: %w", err)
	}
	return append(list, more...), nil
}

// WithTree runs fn with the log as it is now and the nodes of its tree. It returns
// errs.ErrNotFound if nothing was ever recorded.
func (r *Repository) WithTree(ctx context.Context, log string, fn func(l models.Log, nodes models.Nodes) error) error {
	return r.in(ctx, log, func(tx pgx.Tx) error {
		l, err := readLog(ctx, tx, log, "")
		if err != nil {
			return err
		}
		return fn(l, &nodeReader{ctx, tx, l})
	})
}

// Tiles returns the stored nodes of a level, by index.
func (r *Repository) Tiles(ctx context.Context, log string, level int, from, to int64) (list []models.Hash, err error) {
	err = r.in(ctx, log, func(tx pgx.Tx) error {
		list, err = (&nodeReader{ctx, tx, models.Log{ID: log}}).Hashes(level, from, to)
		return err
	})
	return list, err
}

// AddHead stores a signed head, unless one of that size is there.
func (r *Repository) AddHead(ctx context.Context, h models.Head) error {
	return r.in(ctx, h.Log, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO heads (tenant_id, size, root, chain, signed_at, key_id, signature)
			VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT ON CONSTRAINT heads_pkey DO NOTHING`,
			h.Log, h.Size, h.Root[:], h.Chain[:], h.SignedAt, h.KeyID, h.Signature)
		if err != nil {
			return fmt.Errorf("insert head: %w", err)
		}
		return nil
	})
}

// Heads returns up to limit signed heads of sizes from from, smallest first.
func (r *Repository) Heads(ctx context.Context, log string, from int64, limit int) ([]models.Head, error) {
	return r.heads(ctx, log, `size >= $2 ORDER BY size LIMIT $3`, from, limit)
}

// LastHead returns the newest signed head, or errs.ErrNotFound.
func (r *Repository) LastHead(ctx context.Context, log string) (models.Head, error) {
	list, err := r.heads(ctx, log, `size >= $2 ORDER BY size DESC LIMIT $3`, 0, 1)
	if err == nil && len(list) == 0 {
		return models.Head{}, errs.ErrNotFound
	}
	if err != nil {
		return models.Head{}, err
	}
	return list[0], nil
}

func (r *Repository) heads(ctx context.Context, log, where string, from int64, limit int) (list []models.Head, err error) {
	err = r.in(ctx, log, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT tenant_id::text, size, root, chain, signed_at, key_id, signature FROM heads
			WHERE tenant_id = $1 AND `+where, log, from, limit)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (h models.Head, err error) {
			var root, chain []byte
			if err := row.Scan(&h.Log, &h.Size, &root, &chain, &h.SignedAt, &h.KeyID, &h.Signature); err != nil {
				return h, err
			}
			if h.Root, err = models.HashOf(root); err != nil {
				return h, err
			}
			h.Chain, err = models.HashOf(chain)
			return h, err
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read heads: %w", err)
	}
	return list, nil
}
