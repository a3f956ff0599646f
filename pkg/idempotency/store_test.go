package idempotency_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/idempotency"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/seal"
)

var one, two = sha256.Sum256([]byte("one")), sha256.Sum256([]byte("two"))

func newStore(t *testing.T) (*idempotency.Store, func(sql string) int) {
	t.Helper()
	pool := pgtest.New(t, "idempotency", nil)
	box, err := seal.New(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	return idempotency.New(pool, box), func(sql string) (n int) {
		if err := pool.QueryRow(context.Background(), sql).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
}

func TestBegin_RepeatedRequestGetsTheFirstAnswer(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	ctx := t.Context()
	key := idempotency.Key{Principal: "u", Op: "create", Key: "k"}
	_, attempt, err := s.Begin(ctx, key, one)
	if err != nil || attempt == nil {
		t.Fatalf("first: %v, %v", attempt, err)
	}
	if _, _, err := s.Begin(ctx, key, one); !errors.Is(err, idempotency.ErrRunning) {
		t.Errorf("while it runs: %v", err)
	}
	if _, _, err := s.Begin(ctx, key, two); !errors.Is(err, idempotency.ErrOtherRequest) {
		t.Errorf("another body: %v", err)
	}
	want := idempotency.Answer{Status: 201, Header: map[string]string{"Location": "/x"}, Body: []byte(`{"a":1}`)}
	if err := attempt.Finish(ctx, want); err != nil {
		t.Fatal(err)
	}
	got, again, err := s.Begin(ctx, key, one)
	if err != nil || again != nil {
		t.Fatalf("repeat: %v, %v", again, err)
	}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Error(diff)
	}
}

func TestBegin_KeysOfOthersDoNotMeet(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	tenant := id.New[any]().String()
	var tid id.TenantID
	if err := tid.UnmarshalText([]byte(tenant)); err != nil {
		t.Fatal(err)
	}
	for _, k := range []idempotency.Key{
		{Op: "a", Key: "k"}, {Op: "b", Key: "k"}, {Op: "a", Key: "k", Principal: "u"}, {Op: "a", Key: "k", Principal: "u", Tenant: tid},
	} {
		if _, attempt, err := s.Begin(t.Context(), k, one); err != nil || attempt == nil {
			t.Errorf("%+v: %v, %v", k, attempt, err)
		}
	}
}

func TestBegin_OneOfManyWins(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			_, attempt, err := s.Begin(t.Context(), idempotency.Key{Op: "a", Key: "k"}, one)
			if attempt != nil {
				won.Add(1)
			} else if !errors.Is(err, idempotency.ErrRunning) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := won.Load(); n != 1 {
		t.Errorf("%d requests had the key", n)
	}
}

func TestAbandon_FreesTheKey(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	key := idempotency.Key{Op: "a", Key: "k"}
	_, attempt, err := s.Begin(t.Context(), key, one)
	if err != nil {
		t.Fatal(err)
	}
	if err := attempt.Abandon(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, attempt, err := s.Begin(t.Context(), key, two); err != nil || attempt == nil {
		t.Errorf("%v, %v", attempt, err)
	}
}

func TestBegin_DeadHolderIsReplacedAndCannotFinish(t *testing.T) {
	t.Parallel()
	s, query := newStore(t)
	key := idempotency.Key{Op: "a", Key: "k"}
	_, dead, err := s.Begin(t.Context(), key, one)
	if err != nil {
		t.Fatal(err)
	}
	query(`WITH u AS (UPDATE idempotency_keys SET locked_until = now() - interval '1 s' RETURNING 1) SELECT count(*) FROM u`)
	_, heir, err := s.Begin(t.Context(), key, one)
	if err != nil || heir == nil {
		t.Fatalf("%v, %v", heir, err)
	}
	if err := dead.Finish(t.Context(), idempotency.Answer{Status: 201}); err != nil {
		t.Fatal(err)
	}
	if n := query(`SELECT count(*) FROM idempotency_keys WHERE status IS NOT NULL`); n != 0 {
		t.Error("the dead holder's answer was stored")
	}
}

func TestHold_RenewsTheLock(t *testing.T) {
	t.Parallel()
	s, query := newStore(t)
	s.RenewEvery(time.Millisecond)
	_, attempt, err := s.Begin(t.Context(), idempotency.Key{Op: "a", Key: "k"}, one)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := attempt.Hold(t.Context())
	query(`WITH u AS (UPDATE idempotency_keys SET locked_until = now() + interval '1 s' RETURNING 1) SELECT count(*) FROM u`)
	await.True(t, "the lock to be renewed", func() bool {
		return query(`SELECT count(*) FROM idempotency_keys WHERE locked_until > now() + interval '5 s'`) == 1
	})
	if err := ctx.Err(); err != nil {
		t.Errorf("the request was ended: %v", err)
	}
	stop()
	if !errors.Is(context.Cause(ctx), context.Canceled) {
		t.Errorf("cause: %v", context.Cause(ctx))
	}
}

func TestHold_EndsTheRequestWhoseKeyIsAnothers(t *testing.T) {
	t.Parallel()
	s, query := newStore(t)
	s.RenewEvery(time.Millisecond)
	key := idempotency.Key{Op: "a", Key: "k"}
	_, slow, err := s.Begin(t.Context(), key, one)
	if err != nil {
		t.Fatal(err)
	}
	query(`WITH u AS (UPDATE idempotency_keys SET locked_until = now() - interval '1 s' RETURNING 1) SELECT count(*) FROM u`)
	if _, heir, err := s.Begin(t.Context(), key, one); err != nil || heir == nil {
		t.Fatalf("%v, %v", heir, err)
	}
	ctx, stop := slow.Hold(t.Context())
	defer stop()
	<-ctx.Done()
	if !errors.Is(context.Cause(ctx), idempotency.ErrLost) {
		t.Errorf("cause: %v", context.Cause(ctx))
	}
}

func TestSweep_RemovesWhatIsOutOfDate(t *testing.T) {
	t.Parallel()
	s, query := newStore(t)
	for _, k := range []string{"old", "new"} {
		if _, _, err := s.Begin(t.Context(), idempotency.Key{Op: "a", Key: k}, one); err != nil {
			t.Fatal(err)
		}
	}
	query(`WITH u AS (UPDATE idempotency_keys SET created_at = now() - interval '25 h' WHERE key = 'old' RETURNING 1) SELECT count(*) FROM u`)
	if n, err := s.Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	if n := query(`SELECT count(*) FROM idempotency_keys WHERE key = 'new'`); n != 1 {
		t.Error("a fresh key was swept")
	}
}
