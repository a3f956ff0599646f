// Package idempotency remembers the answers to requests that came with an
// Idempotency-Key, so that a repeated request gets the first answer again. It is
// the storage; package httpx is the HTTP side.
package idempotency

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/seal"
)

// Times of a key's life. A holder that died is replaced when its lock expires. One that
// lives renews it; should it fail to, it ends its request before the lock does, by enough
// for what the database is about to commit.
const (
	keep       = 24 * time.Hour
	lock       = 15 * time.Second
	renewEvery = 4 * time.Second
	renewLimit = 3 * time.Second
	giveUp     = 10 * time.Second // without a renewal
	sweepEvery = 10 * time.Minute
	sweepLimit = 5000
)

// ErrLost ends a request whose key may be another's by now.
var ErrLost = errors.New("idempotency: the key's lock could not be renewed")

// What a repeated request may be answered with instead of the stored answer.
var (
	ErrOtherRequest = errs.New(errs.Invalid, "idempotency_key_reused", "The Idempotency-Key was used for another request.")
	ErrRunning      = errs.New(errs.Conflict, "idempotency_key_running", "The first request with this Idempotency-Key still runs.").After(time.Second)
)

// Key names a request: the client's key counts within one operation of one
// principal of one tenant.
type Key struct {
	Tenant    id.TenantID
	Principal string // "" for nobody
	Op        string
	Key       string
}

// Answer is what is given again.
type Answer struct {
	Status int
	Header map[string]string
	Body   []byte
}

// Store keeps the answers in the service's database, bodies and fingerprints
// sealed: an answer may hold what is shown only once, a request a password.
type Store struct {
	pool  *pgxpool.Pool
	box   *seal.Box
	renew time.Duration
}

// New returns a store in the pool's database.
func New(pool *pgxpool.Pool, box *seal.Box) *Store { return &Store{pool, box, renewEvery} }

// Attempt is a request that has the key to itself until it is finished or
// abandoned.
type Attempt struct {
	store  *Store
	key    Key
	holder uuid.UUID
	taken  time.Time // when its lock was asked for
}

// Begin takes the key for a request whose content has the fingerprint. It returns
// the stored answer if there is one, else an Attempt. It returns ErrOtherRequest
// or ErrRunning when the key is not to be had.
func (s *Store) Begin(ctx context.Context, k Key, fingerprint [sha256.Size]byte) (*Answer, *Attempt, error) {
	holder, taken := uuid.New(), time.Now()
	var won uuid.UUID
	// The first branch takes a fresh key, or one whose holder died.
	// A body may hold a password, so that its bare hash would be worth guessing at.
	sealed, err := s.box.Seal(fingerprint[:], k.context())
	if err != nil {
		return nil, nil, fmt.Errorf("take idempotency key: %w", err)
	}
	err = s.pool.QueryRow(ctx, `
		INSERT INTO idempotency_keys AS k (tenant_id, principal, op, key, fingerprint, holder, locked_until)
		VALUES ($1, $2, $3, $4, $5, $6, now() + $7)
		ON CONFLICT ON CONSTRAINT idempotency_keys_pkey DO UPDATE
		SET fingerprint = excluded.fingerprint, holder = excluded.holder, locked_until = excluded.locked_until,
			status = NULL, headers = NULL, body = NULL, created_at = now()
		WHERE k.created_at < now() - $8::interval OR (k.holder IS NOT NULL AND k.locked_until < now())
		RETURNING holder`,
		tenantOf(k), k.Principal, k.Op, k.Key, sealed, holder, lock, keep).Scan(&won)
	if err == nil {
		return nil, &Attempt{s, k, holder, taken}, nil
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return nil, nil, fmt.Errorf("take idempotency key: %w", err)
	}
	a, err := s.stored(ctx, k, fingerprint)
	return a, nil, err
}

func (s *Store) stored(ctx context.Context, k Key, fingerprint [sha256.Size]byte) (*Answer, error) {
	var (
		first   []byte
		status  *int
		headers []byte
		body    []byte
	)
	err := s.pool.QueryRow(ctx, `
		SELECT fingerprint, status, headers, body FROM idempotency_keys
		WHERE tenant_id = $1 AND principal = $2 AND op = $3 AND key = $4`,
		tenantOf(k), k.Principal, k.Op, k.Key).Scan(&first, &status, &headers, &body)
	if errors.Is(err, pgx.ErrNoRows) { // abandoned just now
		return nil, ErrRunning
	}
	if err == nil {
		first, err = s.box.Open(first, k.context())
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("read idempotency key: %w", err)
	case !bytes.Equal(first, fingerprint[:]):
		return nil, ErrOtherRequest
	case status == nil:
		return nil, ErrRunning
	}
	a := &Answer{Status: *status}
	if err := json.Unmarshal(headers, &a.Header); err != nil {
		return nil, fmt.Errorf("read idempotency key: headers: %w", err)
	}
	if a.Body, err = s.box.Open(body, k.context()); err != nil {
		return nil, fmt.Errorf("read idempotency key: %w", err)
	}
	return a, nil
}

// Hold renews the lock until stop is called. The context that it returns ends, with
// ErrLost as its cause, when the lock is another's or could not be renewed in time.
func (a *Attempt) Hold(ctx context.Context) (held context.Context, stop func()) {
	held, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.hold(held, cancel)
	}()
	return held, func() {
		cancel(context.Canceled)
		<-ended
	}
}

func (a *Attempt) hold(ctx context.Context, lose context.CancelCauseFunc) {
	lost := time.AfterFunc(giveUp-time.Since(a.taken), func() { lose(ErrLost) })
	defer lost.Stop()
	tick := time.NewTicker(a.store.renew)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asked := time.Now()
		mine, err := a.renew(ctx)
		switch {
		case err != nil: // it may be had at the next try
		case !mine:
			lose(ErrLost)
			return
		default:
			lost.Reset(giveUp - time.Since(asked))
		}
	}
}

// renew reports whether the key was still this holder's.
func (a *Attempt) renew(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, renewLimit)
	defer cancel()
	tag, err := a.store.pool.Exec(ctx, `
		UPDATE idempotency_keys SET locked_until = now() + $6
		WHERE tenant_id = $1 AND principal = $2 AND op = $3 AND key = $4 AND holder = $5`,
		tenantOf(a.key), a.key.Principal, a.key.Op, a.key.Key, a.holder, lock)
	return err == nil && tag.RowsAffected() == 1, err
}

// Finish stores the answer. A holder whose lock has expired and was taken by
// another stores nothing.
func (a *Attempt) Finish(ctx context.Context, answer Answer) error {
	headers, err := json.Marshal(answer.Header)
	if err != nil {
		return fmt.Errorf("finish idempotency key: %w", err)
	}
	body, err := a.store.box.Seal(answer.Body, a.key.context())
	if err != nil {
		return fmt.Errorf("finish idempotency key: %w", err)
	}
	_, err = a.store.pool.Exec(ctx, `
		UPDATE idempotency_keys SET holder = NULL, locked_until = NULL, status = $6, headers = $7, body = $8
		WHERE tenant_id = $1 AND principal = $2 AND op = $3 AND key = $4 AND holder = $5`,
		tenantOf(a.key), a.key.Principal, a.key.Op, a.key.Key, a.holder, answer.Status, headers, body)
	if err != nil {
		return fmt.Errorf("finish idempotency key: %w", err)
	}
	return nil
}

// Abandon frees the key, so that the request can be tried again.
func (a *Attempt) Abandon(ctx context.Context) error {
	_, err := a.store.pool.Exec(ctx, `
		DELETE FROM idempotency_keys WHERE tenant_id = $1 AND principal = $2 AND op = $3 AND key = $4 AND holder = $5`,
		tenantOf(a.key), a.key.Principal, a.key.Op, a.key.Key, a.holder)
	if err != nil {
		return fmt.Errorf("abandon idempotency key: %w", err)
	}
	return nil
}

// Run removes keys that are out of date until ctx ends. A failed sweep is made up
// for by the next.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			_, _ = s.Sweep(ctx)
		}
	}
}

// Sweep removes keys that are out of date, a bounded number at a time, and
// returns how many.
func (s *Store) Sweep(ctx context.Context) (int64, error) {
	tag, err := s.pool.Exec(ctx, `
		DELETE FROM idempotency_keys WHERE ctid IN (
			SELECT ctid FROM idempotency_keys WHERE created_at < now() - $1::interval ORDER BY created_at LIMIT $2)`,
		keep, sweepLimit)
	if err != nil {
		return 0, fmt.Errorf("sweep idempotency keys: %w", err)
	}
	return tag.RowsAffected(), nil
}

// context binds a sealed body to its row.
func (k Key) context() []byte {
	return []byte("idempotency\x00" + k.Tenant.String() + "\x00" + k.Principal + "\x00" + k.Op + "\x00" + k.Key)
}

// tenantOf is the tenant's column: the nil uuid for none, since a primary key
// holds no NULL.
func tenantOf(k Key) uuid.UUID {
	u, err := uuid.Parse(k.Tenant.String())
	if err != nil {
		return uuid.Nil
	}
	return u
}
