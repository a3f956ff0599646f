package events_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	goredis "github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/propagation"

	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/origin"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/pkg/redistest"
)

type renamed struct {
	Name string `json:"name"`
}

var thingRenamed = events.Type[renamed]{Name: "com.pyairtable.thing.renamed.v1", Source: "/thing-service", Stream: "things"}

// effects counts what handlers did: no unique index, so that a second effect shows.
var schema = fstest.MapFS{"0001_create_effects.sql": &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE effects (name text NOT NULL);")}}

// never is a poll that no test lives to see: what happens was not found by polling.
const never = time.Hour

type bundle struct {
	t    *testing.T
	pool *pgxpool.Pool
	rdb  goredis.UniversalClient
	reg  *prometheus.Registry
}

func setUp(t *testing.T) *bundle {
	t.Helper()
	return &bundle{t: t, pool: pgtest.New(t, "things", schema), rdb: redistest.New(t), reg: prometheus.NewRegistry()}
}

// run starts a loop and returns how to stop it; it is stopped at the latest when
// the test ends.
func (b *bundle) run(loop func(context.Context) error) (stop func()) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- loop(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				b.t.Errorf("Run = %v", err)
			}
		case <-time.After(20 * time.Second):
			b.t.Error("Run did not end")
		}
	})
	b.t.Cleanup(stop)
	return stop
}

func (b *bundle) relay(poll time.Duration) (stop func()) {
	b.t.Helper()
	return b.run(events.NewRelay(b.pool, b.rdb, events.RelayOptions{Poll: poll, Metrics: b.reg}).Run)
}

func (b *bundle) consumer(o events.ConsumerOptions, fn func(ctx context.Context, tx pgx.Tx, e events.Event, d renamed) error) *events.Consumer {
	if o.Metrics == nil {
		o.Metrics = b.reg
	}
	if o.Backoff == nil {
		o.Backoff = func(int) time.Duration { return time.Millisecond }
	}
	c := events.NewConsumer("other", b.pool, b.rdb, o)
	if fn == nil {
		fn = apply
	}
	events.On(c, thingRenamed, fn)
	return c
}

func apply(ctx context.Context, tx pgx.Tx, _ events.Event, d renamed) error {
	_, err := tx.Exec(ctx, `INSERT INTO effects (name) VALUES ($1)`, d.Name)
	return err
}

func thing(name string) events.Event {
	return thingRenamed.New(context.Background(), id.New[id.Tenant](), "thing/1", 1, renamed{name})
}

// emit commits an event for each name.
func (b *bundle) emit(names ...string) {
	b.t.Helper()
	if err := b.tryEmit(names...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) tryEmit(names ...string) error {
	return postgres.InTx(context.Background(), b.pool, func(tx pgx.Tx) error {
		for _, n := range names {
			if err := events.Emit(context.Background(), tx, thing(n)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *bundle) count(sql string, args ...any) (n int) {
	b.t.Helper()
	if err := b.pool.QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		return -1 // the server may be away
	}
	return n
}

// streamed returns the names in the streams, oldest first for each shard.
func (b *bundle) streamed() (names []string) {
	b.t.Helper()
	for shard := range events.Shards {
		msgs, err := b.rdb.XRange(context.Background(), fmt.Sprintf("events:{things:%d}", shard), "-", "+").Result()
		if err != nil {
			return nil
		}
		for _, m := range msgs {
			var e events.Event
			if err := json.Unmarshal([]byte(m.Values["e"].(string)), &e); err != nil {
				b.t.Fatal(err)
			}
			d, err := thingRenamed.Decode(e)
			if err != nil {
				b.t.Fatal(err)
			}
			names = append(names, d.Name)
		}
	}
	return names
}

// eventually waits until ok, and fails the test if that takes too long.
func (b *bundle) eventually(what string, ok func() bool) {
	b.t.Helper()
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-deadline:
			b.t.Fatalf("not in time: %s", what)
		case <-tick.C:
		}
	}
}

func names(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s%04d", prefix, i)
	}
	return list
}

// appliedOnce waits for the effects of names and checks that there are no others.
func (b *bundle) appliedOnce(want []string) {
	b.t.Helper()
	b.eventually(fmt.Sprintf("effects of %d events", len(want)), func() bool {
		return b.count(`SELECT count(DISTINCT name) FROM effects`) >= len(want)
	})
	rows, err := b.pool.Query(context.Background(), `SELECT name FROM effects ORDER BY name`)
	if err != nil {
		b.t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.t.Fatal(err)
	}
	slices.Sort(want)
	if d := cmp.Diff(want, got); d != "" {
		b.t.Errorf("effects: %s", d)
	}
}

func TestEmit_RolledBackEmitsNothing(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.relay(never)
	refused := errors.New("refused")
	err := postgres.InTx(t.Context(), b.pool, func(tx pgx.Tx) error {
		return errors.Join(events.Emit(t.Context(), tx, thing("ghost")), refused)
	})
	if !errors.Is(err, refused) {
		t.Fatal(err)
	}
	b.emit("real")
	b.eventually("the real event", func() bool { return len(b.streamed()) > 0 })
	if d := cmp.Diff([]string{"real"}, b.streamed()); d != "" {
		t.Error(d)
	}
}

func TestEmit_RefusesWhatCannotTravel(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	for name, spoil := range map[string]func(*events.Event){
		"no id":     func(e *events.Event) { e.ID = "" },
		"no type":   func(e *events.Event) { e.Type = "" },
		"no source": func(e *events.Event) { e.Source = "" },
		"no time":   func(e *events.Event) { e.Time = time.Time{} },
		"no stream": func(e *events.Event) { e.Stream = "" },
		"no json":   func(e *events.Event) { e.Data = json.RawMessage("{") },
	} {
		e := thing(name)
		spoil(&e)
		err := postgres.InTx(t.Context(), b.pool, func(tx pgx.Tx) error { return events.Emit(t.Context(), tx, e) })
		if err == nil {
			t.Errorf("%s: emitted", name)
		}
	}
	if n := b.count(`SELECT count(*) FROM outbox`); n != 0 {
		t.Errorf("%d rows in the outbox", n)
	}
}

func TestEvent_IsCloudEventsJSON(t *testing.T) {
	t.Parallel()
	parent := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	ctx := propagation.TraceContext{}.Extract(t.Context(), propagation.MapCarrier{"traceparent": parent})
	tenant := id.New[id.Tenant]()
	e := thingRenamed.New(ctx, tenant, "thing/9", 7, renamed{"x"})
	body, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"specversion": "1.0", "id": e.ID, "source": "/thing-service", "type": thingRenamed.Name, "subject": "thing/9",
		"time": e.Time.Format(time.RFC3339Nano), "tenantid": tenant.String(), "version": 7.0, "traceparent": parent,
		"data": map[string]any{"name": "x"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if _, err := (events.Type[renamed]{Name: "other"}).Decode(e); err == nil {
		t.Error("an event was decoded as another type")
	}
}

func TestRelay_IsWokenByEveryCommitWithoutPolling(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.relay(never)
	// Emitters that overlap with each other and with the relay's falling asleep.
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for _, n := range names(fmt.Sprint("w", w, "-"), 40) {
				if err := b.tryEmit(n); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.eventually("all events on the streams", func() bool { return len(b.streamed()) == 320 })
	// One at a time, each to a relay that sleeps.
	for i, n := range names("single", 20) {
		b.emit(n)
		b.eventually(n, func() bool { return len(b.streamed()) == 321+i })
	}
}

func TestRelay_KeepsTheOrderOfATenant(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	tenant := id.New[id.Tenant]()
	want := names("n", 1200) // more than a batch
	err := postgres.InTx(t.Context(), b.pool, func(tx pgx.Tx) error {
		var list []events.Event
		for _, n := range want {
			list = append(list, thingRenamed.New(t.Context(), tenant, n, 1, renamed{n}))
		}
		return events.Emit(t.Context(), tx, list...)
	})
	if err != nil {
		t.Fatal(err)
	}
	b.relay(never)
	b.eventually("all events on the stream", func() bool { return len(b.streamed()) == len(want) })
	if d := cmp.Diff(want, b.streamed()); d != "" {
		t.Error(d)
	}
}

func TestRelay_RowsCommittedOutOfOrderAreNotLost(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.relay(never)
	early, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := events.Emit(t.Context(), early, thing("early")); err != nil {
		t.Fatal(err)
	}
	b.emit("late")
	b.eventually("the later row, committed first", func() bool { return slices.Equal(b.streamed(), []string{"late"}) })
	if err := early.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.eventually("the earlier row, committed last", func() bool { return slices.Contains(b.streamed(), "early") })
}

func TestRelay_TwoAtOncePublishOnceAndOneTakesOver(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	stops := []func(){b.relay(100 * time.Millisecond), b.relay(100 * time.Millisecond)}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for _, n := range names(fmt.Sprint("w", w, "-"), 100) {
				if err := b.tryEmit(n); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.eventually("all events published", func() bool { return b.count(`SELECT count(*) FROM outbox WHERE published_at IS NULL`) == 0 })
	if n := len(b.streamed()); n != 400 {
		t.Errorf("%d entries, want 400", n)
	}
	for i, stop := range stops { // whichever of them leads
		stop()
		b.emit(fmt.Sprint("after", i))
		if i == 0 {
			b.eventually("the other relay takes over", func() bool { return slices.Contains(b.streamed(), "after0") })
		}
	}
}

func TestRelay_LastPassPublishesWhatWasCommittedBeforeTheStop(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	stop := b.relay(never)
	b.emit("first")
	b.eventually("the relay works", func() bool { return len(b.streamed()) == 1 })
	want := names("n", 50)
	b.emit(want...)
	stop()
	if n := len(b.streamed()); n != 51 {
		t.Errorf("%d entries after the stop, want 51", n)
	}
}

func TestRedisKilled_NoEventIsLostAndNoneIsAppliedTwice(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) *redistest.Server{
		"comes back empty":     redistest.OwnServer,
		"comes back with data": redistest.OwnDurableServer,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			b := &bundle{t: t, pool: pgtest.New(t, "things", schema), rdb: server.Client(t), reg: prometheus.NewRegistry()}
			b.relay(100 * time.Millisecond)
			b.run(b.consumer(events.ConsumerOptions{ClaimAfter: time.Second}, nil).Run)
			want := names("n", 600)
			for i, n := range want {
				b.emit(n)
				if i%200 == 100 {
					if err := server.Kill(); err != nil {
						t.Fatal(err)
					}
				}
				if i%200 == 150 {
					if err := server.Restart(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
			b.appliedOnce(want)
			if name == "comes back empty" && b.counter("events_republished_total") == 0 {
				t.Error("nothing was published again: the test killed nothing that mattered")
			}
		})
	}
}

func TestRedisEmptied_WhatIsRetainedIsPublishedAgainWithoutANewEvent(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.relay(50 * time.Millisecond)
	want := names("n", 40)
	b.emit(want...)
	b.eventually("first publication", func() bool { return len(b.streamed()) == 40 })
	if err := b.rdb.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	b.eventually("second publication", func() bool { return len(b.streamed()) == 40 })
	b.run(b.consumer(events.ConsumerOptions{}, nil).Run)
	b.appliedOnce(want)
	// And the groups: they are gone with the data while the consumer reads.
	if err := b.rdb.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	b.emit("after")
	b.appliedOnce(append(want, "after"))
}

func TestRedisRolledBack_OnlyTheLostTailIsPublishedAgain(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	stop := b.relay(50 * time.Millisecond)
	tenant := id.New[id.Tenant]()
	for _, n := range []string{"a", "b", "c"} {
		err := postgres.InTx(t.Context(), b.pool, func(tx pgx.Tx) error {
			return events.Emit(t.Context(), tx, thingRenamed.New(t.Context(), tenant, n, 1, renamed{n}))
		})
		if err != nil {
			t.Fatal(err)
		}
		b.eventually(n, func() bool { return slices.Contains(b.streamed(), n) })
	}
	stop()
	// Redis comes back in the state of a moment ago: after a's batch.
	var topic, db string
	var first int64
	if err := b.pool.QueryRow(t.Context(), `SELECT topic, min(batch), current_database() FROM outbox GROUP BY topic`).Scan(&topic, &first, &db); err != nil {
		t.Fatal(err)
	}
	key := "events:{" + topic + "}"
	msgs := b.rdb.XRange(t.Context(), key, "-", "+").Val()
	if err := b.rdb.XDel(t.Context(), key, msgs[1].ID, msgs[2].ID).Err(); err != nil {
		t.Fatal(err)
	}
	if err := b.rdb.Set(t.Context(), key+":mark:"+db, first, 0).Err(); err != nil {
		t.Fatal(err)
	}
	// The next event must not hide the loss, whether it or the check comes first.
	err := postgres.InTx(t.Context(), b.pool, func(tx pgx.Tx) error {
		return events.Emit(t.Context(), tx, thingRenamed.New(t.Context(), tenant, "d", 1, renamed{"d"}))
	})
	if err != nil {
		t.Fatal(err)
	}
	b.relay(50 * time.Millisecond)
	b.eventually("the tail", func() bool { return len(b.streamed()) >= 4 })
	if d := cmp.Diff([]string{"a", "b", "c", "d"}, b.streamed()); d != "" {
		t.Error(d)
	}
}

func TestConsumer_AbandonedDeliveryIsTakenOver(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.relay(never)
	want := names("n", 30)
	b.emit(want...)
	b.eventually("publication", func() bool { return len(b.streamed()) == 30 })
	// A replica reads them and dies before it acknowledges.
	for shard := range events.Shards {
		key := fmt.Sprintf("events:{things:%d}", shard)
		if err := b.rdb.XGroupCreateMkStream(t.Context(), key, "other", "0").Err(); err != nil {
			t.Fatal(err)
		}
		err := b.rdb.XReadGroup(t.Context(), &goredis.XReadGroupArgs{Group: "other", Consumer: "victim", Streams: []string{key, ">"}, Block: -1}).Err()
		if err != nil && !errors.Is(err, goredis.Nil) {
			t.Fatal(err)
		}
	}
	b.run(b.consumer(events.ConsumerOptions{ClaimAfter: 300 * time.Millisecond}, nil).Run)
	b.appliedOnce(want)
	b.noPending()
}

// noPending waits until every delivery is acknowledged.
func (b *bundle) noPending() {
	b.t.Helper()
	b.eventually("acknowledgement of all deliveries", func() bool {
		var n int64
		for shard := range events.Shards {
			p, err := b.rdb.XPending(context.Background(), fmt.Sprintf("events:{things:%d}", shard), "other").Result()
			if err != nil {
				return false
			}
			n += p.Count
		}
		return n == 0
	})
}

func TestConsumer_DuplicateDeliveryAppliesOnce(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	body, err := json.Marshal(thing("twin"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		key := fmt.Sprintf("events:{things:%d}", i%events.Shards)
		if err := b.rdb.XAdd(t.Context(), &goredis.XAddArgs{Stream: key, Values: []any{"e", string(body)}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	// Two replicas, so that the same event is in several hands at a time.
	b.run(b.consumer(events.ConsumerOptions{}, nil).Run)
	b.run(b.consumer(events.ConsumerOptions{}, nil).Run)
	b.eventually("20 outcomes", func() bool { return b.consumed("applied")+b.consumed("duplicate") == 20 })
	b.appliedOnce([]string{"twin"})
	b.noPending()
}

func (b *bundle) counter(name string) float64 {
	b.t.Helper()
	families, err := b.reg.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	return 0
}

// consumed reads events_consumed_total for the type and an outcome.
func (b *bundle) consumed(outcome string) int {
	b.t.Helper()
	families, err := b.reg.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "events_consumed_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == outcome {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	return 0
}

func TestConsumer_PoisonDiesAfterEightTriesAndCanBeReplayed(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.relay(never)
	var mended atomic.Bool
	var tries atomic.Int32
	c := b.consumer(events.ConsumerOptions{}, func(ctx context.Context, tx pgx.Tx, e events.Event, d renamed) error {
		if err := apply(ctx, tx, e, d); err != nil {
			return err
		}
		if d.Name == "poison" && !mended.Load() {
			if tries.Add(1)%2 == 0 {
				panic("poison")
			}
			return errors.New("cannot digest\x00 this")
		}
		return nil
	})
	b.run(c.Run)
	b.emit("before", "poison", "after")
	b.eventually("the dead event", func() bool { return b.count(`SELECT count(*) FROM dead_events`) == 1 })
	b.appliedOnce([]string{"before", "after"})
	b.noPending()
	if n := tries.Load(); n != 8 {
		t.Errorf("%d tries, want 8", n)
	}
	dead, err := c.Dead(t.Context(), 0, 10)
	if err != nil || len(dead) != 1 {
		t.Fatalf("Dead = %v, %v", dead, err)
	}
	if dead[0].Attempts != 8 || !strings.Contains(dead[0].Error, "poison") || dead[0].Type != thingRenamed.Name || dead[0].TenantID.IsZero() {
		t.Errorf("dead event: %+v", dead[0])
	}
	if n := b.consumed("failed"); n != 7 {
		t.Errorf("%d failed deliveries, want 7", n)
	}

	if err := c.Replay(t.Context(), dead[0].ID); err == nil {
		t.Error("Replay of what is not mended succeeded")
	}
	mended.Store(true)
	var wg sync.WaitGroup
	var replayed, refused atomic.Int32
	for range 4 { // an operator's double click
		wg.Go(func() {
			switch err := c.Replay(t.Context(), dead[0].ID); {
			case err == nil:
				replayed.Add(1)
			case errors.Is(err, errs.ErrNotFound):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if replayed.Load() != 1 || refused.Load() != 3 {
		t.Errorf("%d replays and %d refusals, want 1 and 3", replayed.Load(), refused.Load())
	}
	b.appliedOnce([]string{"before", "after", "poison"})
	if dead, err := c.Dead(t.Context(), 0, 10); err != nil || len(dead) != 0 {
		t.Errorf("Dead after the replay = %v, %v", dead, err)
	}
}

func TestConsumer_DeadEventIsNotAppliedBehindTheOperatorsBack(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	var calls atomic.Int32
	c := b.consumer(events.ConsumerOptions{}, func(context.Context, pgx.Tx, events.Event, renamed) error {
		calls.Add(1)
		return errors.New("no")
	})
	b.run(c.Run)
	b.relay(50 * time.Millisecond)
	b.emit("poison")
	b.eventually("the dead event", func() bool { return b.count(`SELECT count(*) FROM dead_events`) == 1 })
	b.noPending()
	if err := b.rdb.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	b.eventually("the second delivery", func() bool { return b.consumed("duplicate") == 1 })
	if n := calls.Load(); n != 8 {
		t.Errorf("%d calls, want 8", n)
	}
}

func TestConsumer_MalformedEntriesDieAtOnceAndUnknownTypesAreIgnored(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	foreign := thing("foreign")
	foreign.Type = "com.pyairtable.other.v1"
	wrong := thing("wrong")
	wrong.Data = json.RawMessage(`{"name": 7}`)
	var entries []string
	for _, e := range []events.Event{foreign, wrong, thing("good")} {
		body, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, string(body))
	}
	entries = append(entries, "{", `{"id":"x"}`, `{"specversion":"1.0","type":"\u0000"}`)
	for _, e := range entries {
		if err := b.rdb.XAdd(t.Context(), &goredis.XAddArgs{Stream: "events:{things:0}", Values: []any{"e", e}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.rdb.XAdd(t.Context(), &goredis.XAddArgs{Stream: "events:{things:0}", Values: []any{"other", "x"}}).Err(); err != nil {
		t.Fatal(err)
	}
	c := b.consumer(events.ConsumerOptions{}, nil)
	b.run(c.Run)
	b.eventually("five dead entries", func() bool { return b.count(`SELECT count(*) FROM dead_events WHERE attempts = 1`) == 5 })
	b.appliedOnce([]string{"good"})
	b.noPending()
	dead, err := c.Dead(t.Context(), 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dead {
		if err := c.Replay(t.Context(), d.ID); err == nil {
			t.Errorf("%s was replayed", d.EventID)
		}
	}
}

func TestConsumer_EventThatEndsTheProcessIsGivenUp(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	body, err := json.Marshal(thing("bomb"))
	if err != nil {
		t.Fatal(err)
	}
	key := "events:{things:0}"
	msg, err := b.rdb.XAdd(t.Context(), &goredis.XAddArgs{Stream: key, Values: []any{"e", string(body)}}).Result()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.rdb.XGroupCreateMkStream(t.Context(), key, "other", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if err := b.rdb.XReadGroup(t.Context(), &goredis.XReadGroupArgs{Group: "other", Consumer: "victim", Streams: []string{key, ">"}, Block: -1}).Err(); err != nil {
		t.Fatal(err)
	}
	for range 7 { // each victim claims it and dies of it
		if err := b.rdb.XClaim(t.Context(), &goredis.XClaimArgs{Stream: key, Group: "other", Consumer: "victim", Messages: []string{msg}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	b.run(b.consumer(events.ConsumerOptions{ClaimAfter: 200 * time.Millisecond}, nil).Run)
	b.eventually("the dead event", func() bool { return b.count(`SELECT count(*) FROM dead_events`) == 1 })
	if n := b.count(`SELECT count(*) FROM effects`); n != 0 {
		t.Error("the bomb was handled a ninth time")
	}
}

func TestConsumer_StopFinishesTheHandlerInHandAndLeavesTheRest(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.relay(never)
	want := names("n", 12)
	b.emit(want...)
	b.eventually("publication", func() bool { return len(b.streamed()) == 12 })
	entered, release := make(chan struct{}, 12), make(chan struct{})
	var running, most atomic.Int32
	first := b.consumer(events.ConsumerOptions{Concurrency: 2}, func(ctx context.Context, tx pgx.Tx, e events.Event, d renamed) error {
		for n := running.Add(1); ; {
			if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		defer running.Add(-1)
		entered <- struct{}{}
		<-release
		return apply(ctx, tx, e, d)
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- first.Run(ctx) }()
	<-entered
	<-entered
	cancel()
	select {
	case err := <-ended:
		t.Fatalf("Run ended while handlers ran: %v", err)
	default:
	}
	close(release)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if n := b.count(`SELECT count(*) FROM effects`); n != 2 || most.Load() != 2 {
		t.Errorf("%d effects by %d handlers at a time, want 2 and 2", n, most.Load())
	}
	// What it had read goes to the next replica at once, not after a minute.
	b.run(b.consumer(events.ConsumerOptions{}, nil).Run)
	b.appliedOnce(want)
	b.noPending()
}

func TestConsumer_HandlerSeesTheTraceOfTheProducer(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.relay(never)
	seen := make(chan string, 1)
	b.run(b.consumer(events.ConsumerOptions{}, func(ctx context.Context, _ pgx.Tx, _ events.Event, _ renamed) error {
		carrier := propagation.MapCarrier{}
		propagation.TraceContext{}.Inject(ctx, carrier)
		seen <- carrier["traceparent"]
		return nil
	}).Run)
	parent := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	ctx := propagation.TraceContext{}.Extract(t.Context(), propagation.MapCarrier{"traceparent": parent})
	err := postgres.InTx(ctx, b.pool, func(tx pgx.Tx) error {
		return events.Emit(ctx, tx, thingRenamed.New(ctx, id.TenantID{}, "x", 1, renamed{"x"}))
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := <-seen; got != parent {
		t.Errorf("traceparent %q, want %q", got, parent)
	}
}

func TestPostgresKilled_NothingIsLostOrBuried(t *testing.T) {
	t.Parallel()
	server := pgtest.OwnServer(t)
	b := &bundle{t: t, pool: server.NewDatabase(t, "things", schema), rdb: redistest.New(t), reg: prometheus.NewRegistry()}
	b.relay(100 * time.Millisecond)
	b.run(b.consumer(events.ConsumerOptions{ClaimAfter: time.Second}, nil).Run)
	want := names("n", 200)
	b.emit(want[:100]...)
	b.eventually("the first effects", func() bool { return b.count(`SELECT count(*) FROM effects`) > 0 })
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.eventually("the database takes events again", func() bool { return b.tryEmit(want[100:]...) == nil })
	b.appliedOnce(want)
	if n := b.count(`SELECT count(*) FROM dead_events`); n != 0 {
		t.Errorf("%d dead events", n)
	}
}

func TestRelay_MeasuresWhatWaits(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	b.emit("a", "b", "c")
	b.relay(never)
	b.eventually("publication", func() bool { return len(b.streamed()) == 3 })
	if problems, err := testutil.GatherAndLint(b.reg); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v, %v", problems, err)
	}
	n, err := testutil.GatherAndCount(b.reg, "events_outbox_pending", "events_outbox_oldest_seconds", "events_published_total")
	if err != nil || n != 3 {
		t.Errorf("%d of 3 metrics, %v", n, err)
	}
}

func TestNew_TellsWhereTheRequestCameFrom(t *testing.T) {
	t.Parallel()
	kind := events.Type[struct{}]{Name: "com.pyairtable.test.happened.v1", Source: "/test", Stream: "test"}
	from := origin.Origin{User: "u", Actor: "service:x", Session: "s", Token: "p", IP: "192.0.2.1", Agent: "curl", Request: "r"}
	e := kind.New(origin.Into(t.Context(), from), id.New[id.Tenant](), "s", 1, struct{}{})
	raw, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var flat map[string]any
	if err := json.Unmarshal(raw, &flat); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"userid": "u", "actor": "service:x", "sessionid": "s", "tokenid": "p",
		"clientip": "192.0.2.1", "useragent": "curl", "requestid": "r"} {
		if flat[name] != want { // extension attributes of CloudEvents are no objects
			t.Errorf("%s = %v, want %s", name, flat[name], want)
		}
	}
	var back events.Event
	if err := json.Unmarshal(raw, &back); err != nil || back.Origin != from {
		t.Errorf("read back %+v: %v", back.Origin, err)
	}
}
