package budget

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
)

func TestReserve_TheFirstCallLeavesInTheTurnAndTheNextWaits(t *testing.T) {
	t.Parallel()
	f := &farAPI{}
	inTime(t, f, func(t *testing.T, _ *Budget, up upstream.Upstream) {
		q := up.(Queue)
		turn, _, err := q.Reserve(t.Context(), read("app1"))
		if err != nil {
			t.Fatal(err)
		}
		var others sync.WaitGroup
		for range 30 { // six seconds' worth
			others.Go(func() { _, _ = up.Do(t.Context(), read("app1")) })
		}
		_ = rest(t.Context(), 100*time.Millisecond)
		ctx, start := turn.Carry(t.Context()), time.Now()
		if _, err := up.Do(ctx, read("app2")); err != nil { // another base's: it does not use the turn
			t.Error(err)
		}
		if _, err := up.Do(ctx, read("app1")); err != nil || time.Since(start) != 0 {
			t.Errorf("the first call waited %v: %v", time.Since(start), err)
		}
		if _, err := up.Do(ctx, read("app1")); err != nil || time.Since(start) < time.Second {
			t.Errorf("the second call waited %v: %v", time.Since(start), err)
		}
		turn.End()
		others.Wait()
		if f.fullest() > 6 { // five of app1, one of app2
			t.Errorf("%d in a second", f.fullest())
		}
	})
}

func TestReserve_ATurnThatIsNotUsedIsGivenBack(t *testing.T) {
	t.Parallel()
	inTime(t, &farAPI{}, func(t *testing.T, _ *Budget, up upstream.Upstream) {
		start := time.Now()
		for range 100 {
			turn, _, err := up.(Queue).Reserve(t.Context(), read("app1"))
			if err != nil {
				t.Fatal(err)
			}
			turn.End()
		}
		if took := time.Since(start); took > 2*time.Second { // the first second is held
			t.Errorf("it took %v", took)
		}
	})
}

func TestReserve_ATurnIsVoidAfterAWhile(t *testing.T) {
	t.Parallel()
	f := &farAPI{}
	inTime(t, f, func(t *testing.T, _ *Budget, up upstream.Upstream) {
		var turns []*Turn
		for range 5 {
			turn, _, err := up.(Queue).Reserve(t.Context(), read("app1"))
			if err != nil {
				t.Fatal(err)
			}
			turns = append(turns, turn)
		}
		_ = rest(t.Context(), real.lease()) // others have their places now
		var calls sync.WaitGroup
		for range 5 {
			calls.Go(func() { _, _ = up.Do(t.Context(), read("app1")) })
		}
		for _, turn := range turns {
			calls.Go(func() { _, _ = up.Do(turn.Carry(t.Context()), read("app1")) })
		}
		calls.Wait()
		if f.fullest() > 5 {
			t.Errorf("%d in a second", f.fullest())
		}
		_ = rest(t.Context(), 2*time.Second)
	})
}

func (t terms) lease() time.Duration {
	return time.Duration(t.Lease)*time.Millisecond + time.Millisecond
}

func TestReserve_AFullQueueRefusesAsItRefusesACall(t *testing.T) {
	t.Parallel()
	inTime(t, &farAPI{}, func(t *testing.T, b *Budget, up upstream.Upstream) {
		b.opts.Wait = time.Second
		var calls sync.WaitGroup
		for range 20 {
			calls.Go(func() { _, _ = up.Do(t.Context(), read("app1")) })
		}
		_ = rest(t.Context(), time.Millisecond)
		turn, refusal, err := up.(Queue).Reserve(t.Context(), read("app1"))
		if turn != nil || err != nil || refusal.Status != 429 || refusal.Header.Get("Retry-After") == "" {
			t.Errorf("%v, %d, %v", turn, refusal.Status, err)
		}
		b.end()
		if _, _, err := up.(Queue).Reserve(t.Context(), read("app1")); !errors.Is(err, upstream.ErrNotSent) {
			t.Errorf("at the end: %v", err)
		}
		calls.Wait()
	})
}
