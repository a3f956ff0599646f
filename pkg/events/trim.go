package events

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
)

const (
	purgeBatch = 5000
	// unreadRetention is how long a stream keeps what a group has not read: a
	// service may be down that long. Then the group counts as gone.
	unreadRetention = 7 * 24 * time.Hour
	// readGrace keeps what all groups have read for a little while, for those
	// who look at a stream by hand.
	readGrace = time.Minute
)

// chores does what is due beside publishing. Its errors are those of PostgreSQL.
func (p *pass) chores(ctx context.Context) error {
	now := time.Now()
	if now.Sub(p.verified) >= p.o.Poll {
		p.verified = now
		if err := p.verify(ctx); err != nil {
			return err
		}
	}
	if now.Sub(p.gauged) >= gaugesEvery {
		p.gauged = now
		if err := p.gauge(ctx); err != nil {
			return err
		}
	}
	if now.Sub(p.kept) >= housekeeping {
		p.kept = now
		p.trim(ctx)
		return p.purge(ctx)
	}
	return nil
}

func (p *pass) gauge(ctx context.Context) error {
	var n, age float64
	err := p.conn.QueryRow(ctx, `SELECT count(*)::float8, coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8
		FROM outbox WHERE published_at IS NULL`).Scan(&n, &age)
	if err != nil {
		return fmt.Errorf("measure outbox: %w", err)
	}
	p.m.pending.Set(n)
	p.m.oldest.Set(age)
	return nil
}

// purge deletes a bounded number of the rows that were published long ago; what
// remains is due the next time.
func (p *pass) purge(ctx context.Context) error {
	_, err := p.conn.Exec(ctx, `DELETE FROM outbox WHERE seq IN (
		SELECT seq FROM outbox WHERE published_at < now() - $1::interval ORDER BY published_at LIMIT $2)`,
		p.o.Retention, purgeBatch)
	if err != nil {
		return fmt.Errorf("purge outbox: %w", err)
	}
	return nil
}

// trim shortens the streams. A topic that cannot be trimmed now is trimmed the
// next time.
func (p *pass) trim(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	for name := range p.marks {
		key := streamKey(name)
		cut, err := p.cut(ctx, key, time.Now())
		if err == nil && cut.ms > 0 {
			err = p.rdb.XTrimMinIDApprox(ctx, key, cut.String(), 0).Err()
		}
		if err != nil {
			p.log.Warn("stream was not trimmed", zap.String("topic", name), zap.Error(err))
		}
	}
}

// cut returns the first entry that the stream has to keep. Entries go when they
// are older than the retention, or, on a long stream, a minute old; but not
// before every group has finished them, unless it has been away for a week.
func (p *pass) cut(ctx context.Context, key string, now time.Time) (entryID, error) {
	length, err := p.rdb.XLen(ctx, key).Result()
	if err != nil {
		return entryID{}, fmt.Errorf("measure stream: %w", err)
	}
	groups, err := p.rdb.XInfoGroups(ctx, key).Result()
	if err != nil {
		return entryID{}, fmt.Errorf("list groups: %w", err)
	}
	cut := entryID{ms: uint64(now.Add(-p.o.Retention).UnixMilli())}
	if length > p.o.MaxLen {
		cut = entryID{ms: uint64(now.Add(-readGrace).UnixMilli())}
	}
	for _, g := range groups {
		unread := parseEntryID(g.LastDeliveredID)
		if g.Pending > 0 {
			list, err := p.rdb.XPending(ctx, key, g.Name).Result()
			if err != nil {
				return entryID{}, fmt.Errorf("read pending entries: %w", err)
			}
			unread = unread.older(parseEntryID(list.Lower))
		}
		cut = cut.older(unread)
	}
	if hard := (entryID{ms: uint64(now.Add(-unreadRetention).UnixMilli())}); cut.older(hard) == cut {
		cut = hard
	}
	return cut, nil
}

// entryID is the id of a stream entry, milliseconds and sequence.
type entryID struct{ ms, seq uint64 }

func (e entryID) String() string { return fmt.Sprintf("%d-%d", e.ms, e.seq) }

func (e entryID) older(o entryID) entryID {
	if o.ms < e.ms || o.ms == e.ms && o.seq < e.seq {
		return o
	}
	return e
}

// parseEntryID reads an id that Redis wrote. What is malformed is the oldest of
// all: nothing is trimmed for its sake.
func parseEntryID(s string) entryID {
	a, b, _ := strings.Cut(s, "-")
	ms, err := strconv.ParseUint(a, 10, 64)
	if err != nil {
		return entryID{}
	}
	seq, _ := strconv.ParseUint(b, 10, 64) // absent is 0
	return entryID{ms, seq}
}
