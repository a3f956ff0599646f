package events

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

// RelayOptions tune a Relay; the zero value is right.
type RelayOptions struct {
	Log       *zap.Logger
	Metrics   prometheus.Registerer
	Poll      time.Duration // how long a lost wake-up can delay an event, and how soon a lost stream is noticed; 0 = 5 s
	Retention time.Duration // how long published events can be published again; 0 = 72 h
	MaxLen    int64         // length from which a topic is trimmed of all that is read; 0 = 100,000
}

const (
	defaultPoll      = 5 * time.Second
	defaultRetention = 72 * time.Hour
	defaultMaxLen    = 100_000
	relayBatch       = 500
	housekeeping     = time.Minute
	gaugesEvery      = 10 * time.Second
	redisTimeout     = 5 * time.Second
	lastPassTimeout  = 3 * time.Second
	minBackoff       = 50 * time.Millisecond
	maxBackoff       = 5 * time.Second
	// awakePause is how often the relay looks again while transactions that
	// emit are open; see wake.
	awakePause    = 2 * time.Millisecond
	maxAwakePause = 20 * time.Millisecond
)

// Relay puts the events of one database's outbox on their streams.
type Relay struct {
	pool *pgxpool.Pool
	rdb  redis.UniversalClient
	o    RelayOptions
	log  *zap.Logger
	m    relayMetrics
}

// NewRelay returns a relay for the database of pool. Any number of them may run:
// one is active, the others take over when it ends.
func NewRelay(pool *pgxpool.Pool, rdb redis.UniversalClient, o RelayOptions) *Relay {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Poll <= 0 {
		o.Poll = defaultPoll
	}
	if o.Retention <= 0 {
		o.Retention = defaultRetention
	}
	if o.MaxLen <= 0 {
		o.MaxLen = defaultMaxLen
	}
	return &Relay{pool: pool, rdb: rdb, o: o, log: o.Log.Named("relay"), m: newRelayMetrics(o.Metrics)}
}

// Run relays until ctx ends, makes a last pass, and returns nil. It outlives
// every outage of PostgreSQL and Redis.
func (r *Relay) Run(ctx context.Context) error {
	for wait := minBackoff; ; wait = min(2*wait, maxBackoff) {
		led, err := r.lead(ctx)
		if ctx.Err() != nil {
			return nil
		}
		r.m.failed.Inc()
		r.log.Warn("relay lost its database connection", zap.Error(err))
		if led {
			wait = minBackoff
		}
		pause(ctx, wait)
	}
}

// pass is the state of one relay while it leads. Everything happens on one
// connection, so that work ends with the lock that entitles to it.
type pass struct {
	*Relay
	conn     *pgx.Conn
	database string
	marks    map[string]int64 // outbox_marks; only the leader writes it
	skip     []string         // topics that Redis does not take at the moment; never nil, which SQL takes for NULL
	asleep   bool             // sleepLock is held
	backoff  time.Duration    // after an error of Redis; 0 = none
	verified time.Time
	gauged   time.Time
	kept     time.Time
}

// lead waits to be the active relay and then works until ctx ends or the
// connection breaks. It reports whether it was active.
func (r *Relay) lead(ctx context.Context) (led bool, err error) {
	// Not of the pool: a relay must not take a connection from the requests.
	conn, err := pgx.ConnectConfig(ctx, r.pool.Config().ConnConfig)
	if err != nil {
		return false, fmt.Errorf("connect: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx) // also frees the locks
	}()
	p := &pass{Relay: r, conn: conn, marks: map[string]int64{}, skip: []string{}}
	for got := false; !got; {
		if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1), current_database()`, relayLock).Scan(&got, &p.database); err != nil {
			return false, fmt.Errorf("take relay lock: %w", err)
		}
		if !got && !pause(ctx, min(r.o.Poll, time.Second)) {
			return false, nil
		}
	}
	r.m.leading.Set(1)
	defer func() { r.m.leading.Set(0); r.m.pending.Set(0); r.m.oldest.Set(0) }()
	if err := p.prepare(ctx); err != nil {
		return true, err
	}
	err = p.loop(ctx)
	if ctx.Err() == nil {
		return true, err
	}
	return true, r.lastPass(ctx, p)
}

// prepare reads the marks and subscribes.
func (p *pass) prepare(ctx context.Context) error {
	if _, err := p.conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	rows, err := p.conn.Query(ctx, `SELECT topic, batch FROM outbox_marks`)
	if err != nil {
		return fmt.Errorf("read marks: %w", err)
	}
	var name string
	var batch int64
	if _, err := pgx.ForEachRow(rows, []any{&name, &batch}, func() error { p.marks[name] = batch; return nil }); err != nil {
		return fmt.Errorf("read marks: %w", err)
	}
	return nil
}

// lastPass publishes what was committed just before the stop. The connection of
// an ended context may be closed: then the next relay does it.
func (r *Relay) lastPass(ctx context.Context, p *pass) error {
	if p.conn.IsClosed() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastPassTimeout)
	defer cancel()
	for {
		n, err := p.publish(ctx)
		if err != nil || n < relayBatch {
			return err
		}
	}
}

// loop publishes, falls asleep when there is nothing left, and is woken by Emit
// or by the clock. An error of Redis is retried here; one of PostgreSQL ends it.
func (p *pass) loop(ctx context.Context) error {
	// A stop ends the waiting, not a transaction: that would cost the connection
	// and with it the last pass.
	work := context.WithoutCancel(ctx)
	for wait := awakePause; ctx.Err() == nil; {
		if err := p.chores(work); err != nil {
			return err
		}
		n, err := p.publish(work)
		if err != nil {
			return err
		}
		switch {
		case p.backoff > 0:
			// Redis is away: nothing is urgent but its return.
			if n == 0 && !pause(ctx, p.backoff) {
				return nil
			}
		case n > 0:
			wait = awakePause
			if err := p.setAsleep(work, false); err != nil {
				return err
			}
		case !p.asleep:
			if err := p.setAsleep(work, true); err != nil {
				return err
			}
			if !p.asleep { // somebody is about to commit and will not notify
				pause(ctx, wait)
				wait = min(2*wait, maxAwakePause)
			}
		default:
			if err := p.sleep(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// setAsleep takes or gives back the sleep lock. Taking it fails, and leaves the
// relay awake, while a transaction that has emitted is open.
func (p *pass) setAsleep(ctx context.Context, asleep bool) error {
	if p.asleep == asleep {
		return nil
	}
	sql := `SELECT pg_try_advisory_lock($1)`
	if !asleep {
		sql = `SELECT pg_advisory_unlock($1)`
	}
	var ok bool
	if err := p.conn.QueryRow(ctx, sql, sleepLock).Scan(&ok); err != nil {
		return fmt.Errorf("change sleep lock: %w", err)
	}
	p.asleep = asleep && ok
	return nil
}

// sleep waits for a notification until the next poll is due.
func (p *pass) sleep(ctx context.Context) error {
	wctx, cancel := context.WithTimeout(ctx, p.o.Poll)
	defer cancel()
	_, err := p.conn.WaitForNotification(wctx)
	if err != nil && wctx.Err() == nil {
		return fmt.Errorf("wait for notification: %w", err)
	}
	if p.conn.IsClosed() && ctx.Err() == nil {
		return errors.New("connection closed while waiting")
	}
	return nil
}

// pause waits for d and reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
