package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/audit-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

const entryColumns = `tenant_id::text, seq, event_id::text, at, recorded_at, action, source, object, version, result,
	user_id, actor, session_id, token_id, request_id, base_id, record_id, fields, facts,
	own_subject, own_commitment, own_cipher, other_subject, other_commitment, other_cipher, leaf, chain`

func scanEntry(row pgx.CollectableRow) (e models.Entry, err error) {
	var leaf, chain []byte
	err = row.Scan(&e.Log, &e.Seq, &e.EventID, &e.At, &e.RecordedAt, &e.Action, &e.Source, &e.Object, &e.Version, &e.Result,
		&e.User, &e.Actor, &e.Session, &e.Token, &e.Request, &e.Base, &e.Record, &e.Fields, &e.Facts,
		&e.Own.Subject, &e.Own.Commitment, &e.Own.Cipher, &e.Other.Subject, &e.Other.Commitment, &e.Other.Cipher, &leaf, &chain)
	if err != nil {
		return e, err
	}
	// What has another length was tampered with: it is no hash of anything.
	copy(e.Leaf[:], leaf)
	copy(e.Chain[:], chain)
	return e, nil
}

// queueEntries inserts all by one statement; COPY does not go with row-level security.
func queueEntries(b *pgx.Batch, list []models.Entry) {
	n := len(list)
	texts := make([][]string, 18)
	for i := range texts {
		texts[i] = make([]string, n)
	}
	blobs := make([][][]byte, 6)
	for i := range blobs {
		blobs[i] = make([][]byte, n)
	}
	seqs, versions := make([]int64, n), make([]int64, n)
	ats, recorded := make([]time.Time, n), make([]time.Time, n)
	for i := range list {
		e := &list[i]
		seqs[i], versions[i], ats[i], recorded[i] = e.Seq, e.Version, e.At, e.RecordedAt
		for j, s := range [...]string{
			e.Log, e.EventID, e.Action, e.Source, e.Object, e.Result, e.User, e.Actor, e.Session, e.Token, e.Request,
			e.Base, e.Record, e.Fields, e.Facts, e.Own.Subject, e.Other.Subject,
		} {
			texts[j][i] = s
		}
		for j, s := range [...][]byte{e.Own.Commitment, e.Own.Cipher, e.Other.Commitment, e.Other.Cipher, e.Leaf[:], e.Chain[:]} {
			if s == nil {
				s = []byte{} // NULL otherwise
			}
			blobs[j][i] = s
		}
	}
	b.Queue(`INSERT INTO entries (tenant_id, seq, event_id, at, recorded_at, action, source, object, version, result,
			user_id, actor, session_id, token_id, request_id, base_id, record_id, fields, facts,
			own_subject, own_commitment, own_cipher, other_subject, other_commitment, other_cipher, leaf, chain)
		SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::timestamptz[], $5::timestamptz[], $6::text[], $7::text[],
			$8::text[], $9::bigint[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[],
			$17::text[], $18::text[], $19::text[], $20::text[], $21::bytea[], $22::bytea[], $23::text[], $24::bytea[], $25::bytea[],
			$26::bytea[], $27::bytea[])`,
		texts[0], seqs, texts[1], ats, recorded, texts[2], texts[3], texts[4], versions, texts[5],
		texts[6], texts[7], texts[8], texts[9], texts[10], texts[11], texts[12], texts[13], texts[14],
		texts[15], blobs[0], blobs[1], texts[16], blobs[2], blobs[3], blobs[4], blobs[5])
}

// Query selects entries. Empty members select all.
type Query struct {
	User, Action, Object, Base, Record, Field, Result string
	ActionPrefix                                      string
	From, To                                          time.Time
}

// Entries returns up to limit entries of the log that q selects, newest first, those
// below before; 0 is the newest.
func (r *Repository) Entries(ctx context.Context, log string, q Query, before int64, limit int) (list []models.Entry, err error) {
	err = r.in(ctx, log, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT `+entryColumns+` FROM entries
			WHERE tenant_id = $1 AND ($2 = 0 OR seq < $2)
				AND ($4 = '' OR user_id = $4) AND ($5 = '' OR action = $5) AND ($6 = '' OR action ^@ $6) AND ($7 = '' OR object = $7)
				AND ($8 = '' OR base_id = $8) AND ($9 = '' OR record_id = $9 AND record_id <> '')
				AND ($10 = '' OR fields = '' OR $10 = ANY(string_to_array(fields, ','))) AND ($11 = '' OR result = $11)
				AND ($12::timestamptz IS NULL OR recorded_at >= $12) AND ($13::timestamptz IS NULL OR recorded_at < $13)
			ORDER BY seq DESC LIMIT $3`,
			log, before, limit, q.User, q.Action, q.ActionPrefix, q.Object, q.Base, q.Record, q.Field, q.Result, orNull(q.From), orNull(q.To))
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, scanEntry)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list entries: %w", err)
	}
	return list, nil
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Following returns up to limit entries of the log in their order, beginning with from.
func (r *Repository) Following(ctx context.Context, log string, from int64, limit int) (list []models.Entry, err error) {
	err = r.in(ctx, log, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT `+entryColumns+` FROM entries WHERE tenant_id = $1 AND seq >= $2 ORDER BY seq LIMIT $3`, log, from, limit)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, scanEntry)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read entries: %w", err)
	}
	return list, nil
}

// Entry returns one, or errs.ErrNotFound.
func (r *Repository) Entry(ctx context.Context, log string, seq int64) (models.Entry, error) {
	list, err := r.Following(ctx, log, seq, 1)
	if err == nil && (len(list) == 0 || list[0].Seq != seq) {
		err = errs.ErrNotFound
	}
	if err != nil {
		return models.Entry{}, err
	}
	return list[0], nil
}
