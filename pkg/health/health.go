// Package health answers /health and /ready.
package health

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// checkTimeout bounds one readiness check, so that a probe is answered even when
// a dependency hangs.
const checkTimeout = 2 * time.Second

// Probe knows whether a service is ready. The zero value is not ready.
type Probe struct {
	mu     sync.Mutex
	checks map[string]func(context.Context) error
	state  atomic.Value // string: "", "ready", "draining"
}

// Check adds something that the service cannot work without: its own database or
// Redis, never another service.
func (p *Probe) Check(name string, check func(context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.checks == nil {
		p.checks = map[string]func(context.Context) error{}
	}
	p.checks[name] = check
}

// Ready says that start-up is over.
func (p *Probe) Ready() { p.state.Store("ready") }

// Drain says that the service is stopping; it never gets ready again.
func (p *Probe) Drain() { p.state.Store("draining") }

// Report is the body of /ready.
type Report struct {
	Status string            `json:"status"` // ready, starting, draining or unready
	Checks map[string]string `json:"checks,omitempty"`
}

// Report runs the checks. The service is ready when its status is "ready". The
// reasons of failed checks are not told to the client, since /ready is public.
func (p *Probe) Report(ctx context.Context) (Report, map[string]error) {
	state, _ := p.state.Load().(string)
	switch state {
	case "":
		return Report{Status: "starting"}, nil
	case "draining":
		return Report{Status: "draining"}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	failed := p.run(ctx)
	r := Report{Status: "ready", Checks: map[string]string{}}
	p.mu.Lock()
	defer p.mu.Unlock()
	for name := range p.checks {
		r.Checks[name] = "ok"
		if failed[name] != nil {
			r.Checks[name], r.Status = "failing", "unready"
		}
	}
	return r, failed
}

func (p *Probe) run(ctx context.Context) map[string]error {
	p.mu.Lock()
	checks := make(map[string]func(context.Context) error, len(p.checks))
	for name, check := range p.checks {
		checks[name] = check
	}
	p.mu.Unlock()
	var mu sync.Mutex
	var wg sync.WaitGroup
	failed := map[string]error{}
	for name, check := range checks {
		wg.Go(func() {
			if err := check(ctx); err != nil {
				mu.Lock()
				failed[name] = err
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return failed
}

// Code is the HTTP status of the report.
func (r Report) Code() int {
	if r.Status == "ready" {
		return http.StatusOK
	}
	return http.StatusServiceUnavailable
}
