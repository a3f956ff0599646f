package events

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

// addScript puts a batch on a topic, provided that Redis still has the batch
// before it. KEYS: stream, mark. ARGV: the batch before, this batch, envelopes.
// It returns -1, or the last batch that Redis has if some are lost: then nothing
// is added, for the new mark would hide the loss.
//
// Redis persists and replicates its writes in order and a script as a whole, so
// that a mark that is there proves everything before it.
const addScript = `
local mark = tonumber(redis.call('GET', KEYS[2]) or '0')
local before = tonumber(ARGV[1])
if before > 0 and redis.call('EXISTS', KEYS[1]) == 0 then mark = 0 end
if mark < before then return mark end
for i = 3, #ARGV do redis.call('XADD', KEYS[1], '*', '` + field + `', ARGV[i]) end
redis.call('SET', KEYS[2], ARGV[2])
return -1`

type outboxRow struct {
	Seq   int64
	Topic string
	Event string
}

// publish puts the next batch of the outbox on its streams and returns 0 if there
// was nothing that could be done. The error is one of PostgreSQL; what Redis does not take is
// left for later and makes p.backoff.
func (p *pass) publish(ctx context.Context) (n int, err error) {
	tx, err := p.conn.Begin(ctx)
	if err != nil {
		return 0, fmt.Errorf("begin: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = tx.Rollback(ctx) // after a commit this does nothing
	}()
	rows, err := p.pending(ctx, tx)
	if err != nil {
		return 0, err
	}
	if len(rows) == 0 {
		p.endRound()
		return 0, nil
	}
	var batch int64
	if err := tx.QueryRow(ctx, `SELECT nextval('outbox_batch_seq')`).Scan(&batch); err != nil {
		return 0, fmt.Errorf("take batch number: %w", err)
	}
	byTopic := map[string][]outboxRow{}
	for _, row := range rows {
		byTopic[row.Topic] = append(byTopic[row.Topic], row)
	}
	lost := p.add(ctx, byTopic, batch) // leaves in byTopic what was added
	var seqs []int64
	var names []string
	for name, added := range byTopic {
		names = append(names, name)
		for _, row := range added {
			seqs = append(seqs, row.Seq)
		}
	}
	if len(seqs) > 0 {
		if err := p.markPublished(ctx, tx, batch, seqs, names); err != nil {
			return 0, err
		}
	} else if err := tx.Rollback(ctx); err != nil {
		return 0, fmt.Errorf("rollback: %w", err)
	}
	// What was put back is work to do, too.
	return len(seqs) + len(lost), p.putBack(ctx, lost)
}

// pending locks the oldest unpublished rows. Rows commit out of order: looking
// for the unpublished ones, rather than beyond the last one, misses none.
func (p *pass) pending(ctx context.Context, tx pgx.Tx) ([]outboxRow, error) {
	rows, err := tx.Query(ctx, `
		SELECT seq, topic, event::text FROM outbox
		WHERE published_at IS NULL AND topic <> ALL($1::text[])
		ORDER BY seq LIMIT $2 FOR UPDATE SKIP LOCKED`, p.skip, relayBatch)
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[outboxRow])
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	return list, nil
}

// endRound is called when nothing but the skipped topics is pending: they get
// their next chance after a pause, others when Redis fails again.
func (p *pass) endRound() {
	if len(p.skip) == 0 {
		p.backoff = 0
		return
	}
	p.skip = p.skip[:0]
	p.backoff = min(2*p.backoff, maxBackoff)
}

// add runs addScript for each topic, in one pipeline. It takes out of byTopic
// what was not added, and returns the topics of which Redis has lost something,
// with the last batch it has.
func (p *pass) add(ctx context.Context, byTopic map[string][]outboxRow, batch int64) (lost map[string]int64) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	answers := map[string]*redis.Cmd{}
	pipe := p.rdb.Pipeline()
	for name, rows := range byTopic {
		args := make([]any, 0, len(rows)+2)
		args = append(args, p.marks[name], batch)
		for _, row := range rows {
			args = append(args, row.Event)
		}
		answers[name] = pipe.Eval(ctx, addScript, []string{streamKey(name), markKey(name, p.database)}, args...)
	}
	_, _ = pipe.Exec(ctx) // each answer is looked at
	lost = map[string]int64{}
	for name, cmd := range answers {
		switch last, err := cmd.Int64(); {
		case err != nil:
			p.refused(name, err)
		case last >= 0:
			lost[name] = last
		default:
			continue
		}
		delete(byTopic, name)
	}
	return lost
}

// refused leaves a topic alone until the round ends, so that one node of a
// cluster that is away does not hold up the others.
func (p *pass) refused(name string, err error) {
	p.skip = append(p.skip, name)
	p.m.failed.Inc()
	if p.backoff == 0 {
		p.backoff = minBackoff
		p.log.Warn("redis does not take events", zap.String("topic", name), zap.Error(err))
	}
	p.verified = time.Time{} // whatever happened, look for losses when it is back
}

func (p *pass) markPublished(ctx context.Context, tx pgx.Tx, batch int64, seqs []int64, names []string) error {
	b := &pgx.Batch{}
	b.Queue(`UPDATE outbox SET published_at = now(), batch = $1 WHERE seq = ANY($2)`, batch, seqs)
	b.Queue(`INSERT INTO outbox_marks (topic, batch) SELECT t, $1 FROM unnest($2::text[]) t
		ON CONFLICT (topic) DO UPDATE SET batch = excluded.batch`, batch, names)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("mark published: %w", err)
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit published: %w", err)
	}
	for _, name := range names {
		p.marks[name] = batch
	}
	p.m.published.Add(float64(len(seqs)))
	return nil
}

// verify compares Redis with the marks while nothing is published, so that a
// Redis that came back empty is filled without waiting for the next event.
func (p *pass) verify(ctx context.Context) error {
	if len(p.marks) == 0 {
		return nil
	}
	rctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	pipe := p.rdb.Pipeline()
	marks, exist := map[string]*redis.StringCmd{}, map[string]*redis.IntCmd{}
	for name := range p.marks {
		marks[name] = pipe.Get(rctx, markKey(name, p.database))
		exist[name] = pipe.Exists(rctx, streamKey(name))
	}
	_, _ = pipe.Exec(rctx) // each answer is looked at
	lost := map[string]int64{}
	for name, batch := range p.marks {
		last, err := marks[name].Int64()
		if err != nil && !errors.Is(err, redis.Nil) || exist[name].Err() != nil {
			p.verified = time.Time{} // away: look again soon
			continue
		}
		if exist[name].Val() == 0 {
			last = 0
		}
		if last < batch {
			lost[name] = last
		}
	}
	return p.putBack(ctx, lost)
}

// putBack makes pending again what Redis has lost: the events of each topic that
// came after the batch given for it. What was purged meanwhile cannot come back.
func (p *pass) putBack(ctx context.Context, lost map[string]int64) error {
	for name, last := range lost {
		tx, err := p.conn.Begin(ctx)
		if err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		b := &pgx.Batch{}
		var n int64
		b.Queue(`WITH back AS (UPDATE outbox SET published_at = NULL, batch = NULL
				WHERE topic = $1 AND batch > $2 AND published_at IS NOT NULL RETURNING 1)
			SELECT count(*) FROM back`, name, last).QueryRow(func(row pgx.Row) error { return row.Scan(&n) })
		if last > 0 {
			b.Queue(`UPDATE outbox_marks SET batch = $2 WHERE topic = $1`, name, last)
		} else {
			b.Queue(`DELETE FROM outbox_marks WHERE topic = $1`, name)
		}
		err = tx.SendBatch(ctx, b).Close()
		if err == nil {
			err = tx.Commit(ctx)
		}
		if err != nil {
			rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			_ = tx.Rollback(rctx) // the first error counts
			return fmt.Errorf("put back lost events: %w", err)
		}
		if p.marks[name] = last; last == 0 {
			delete(p.marks, name)
		}
		p.m.republished.Add(float64(n))
		p.log.Warn("redis has lost events; publishing them again",
			zap.String("topic", name), zap.Int64("after_batch", last), zap.Int64("events", n))
	}
	return nil
}
