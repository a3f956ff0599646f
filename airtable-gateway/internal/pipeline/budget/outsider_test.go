package budget

import (
	"context"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/emulator"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
)

// inside is the emulator without a network between, so that virtual time covers it.
type inside struct{ e *emulator.Emulator }

func (u inside) Do(ctx context.Context, c upstream.Call) (upstream.Answer, error) {
	r := httptest.NewRequest(c.Method, "/v0/"+c.Base+"/T/rec1", nil).WithContext(ctx)
	r.Header.Set("Authorization", "Bearer patA")
	w := httptest.NewRecorder()
	u.e.ServeHTTP(w, r)
	return upstream.Answer{Status: w.Code, Header: w.Header(), Body: w.Body.Bytes()}, nil
}

// nothing is a store that has an answer to everything.
type nothing struct{}

func (nothing) Do(context.Context, upstream.Call) (upstream.Answer, error) {
	return v0.OK(struct{}{}), nil
}

// Another program spends 2 requests a second of the base, ours has 20 calls to make
// at first and one each second after that, for nine minutes.
func TestBudget_BesideAnotherProgramNoCallerSeesARefusal(t *testing.T) {
	t.Parallel()
	inTime(t, &farAPI{}, func(t *testing.T, b *Budget, _ upstream.Upstream) {
		e := emulator.New(emulator.Options{
			Store: nothing{}, Limits: emulator.RealLimits(), Now: time.Now,
			Faults: emulator.Faults{Latency: 20 * time.Millisecond, Jitter: 300 * time.Millisecond, Seed: 3},
		})
		up := b.Of(inside{e}, "https://far", "patA")
		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			for rest(ctx, 500*time.Millisecond) == nil {
				all.Go(func() { _, _ = inside{e}.Do(context.WithoutCancel(ctx), read("app1")) })
			}
		})
		ask := func() {
			if a, err := up.Do(t.Context(), read("app1")); err != nil || a.Status != 200 {
				t.Errorf("a caller got %d %s, %v", a.Status, a.Body, err)
			}
		}
		for range 20 {
			all.Go(ask)
		}
		for range 540 {
			_ = rest(ctx, time.Second)
			all.Go(ask)
		}
		stop()
		all.Wait()
		if got := e.Stats(); got.LockOuts != 1 {
			t.Errorf("%d lock-outs in nine minutes: %+v", got.LockOuts, got)
		}
		_ = rest(t.Context(), 2*time.Second)
	})
}
