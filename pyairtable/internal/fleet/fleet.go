// Package fleet runs services side by side: in this process, or each in its own.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/pyairtable/pyairtable/pkg/app"
	"github.com/pyairtable/pyairtable/pkg/catalog"
)

// Member is a service to run.
type Member struct {
	Name string
	URL  string // where it will listen
	Run  func(ctx context.Context) error
}

// InProcess is a member that runs in this process.
func InProcess(s app.Service, url string, o app.Options) Member {
	return Member{Name: s.Name, URL: url, Run: func(ctx context.Context) error { return s.Run(ctx, o) }}
}

// Fleet is a set of running services.
type Fleet struct {
	members []Member
	stops   map[string]context.CancelFunc
	ended   map[string]chan struct{}
	failed  chan struct{} // closed at the first failure

	mu   sync.Mutex
	errs []error
}

const (
	readyLimit = 2 * time.Minute
	readyPoll  = 25 * time.Millisecond
)

// Start starts the services, all at once: the order in which they become ready is
// theirs to handle.
func Start(ctx context.Context, members []Member) *Fleet {
	f := &Fleet{
		members: members, stops: map[string]context.CancelFunc{}, ended: map[string]chan struct{}{},
		failed: make(chan struct{}),
	}
	for _, m := range members {
		// A member ends by Stop alone, which knows the order.
		own, stop := context.WithCancel(context.WithoutCancel(ctx))
		ended := make(chan struct{})
		f.stops[m.Name], f.ended[m.Name] = stop, ended
		go func() {
			defer close(ended)
			err := m.Run(own)
			if err == nil && own.Err() == nil {
				err = errors.New("it ended by itself")
			}
			if err != nil {
				f.fail(fmt.Errorf("%s: %w", m.Name, err))
			}
		}()
	}
	return f
}

func (f *Fleet) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs = append(f.errs, err)
	if len(f.errs) == 1 {
		close(f.failed)
	}
}

// Failed is closed when a service has failed.
func (f *Fleet) Failed() <-chan struct{} { return f.failed }

// Err returns why services failed, nil if none did.
func (f *Fleet) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(f.errs...)
}

// AwaitReady returns nil when every service says it is ready, or as soon as one failed.
func (f *Fleet) AwaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for _, m := range f.members {
		for {
			ready, answer := Ready(ctx, m.URL)
			if ready {
				break
			}
			select {
			case <-f.failed:
				return f.Err()
			case <-ctx.Done():
				return fmt.Errorf("%s is not ready (%s): %w", m.Name, answer, ctx.Err())
			case <-tick.C:
			}
		}
	}
	return nil
}

// Ready asks the service at url for /ready, and returns what it answered.
func Ready(ctx context.Context, url string) (ready bool, answer string) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/ready", nil)
	if err != nil {
		return false, err.Error()
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, "no answer"
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	return resp.StatusCode == http.StatusOK, strings.TrimSpace(string(body))
}

// Stop drains the gateway first, so that no client meets a service that is gone, and
// then the others together. Each service bounds its own stop. It returns why services
// failed, before or while stopping.
func (f *Fleet) Stop() error {
	if stop, ok := f.stops[catalog.Gateway.Name]; ok {
		stop()
		<-f.ended[catalog.Gateway.Name]
	}
	for _, stop := range f.stops {
		stop()
	}
	for _, ended := range f.ended {
		<-ended
	}
	return f.Err()
}
