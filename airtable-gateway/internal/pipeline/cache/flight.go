package cache

import (
	"context"
	"sync"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
)

// found is what a question came to: an entry, or else an answer that is not kept, or
// an error.
type found struct {
	entry  *entry
	asked  bool // Airtable was asked for it
	lone   bool // its offset is Airtable's own, for one caller
	answer upstream.Answer
	err    error
}

// failed reports whether Airtable could not say: an old answer is better.
func (f found) failed() bool {
	return f.entry == nil && (f.err != nil || f.answer.Status == 429 || f.answer.Status >= 500)
}

// question is one that several callers may wait for together: the same thing, as of the
// same mark. A strict one is answered by what was asked for since, and not by what is
// merely fresh.
type question struct {
	key    key
	mark   mark
	strict bool
}

// flights ask each question once at a time. A flight ends when nobody waits for it any
// more.
type flights struct {
	lives context.Context
	all   sync.WaitGroup

	mu  sync.Mutex
	now map[question]*flight
}

type flight struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiting int
	found   found
}

// flightLimit ends a flight, whoever waits.
const flightLimit = 90 * time.Second

// join returns the flight that answers the question, begun with ask if there is none.
// The caller waits for it, and must leave it otherwise.
func (f *flights) join(ctx context.Context, q question, ask func(context.Context) found) (fl *flight, first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl := f.now[q]; fl != nil {
		fl.waiting++
		return fl, false
	}
	fl = &flight{done: make(chan struct{}), waiting: 1}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flightLimit)
	fl.cancel = cancel
	f.now[q] = fl
	f.all.Go(func() {
		defer cancel()
		stop := context.AfterFunc(f.lives, cancel)
		defer stop()
		fl.found = ask(ctx)
		f.mu.Lock()
		if f.now[q] == fl {
			delete(f.now, q)
		}
		f.mu.Unlock()
		close(fl.done)
	})
	return fl, true
}

// leave says that one caller waits no more. The last one ends the flight, and who
// comes then begins another.
func (f *flights) leave(q question, fl *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl.waiting--; fl.waiting == 0 {
		fl.cancel()
		if f.now[q] == fl {
			delete(f.now, q)
		}
	}
}

// flying reports whether the question is being asked.
func (f *flights) flying(q question) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now[q] != nil
}
