package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/audit-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

const sinkColumns = `tenant_id::text, id, name, url, format, token, enabled, next_seq, failures, last_error, created_at`

// CreateSink stores the sink together with its event. allowed is given the number that
// the tenant has. A negative NextSeq stands for the end of the log as it is now.
func (r *Repository) CreateSink(ctx context.Context, s models.Sink, created events.Event, allowed func(count int) error) (models.Sink, error) {
	err := r.in(ctx, s.Log, func(tx pgx.Tx) error {
		logs, err := lockLogs(ctx, tx, []string{s.Log})
		if err != nil {
			return err
		}
		if s.NextSeq < 0 {
			s.NextSeq = logs[s.Log].Tree.Size
		}
		var count int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM sinks WHERE tenant_id = $1`, s.Log).Scan(&count); err != nil {
			return fmt.Errorf("count sinks: %w", err)
		}
		if err := allowed(count); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO sinks (tenant_id, id, name, url, format, token, enabled, next_seq, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			s.Log, s.ID, s.Name, s.URL, s.Format, s.Token, s.Enabled, s.NextSeq, s.CreatedAt)
		if err != nil {
			return fmt.Errorf("insert sink: %w", err)
		}
		return events.Emit(ctx, tx, created)
	})
	return s, err
}

// Sinks returns the log's, oldest first.
func (r *Repository) Sinks(ctx context.Context, log string) (list []models.Sink, err error) {
	err = r.in(ctx, log, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT `+sinkColumns+` FROM sinks WHERE tenant_id = $1 ORDER BY id`, log)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[models.Sink])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list sinks: %w", err)
	}
	return list, nil
}

// UpdateSink applies change to the sink under its row lock and stores it with the event
// that change returns. A change makes it due at once. It returns errs.ErrNotFound if the
// tenant has no such sink.
func (r *Repository) UpdateSink(ctx context.Context, log string, sink models.SinkID,
	change func(*models.Sink) (events.Event, error)) (s models.Sink, err error) {
	err = r.in(ctx, log, func(tx pgx.Tx) error {
		if s, err = readSink(ctx, tx, log, sink); err != nil {
			return err
		}
		e, err := change(&s)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE sinks SET name = $3, token = $4, enabled = $5, next_seq = $6, failures = 0, last_error = '', due_at = now()
			WHERE tenant_id = $1 AND id = $2`, log, sink, s.Name, s.Token, s.Enabled, s.NextSeq)
		if err != nil {
			return fmt.Errorf("update sink: %w", err)
		}
		return events.Emit(ctx, tx, e)
	})
	return s, err
}

func readSink(ctx context.Context, tx pgx.Tx, log string, sink models.SinkID) (models.Sink, error) {
	rows, err := tx.Query(ctx, `SELECT `+sinkColumns+` FROM sinks WHERE tenant_id = $1 AND id = $2 FOR UPDATE`, log, sink)
	if err != nil {
		return models.Sink{}, fmt.Errorf("read sink: %w", err)
	}
	s, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[models.Sink])
	if err != nil {
		return s, fmt.Errorf("read sink: %w", postgres.NotFound(err))
	}
	return s, nil
}

// DeleteSink deletes it with the event that announce returns, or returns
// errs.ErrNotFound.
func (r *Repository) DeleteSink(ctx context.Context, log string, sink models.SinkID, announce func(models.Sink) events.Event) error {
	return r.in(ctx, log, func(tx pgx.Tx) error {
		s, err := readSink(ctx, tx, log, sink)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM sinks WHERE tenant_id = $1 AND id = $2`, log, sink); err != nil {
			return fmt.Errorf("delete sink: %w", err)
		}
		return events.Emit(ctx, tx, announce(s))
	})
}

// LeaseSinks takes up to limit enabled sinks that are due and behind their logs. Nobody
// else gets them until the lease is over, or Sent or Failed has ended it.
func (r *Repository) LeaseSinks(ctx context.Context, limit int, lease time.Duration) (list []models.Sink, err error) {
	err = r.in(ctx, "*", func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `UPDATE sinks SET leased_until = now() + $2 WHERE (tenant_id, id) IN (
				SELECT s.tenant_id, s.id FROM sinks s JOIN logs l USING (tenant_id)
				WHERE s.enabled AND s.due_at <= now() AND s.leased_until < now() AND s.next_seq < l.size
				ORDER BY s.due_at LIMIT $1 FOR UPDATE OF s SKIP LOCKED)
			RETURNING `+sinkColumns, limit, lease)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[models.Sink])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lease sinks: %w", err)
	}
	return list, nil
}

// Sent notes that the sink has all entries below next, unless it was moved meanwhile.
func (r *Repository) Sent(ctx context.Context, s models.Sink, next int64) error {
	return r.lease(ctx, s, `next_seq = $4, failures = 0, last_error = '', due_at = now()`, next)
}

// Failed notes why the sink took nothing, and lets it rest.
func (r *Repository) Failed(ctx context.Context, s models.Sink, cause string, rest time.Duration) error {
	return r.lease(ctx, s, `failures = failures + 1, last_error = $4, due_at = now() + $5`, cause, rest)
}

func (r *Repository) lease(ctx context.Context, s models.Sink, set string, args ...any) error {
	return r.in(ctx, s.Log, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE sinks SET leased_until = '-infinity', `+set+` WHERE tenant_id = $1 AND id = $2 AND next_seq = $3`,
			append([]any{s.Log, s.ID, s.NextSeq}, args...)...)
		if err != nil {
			return fmt.Errorf("note delivery: %w", err)
		}
		return nil
	})
}
