package proxy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// Service is a service of the house behind its addresses. It is safe for concurrent use.
type Service struct {
	Name      string
	addresses []*Address
	budget    *retryBudget
	slow      *httputil.ReverseProxy
	transport *http.Transport

	// Retries counts requests that were sent again, Stale those of them whose pooled
	// connection had been closed by the service, and HandOvers those that net/http carried.
	Retries, Stale, HandOvers atomic.Int64
}

// Address is one replica.
type Address struct {
	Host     string // host:port
	pool     pool
	breaker  breaker
	inFlight atomic.Int64
	failures atomic.Int64
}

// State is the breaker's.
func (a *Address) State() BreakerState { return a.breaker.state(time.Now()) }

// Failures counts the requests that the address broke.
func (a *Address) Failures() int64 { return a.failures.Load() }

// Addresses are the replicas in the order they were given.
func (s *Service) Addresses() []*Address { return s.addresses }

// New returns the service behind addrs, each a URL like http://host:port with no path.
// https is carried by net/http alone.
func New(name string, addrs []string) (*Service, error) {
	if len(addrs) == 0 {
		return nil, fmt.Errorf("service %s has no address", name)
	}
	s := &Service{Name: name, budget: newRetryBudget()}
	dialer := &net.Dialer{KeepAlive: 15 * time.Second}
	for _, raw := range addrs {
		host, err := hostOf(raw)
		if err != nil {
			return nil, fmt.Errorf("address of %s: %w", name, err)
		}
		s.addresses = append(s.addresses, &Address{Host: host, pool: pool{addr: host, dial: dialer.DialContext}})
	}
	s.transport = &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, dialTimeout)
			defer cancel()
			return dialer.DialContext(ctx, network, addr)
		},
		MaxIdleConnsPerHost:    idleMost,
		IdleConnTimeout:        idleTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: headLimit,
		DisableCompression:     true,
	}
	s.slow = s.newHandOver()
	return s, nil
}

func hostOf(raw string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(raw))
	switch {
	case err != nil:
		return "", err
	case u.Scheme != "http":
		return "", fmt.Errorf("%q: want http://host:port", raw)
	case u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
		return "", fmt.Errorf("%q: want http://host:port and nothing else", raw)
	}
	if u.Port() == "" {
		return net.JoinHostPort(u.Hostname(), "80"), nil
	}
	return u.Host, nil
}

// Run closes idle connections in time until ctx ends, then all of them.
func (s *Service) Run(ctx context.Context) error {
	t := time.NewTicker(idleTimeout / 5)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			for _, a := range s.addresses {
				a.pool.close()
			}
			s.transport.CloseIdleConnections()
			return nil
		case now := <-t.C:
			for _, a := range s.addresses {
				a.pool.reap(now)
			}
		}
	}
}

// attempt is a request's stay at one address. Exactly one of ok, failed and void ends it.
type attempt struct {
	*Address
	probe bool
}

func (a attempt) ok()   { a.inFlight.Add(-1); a.breaker.success() }
func (a attempt) void() { a.inFlight.Add(-1); a.breaker.release(time.Now(), a.probe) }
func (a attempt) failed() {
	a.inFlight.Add(-1)
	a.failures.Add(1)
	a.breaker.failure(time.Now(), a.probe)
}

// pick chooses the less busy one of two addresses taken at random among those whose
// breaker lets the request pass, never one that was tried. It returns false if none is left.
func (s *Service) pick(now time.Time, tried []*Address) (attempt, bool) {
	n := len(s.addresses)
	if n == 1 {
		return s.enter(s.addresses[0], now, tried)
	}
	i, j := rand.IntN(n), rand.IntN(n-1)
	if j >= i {
		j++
	}
	first, second := s.addresses[i], s.addresses[j]
	if second.inFlight.Load() < first.inFlight.Load() {
		first, second = second, first
	}
	if a, ok := s.enter(first, now, tried); ok {
		return a, true
	}
	if a, ok := s.enter(second, now, tried); ok {
		return a, true
	}
	for _, addr := range s.addresses {
		if a, ok := s.enter(addr, now, tried); ok {
			return a, true
		}
	}
	return attempt{}, false
}

func (s *Service) enter(a *Address, now time.Time, tried []*Address) (attempt, bool) {
	for _, t := range tried {
		if t == a {
			return attempt{}, false
		}
	}
	ok, probe := a.breaker.allow(now)
	if ok {
		a.inFlight.Add(1)
	}
	return attempt{a, probe}, ok
}

// Errors of a request that no service answered. The answer to the client has not been
// begun when Serve returns one of them.
var (
	ErrOpen       = errors.New("every address is resting after failures")
	ErrUpstream   = errors.New("the service broke the request off")
	ErrTimeout    = errors.New("the service did not answer in time")
	ErrClientGone = errors.New("the client went away")
	ErrBody       = errors.New("the request's body could not be read")
	ErrBodySlow   = errors.New("the request's body came too slowly")
	ErrTooLarge   = errors.New("the request's body is too large")
)
