package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// Subject is a person in a log.
type Subject struct{ Log, ID string }

// erasing is the advisory lock that keeps a person who is being erased from getting a
// new key at the same time.
const erasing int64 = 0x6175_6469_7401

// EnsureKeys returns the sealed keys of the subjects, making those that are missing from
// what fresh returns. An erased subject has none. Keys are committed on their own: an
// entry may be rolled back, a key that something was sealed under must not be.
func (r *Repository) EnsureKeys(ctx context.Context, subjects []Subject, fresh func(Subject) ([]byte, error)) (map[Subject][]byte, error) {
	var logs, ids []string
	var sealed [][]byte
	for _, s := range subjects {
		key, err := fresh(s)
		if err != nil {
			return nil, err
		}
		logs, ids, sealed = append(logs, s.Log), append(ids, s.ID), append(sealed, key)
	}
	err := r.in(ctx, "*", func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		b.Queue(`SELECT pg_advisory_xact_lock_shared($1)`, erasing)
		b.Queue(`INSERT INTO subject_keys (tenant_id, subject, sealed)
			SELECT t, s, k FROM unnest($1::uuid[], $2::text[], $3::bytea[]) AS n (t, s, k)
			WHERE NOT EXISTS (SELECT FROM erased_subjects WHERE subject IN (s, t::text)) ORDER BY t, s
			ON CONFLICT ON CONSTRAINT subject_keys_pkey DO NOTHING`, logs, ids, sealed)
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return nil, fmt.Errorf("make subjects' keys: %w", err)
	}
	return r.keys(ctx, "*", logs, ids)
}

// Keys returns the sealed keys of the subjects of one log, those that are not erased.
func (r *Repository) Keys(ctx context.Context, log string, subjects []string) (map[string][]byte, error) {
	logs := make([]string, len(subjects))
	for i := range logs {
		logs[i] = log
	}
	keys, err := r.keys(ctx, log, logs, subjects)
	if err != nil {
		return nil, err
	}
	out := make(map[string][]byte, len(keys))
	for s, key := range keys {
		out[s.ID] = key
	}
	return out, nil
}

func (r *Repository) keys(ctx context.Context, scope string, logs, ids []string) (map[Subject][]byte, error) {
	out := map[Subject][]byte{}
	err := r.in(ctx, scope, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT k.tenant_id::text, k.subject, k.sealed FROM unnest($1::uuid[], $2::text[]) AS n (t, s)
			JOIN subject_keys k ON k.tenant_id = n.t AND k.subject = n.s WHERE k.sealed IS NOT NULL`, logs, ids)
		if err != nil {
			return err
		}
		var s Subject
		var key []byte
		_, err = pgx.ForEachRow(rows, []any{&s.Log, &s.ID, &key}, func() error { out[s] = key; key = nil; return nil })
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read subjects' keys: %w", err)
	}
	return out, nil
}

// EraseSubject destroys the person's keys in all logs, for good, in the caller's
// transaction.
func (r *Repository) EraseSubject(ctx context.Context, tx pgx.Tx, subject string) error {
	return erase(ctx, tx, `subject = $1`, subject)
}

// EraseLog destroys all keys of a tenant, and what it is forwarded by.
func (r *Repository) EraseLog(ctx context.Context, tx pgx.Tx, log string) error {
	if err := erase(ctx, tx, `tenant_id = $1::uuid`, log); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM sinks WHERE tenant_id = $1`, log); err != nil {
		return fmt.Errorf("delete sinks: %w", err)
	}
	return nil
}

func erase(ctx context.Context, tx pgx.Tx, where, name string) error {
	if err := postgres.EnterEvery(ctx, tx); err != nil {
		return err
	}
	b := &pgx.Batch{}
	b.Queue(`SELECT pg_advisory_xact_lock($1)`, erasing)
	b.Queue(`INSERT INTO erased_subjects (subject) VALUES ($1) ON CONFLICT DO NOTHING`, name)
	b.Queue(`UPDATE subject_keys SET sealed = NULL, erased_at = now() WHERE sealed IS NOT NULL AND `+where, name)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("erase subject: %w", err)
	}
	return nil
}

// SigningKey is one of the keys that heads are signed with.
type SigningKey struct {
	ID             string
	Public, Sealed []byte
	CreatedAt      time.Time
}

// SigningKeys returns all, newest first. If there is none, the given one becomes the first.
func (r *Repository) SigningKeys(ctx context.Context, first func() (SigningKey, error)) ([]SigningKey, error) {
	const lock, list = `LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE`,
		`SELECT id, public_key, sealed, created_at FROM signing_keys ORDER BY created_at DESC, id`
	var keys []SigningKey
	err := postgres.InTx(ctx, r.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lock); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, list)
		if err != nil {
			return err
		}
		if keys, err = pgx.CollectRows(rows, pgx.RowToStructByPos[SigningKey]); err != nil || len(keys) > 0 {
			return err
		}
		key, err := first()
		if err != nil {
			return err
		}
		keys = []SigningKey{key}
		_, err = tx.Exec(ctx, `INSERT INTO signing_keys (id, public_key, sealed, created_at) VALUES ($1, $2, $3, $4)`,
			key.ID, key.Public, key.Sealed, key.CreatedAt)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	return keys, nil
}
