package e2e

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/pkg/apptest"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pyairtable/internal/fleet"
)

// make kill-tour sets both.
var (
	kills = flag.Int("kills", 5, "how often TestKill9_TheTourCompletesWhateverIsKilled kills a service")
	seed  = flag.Uint64("seed", 0, "of its kills; 0 for another one each time")
)

// Each service runs as a process of its own. Again and again somebody takes the tour, and
// one service, whichever, is ended by kill -9 at some moment of it and started again. The
// tourist repeats what was not answered, as any client does, with the Idempotency-Key of
// the first try. Every tour completes; afterwards each event is where it belongs, its
// effect is there once, and the audit logs are whole.
func TestKill9_TheTourCompletesWhateverIsKilled(t *testing.T) {
	t.Parallel()
	in := newInstall(t, map[string]string{"DEV_INBOX": "true"})
	f := in.apart(t)
	tours := []*tourist{takeTour(t, in.gateway, 0)} // in which caches fill
	began := time.Now()
	tours = append(tours, takeTour(t, in.gateway, 1))
	length := time.Since(began)

	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("%d kills by seed %d, of a tour of %s", *kills, *seed, length.Round(time.Millisecond))
	dice := rand.New(rand.NewPCG(*seed, 0))
	var names []string
	for name := range in.at {
		names = append(names, name)
	}
	slices.Sort(names)
	for done := 0; done < *kills; {
		victim, moment := names[dice.IntN(len(names))], time.Duration(dice.Int64N(int64(length)))
		killed := make(chan struct{})
		at := time.AfterFunc(moment, func() {
			defer close(killed)
			f.kill(victim)
			f.start(victim)
		})
		tour := takeTour(t, in.gateway, len(tours))
		tours = append(tours, tour)
		if at.Stop() {
			continue // this one was faster
		}
		<-killed
		done++
		t.Logf("kill %d: %s after %s; asked again %d times", done, victim, moment.Round(time.Millisecond), tour.again)
	}
	in.nothingLostNorDoubled(t, f, tours)
}

// apart are the services of an install, each in a process of its own.
type apart struct {
	in  *install
	ctx context.Context //nolint:containedctx // of the test, whose timers start processes
	log *apptest.Log

	mu        sync.Mutex
	processes map[string]*exec.Cmd
	err       error
}

// apart starts every service and returns when all are ready.
func (in *install) apart(t *testing.T) *apart {
	t.Helper()
	for name, url := range in.at {
		in.env = append(in.env, config.Prefix(name)+"URL="+url)
	}
	in.env = append(in.env, "PUBLIC_URL="+in.gateway)
	f := &apart{in: in, ctx: t.Context(), log: &apptest.Log{}, processes: map[string]*exec.Cmd{}}
	t.Cleanup(func() {
		for name := range in.at {
			f.kill(name)
		}
		if f.err != nil {
			t.Error(f.err)
		}
		if t.Failed() {
			t.Logf("the services said:\n%s", tail(f.log))
		}
	})
	for name := range in.at {
		f.start(name)
	}
	f.awaitReady(t)
	return f
}

func (f *apart) awaitReady(t *testing.T) {
	t.Helper()
	for name, url := range f.in.at {
		await.True(t, name+" to be ready", func() bool {
			ready, _ := fleet.Ready(t.Context(), url)
			return ready
		})
	}
}

func (f *apart) start(name string) {
	none := filepath.Join(f.in.dir, "none")
	cmd := exec.CommandContext(f.ctx, f.in.binary, "--dir", none, "--env-file", none, "run", name)
	cmd.Env, cmd.Stdout, cmd.Stderr = f.in.env, f.log, f.log
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := cmd.Start(); err != nil {
		f.err = fmt.Errorf("start %s: %w", name, err)
		return
	}
	f.processes[name] = cmd
}

// kill ends the process at once, and returns when it has ended.
func (f *apart) kill(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if cmd := f.processes[name]; cmd != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}
