package jobs_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/pyairtable/pyairtable/pkg/jobs"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

type greet struct {
	Name string `json:"name" river:"unique"`
}

func (greet) Kind() string { return "greet" }
func (greet) InsertOpts() river.InsertOpts {
	return river.InsertOpts{MaxAttempts: 2, UniqueOpts: river.UniqueOpts{ByArgs: true}}
}

type greeter struct {
	river.WorkerDefaults[greet]
	do func(ctx context.Context, name string) error
}

func (g *greeter) Work(ctx context.Context, job *river.Job[greet]) error {
	return g.do(ctx, job.Args.Name)
}

func (*greeter) NextRetry(*river.Job[greet]) time.Time { return time.Now() }

func workers(do func(ctx context.Context, name string) error) *river.Workers {
	w := river.NewWorkers()
	river.AddWorker(w, &greeter{do: do})
	return w
}

type bundle struct {
	t    *testing.T
	pool *pgxpool.Pool
	reg  *prometheus.Registry
}

func setUp(t *testing.T) *bundle {
	t.Helper()
	return &bundle{t: t, pool: pgtest.New(t, "jobs", nil), reg: prometheus.NewRegistry()}
}

// start runs a client until stop or the test's end.
func (b *bundle) start(o jobs.Options) (c *jobs.Client, stop func()) {
	b.t.Helper()
	o.Metrics = b.reg
	c, err := jobs.New(b.pool, nil, o)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("Run = %v", err)
		}
	})
	b.t.Cleanup(stop)
	return c, stop
}

func (b *bundle) insert(c *jobs.Client, names ...string) {
	b.t.Helper()
	err := postgres.InTx(context.Background(), b.pool, func(tx pgx.Tx) error {
		for _, n := range names {
			if err := c.Insert(context.Background(), tx, greet{n}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) eventually(what string, ok func() bool) {
	b.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-deadline:
			b.t.Fatalf("not in time: %s", what)
		case <-tick.C:
		}
	}
}

// metric returns the value of a counter or gauge whose labels have the values.
func (b *bundle) metric(name string, labels ...string) float64 {
	b.t.Helper()
	families, err := b.reg.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			same := f.GetName() == name && len(m.GetLabel()) == len(labels)
			for i := 0; same && i < len(labels); i++ {
				same = m.GetLabel()[i].GetValue() == labels[i]
			}
			if same {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

func TestInsert_RolledBackRunsNothing(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	ran := make(chan string, 10)
	c, _ := b.start(jobs.Options{Workers: workers(func(_ context.Context, name string) error { ran <- name; return nil })})
	refused := errors.New("refused")
	err := postgres.InTx(t.Context(), b.pool, func(tx pgx.Tx) error {
		return errors.Join(c.Insert(t.Context(), tx, greet{"ghost"}), refused)
	})
	if !errors.Is(err, refused) {
		t.Fatal(err)
	}
	b.insert(c, "real")
	if got := <-ran; got != "real" {
		t.Errorf("ran %q", got)
	}
	b.eventually("the metric", func() bool { return b.metric("jobs_finished_total", "greet", "completed") == 1 })
}

func TestInsert_UniqueJobExistsOnce(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	c, err := jobs.New(b.pool, nil, jobs.Options{}) // inserts only
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { b.insert(c, "same") })
	}
	wg.Wait()
	var n int
	if err := b.pool.QueryRow(t.Context(), `SELECT count(*) FROM river_job`).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d jobs, %v; want 1", n, err)
	}
}

func TestRun_ReplicasShareTheWorkAndRunEachJobOnce(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	var mu sync.Mutex
	runs := map[string]int{}
	work := func(_ context.Context, name string) error {
		mu.Lock()
		defer mu.Unlock()
		runs[name]++
		return nil
	}
	c, _ := b.start(jobs.Options{Workers: workers(work)})
	b.start(jobs.Options{Workers: workers(work)})
	var list []string
	for i := range 200 {
		list = append(list, string(rune('a'+i%26))+string(rune('a'+i/26)))
	}
	b.insert(c, list...)
	b.eventually("200 completed jobs", func() bool { return b.metric("jobs_finished_total", "greet", "completed") == 200 })
	mu.Lock()
	defer mu.Unlock()
	for name, n := range runs {
		if n != 1 {
			t.Errorf("%s ran %d times", name, n)
		}
	}
}

func TestRun_FailedJobIsRetriedAndThenDiscarded(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	var runs atomic.Int32
	c, _ := b.start(jobs.Options{Workers: workers(func(context.Context, string) error {
		if runs.Add(1) == 1 {
			panic("first")
		}
		return errors.New("second")
	})})
	b.insert(c, "bad")
	b.eventually("a discarded job", func() bool { return b.metric("jobs_finished_total", "greet", "discarded") == 1 })
	if n := b.metric("jobs_finished_total", "greet", "failed"); n != 1 || runs.Load() != 2 {
		t.Errorf("%v failures, %d runs; want 1 and 2", n, runs.Load())
	}
}

func TestRun_StopLetsTheRunningJobFinishAndFetchesNoOther(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	entered, release := make(chan struct{}), make(chan struct{})
	var finished atomic.Int32
	c, stop := b.start(jobs.Options{
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 1}},
		Workers: workers(func(ctx context.Context, _ string) error {
			entered <- struct{}{}
			<-release
			finished.Add(1)
			return ctx.Err()
		}),
	})
	b.insert(c, "one", "two")
	<-entered
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	select {
	case <-stopped:
		t.Error("Run ended while a job ran")
	case <-time.After(100 * time.Millisecond): // it would have ended by then
	}
	close(release)
	<-stopped
	if n := b.metric("jobs_finished_total", "greet", "completed"); n != 1 || finished.Load() != 1 {
		t.Errorf("%v completed, %d finished; want the one in hand", n, finished.Load())
	}
}

func TestRun_StopCancelsWhatOutlastsTheTimeoutAndItRunsAgain(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	entered := make(chan struct{}, 1)
	c, stop := b.start(jobs.Options{
		StopTimeout: 50 * time.Millisecond,
		Workers: workers(func(ctx context.Context, _ string) error {
			entered <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}),
	})
	b.insert(c, "slow")
	<-entered
	stop()
	ran := make(chan string, 1)
	b.start(jobs.Options{Workers: workers(func(_ context.Context, name string) error { ran <- name; return nil })})
	select {
	case <-ran:
	case <-time.After(20 * time.Second):
		t.Error("the interrupted job did not run again")
	}
}

func TestRun_PeriodicJobRunsOnOneReplica(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	ran := make(chan string, 10)
	periodic := func() []*river.PeriodicJob {
		return []*river.PeriodicJob{river.NewPeriodicJob(river.PeriodicInterval(time.Hour),
			func() (river.JobArgs, *river.InsertOpts) { return greet{"hourly"}, nil },
			&river.PeriodicJobOpts{RunOnStart: true})}
	}
	work := func(_ context.Context, name string) error { ran <- name; return nil }
	b.start(jobs.Options{Workers: workers(work), Periodic: periodic()})
	b.start(jobs.Options{Workers: workers(work), Periodic: periodic()})
	if got := <-ran; got != "hourly" {
		t.Errorf("ran %q", got)
	}
	b.eventually("the metric", func() bool { return b.metric("jobs_finished_total", "greet", "completed") >= 1 })
	select {
	case <-ran:
		t.Error("the periodic job ran twice")
	default:
	}
}

func TestRun_ReportsTheDepthOfTheQueues(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	inserter, err := jobs.New(b.pool, nil, jobs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = postgres.InTx(t.Context(), b.pool, func(tx pgx.Tx) error {
		return inserter.InsertWith(t.Context(), tx, greet{"later"}, &river.InsertOpts{ScheduledAt: time.Now().Add(time.Hour)})
	})
	if err != nil {
		t.Fatal(err)
	}
	b.start(jobs.Options{Workers: workers(func(context.Context, string) error { return nil })})
	b.eventually("the gauge", func() bool { return b.metric("jobs_unfinished", "default", "scheduled") == 1 })
}

func TestLog_OnlyAJobGivenUpIsAnError(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zapcore.DebugLevel)
	pool := pgtest.New(t, "jobs", nil)
	c, err := jobs.New(pool, zap.New(core), jobs.Options{Workers: workers(func(context.Context, string) error { return errors.New("no") })})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	b := &bundle{t: t, pool: pool}
	b.insert(c, "bad")
	b.eventually("the job given up", func() bool { return logs.FilterMessage("job is given up").Len() == 1 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	retried := logs.FilterMessage("job failed and is retried").FilterField(zap.String("error", "no"))
	if retried.Len() != 1 || logs.FilterLevelExact(zapcore.ErrorLevel).Len() != 1 {
		t.Errorf("log: %v", logs.All())
	}
	if logs.FilterLevelExact(zapcore.DebugLevel).Len() == 0 {
		t.Error("River's own lines do not come through")
	}
}

func TestLive_IsWhatIsYetToEnd(t *testing.T) {
	t.Parallel()
	b := setUp(t)
	ran := make(chan string, 1)
	c, err := jobs.New(b.pool, nil, jobs.Options{}) // inserts only
	if err != nil {
		t.Fatal(err)
	}
	b.insert(c, "one")
	live := func(name string) bool {
		is, err := c.Live(t.Context(), greet{name})
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	if !live("one") || live("two") {
		t.Errorf("before: one %v, two %v", live("one"), live("two"))
	}
	b.start(jobs.Options{Workers: workers(func(_ context.Context, name string) error { ran <- name; return nil })})
	<-ran
	b.eventually("the job has ended", func() bool { return !live("one") })
}
