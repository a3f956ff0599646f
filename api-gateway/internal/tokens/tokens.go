// Package tokens decides whom a request's bearer token speaks for: a JWT of auth-service,
// or a personal access token that auth-service exchanges for one.
package tokens

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

const (
	patPrefix    = "pat"
	tokenMost    = 8 << 10          // bytes of a token that is looked at
	patMost      = 200              // bytes of a personal access token
	keepFor      = 5 * time.Minute  // an exchanged token is used before auth-service is asked again
	keepDeaf     = 10 * time.Second // while revocations cannot be heard
	refuseFor    = 5 * time.Second  // an unknown token is refused without asking again
	renewBefore  = 20 * time.Second
	exchangeTime = 5 * time.Second
	patShards    = 16
	patShardMost = 512
)

// Grant is what auth-service gives for a personal access token.
type Grant struct {
	JWT      string
	IPRanges []string // CIDR: where it may be used; none: anywhere
}

// Exchange turns a personal access token into a JWT. What it returns of errs.Unauthenticated,
// and authapi.ErrMFARequired, are final for that token for a moment; other errors are not.
type Exchange func(ctx context.Context, token string) (Grant, error)

// Checker finds out whom a token speaks for. It is safe for concurrent use.
type Checker struct {
	verifier *auth.Verifier
	exchange Exchange
	heard    func() bool // whether revocations reach this gateway
	flights  singleflight.Group
	shards   [patShards]patShard

	// Hits, Misses and Refused count personal access tokens that were known, had to be
	// exchanged, and turned out to be none.
	Hits, Misses, Refused atomic.Int64
}

type hash [sha256.Size]byte

// pat is what is known of a personal access token; it is kept under its hash, so that the
// gateway's memory holds no token that lives for long.
type pat struct {
	header string         // "Bearer JWT"; empty for a token that auth-service refused,
	why    error          // which says why
	ranges []netip.Prefix // where it may be used; nil for anywhere
	until  time.Time
	asked  time.Time
}

type patShard struct {
	mu   sync.Mutex
	pats map[hash]pat
}

// NewChecker returns a checker. The verifier must ask for revocations by itself.
func NewChecker(v *auth.Verifier, exchange Exchange, heard func() bool) *Checker {
	c := &Checker{verifier: v, exchange: exchange, heard: heard}
	for i := range c.shards {
		c.shards[i].pats = map[hash]pat{}
	}
	return c
}

const bearer = "Bearer "

// Check reads the value of an Authorization header. It returns who asks and the header
// that services are to be given, which always holds a JWT. No token at all gives the zero
// Principal and no error; one that is not valid gives errs.ErrUnauthenticated; when that
// cannot be found out, errs.ErrUnavailable. A personal access token that the tenant does
// not let be used from that address gives authapi.ErrIPNotAllowed, and one whose owner has
// not the second factor that the tenant demands authapi.ErrMFARequired; of sessions
// auth-service asks it when they begin and go on.
func (c *Checker) Check(ctx context.Context, header string, from netip.Addr) (auth.Principal, string, error) {
	if header == "" {
		return auth.Principal{}, "", nil
	}
	if len(header) < len(bearer) || !strings.EqualFold(header[:len(bearer)], bearer) {
		return auth.Principal{}, "", errs.ErrUnauthenticated
	}
	token := strings.TrimSpace(header[len(bearer):])
	if token == "" || len(token) > tokenMost {
		return auth.Principal{}, "", errs.ErrUnauthenticated
	}
	if strings.HasPrefix(token, patPrefix) && strings.Count(token, ".") < 2 {
		return c.checkPAT(ctx, token, from)
	}
	who, err := c.verifier.Verify(ctx, token)
	if err != nil {
		return auth.Principal{}, "", err
	}
	if who.IsService() {
		// Services call each other directly; a service's token out here was stolen.
		return auth.Principal{}, "", errs.ErrUnauthenticated
	}
	return who, header, nil
}

func (c *Checker) checkPAT(ctx context.Context, token string, from netip.Addr) (auth.Principal, string, error) {
	if len(token) > patMost {
		return auth.Principal{}, "", errs.ErrUnauthenticated
	}
	key := hash(sha256.Sum256([]byte(token)))
	known, err := c.knownOf(ctx, key, token)
	if err != nil {
		return auth.Principal{}, "", err
	}
	who, err := c.verifier.Verify(ctx, known.header[len(bearer):])
	if errors.Is(err, errs.ErrUnauthenticated) { // revoked or run out: auth-service decides anew
		c.forget(key)
		if known, err = c.knownOf(ctx, key, token); err == nil {
			who, err = c.verifier.Verify(ctx, known.header[len(bearer):])
		}
	}
	if err != nil {
		return auth.Principal{}, "", err
	}
	if !known.admits(from) {
		return auth.Principal{}, "", authapi.ErrIPNotAllowed
	}
	return who, known.header, nil
}

// admits reports whether the token may be used from the address.
func (p pat) admits(from netip.Addr) bool {
	return p.ranges == nil || slices.ContainsFunc(p.ranges, func(r netip.Prefix) bool { return r.Contains(from.Unmap()) })
}

// parseRanges reads the networks. One that cannot be read admits nobody.
func parseRanges(list []string) []netip.Prefix {
	if len(list) == 0 {
		return nil
	}
	ranges := []netip.Prefix{}
	for _, text := range list {
		if r, err := netip.ParsePrefix(text); err == nil {
			ranges = append(ranges, r)
		}
	}
	return ranges
}

func (c *Checker) knownOf(ctx context.Context, key hash, token string) (pat, error) {
	now := time.Now()
	known, ok := c.get(key)
	if ok && c.current(known, now) {
		c.Hits.Add(1)
		if known.header == "" {
			return pat{}, known.why
		}
		return known, nil
	}
	c.Misses.Add(1)
	asked, err := c.ask(ctx, key, token)
	switch {
	case err == nil || errors.Is(err, errs.ErrUnauthenticated) || errors.Is(err, authapi.ErrMFARequired) || ctx.Err() != nil:
		return asked, err
	case ok && known.header != "" && now.Before(known.until):
		// auth-service is away: what it said holds for as long as it said.
		return known, nil
	}
	return pat{}, err
}

func (c *Checker) current(p pat, now time.Time) bool {
	age := now.Sub(p.asked)
	switch {
	case p.header == "":
		return age < refuseFor
	case !c.heard() && age > keepDeaf:
		return false
	}
	return age < keepFor && now.Before(p.until.Add(-renewBefore))
}

// ask exchanges the token, once for all who wait for it. A caller that goes away does not
// take the answer from the others.
func (c *Checker) ask(ctx context.Context, key hash, token string) (pat, error) {
	ch := c.flights.DoChan(string(key[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exchangeTime)
		defer cancel()
		return c.exchanged(ctx, key, token)
	})
	select {
	case <-ctx.Done():
		return pat{}, errs.ErrUnavailable.Because(ctx.Err())
	case res := <-ch:
		p, _ := res.Val.(pat)
		return p, res.Err
	}
}

func (c *Checker) exchanged(ctx context.Context, key hash, token string) (pat, error) {
	asked := time.Now()
	grant, err := c.exchange(ctx, token)
	if err != nil {
		e := errs.From(err)
		switch e.Kind {
		case errs.Unauthenticated, errs.Invalid, errs.Malformed, errs.NotFound, errs.Forbidden:
			c.Refused.Add(1)
			refused := pat{why: errs.ErrUnauthenticated, asked: asked}
			if errors.Is(err, authapi.ErrMFARequired) {
				refused.why = authapi.ErrMFARequired
			}
			c.put(key, refused)
			return pat{}, refused.why
		}
		return pat{}, errs.ErrUnavailable.Because(err)
	}
	who, err := c.verifier.Verify(ctx, grant.JWT)
	if err != nil {
		return pat{}, err
	}
	p := pat{header: bearer + grant.JWT, ranges: parseRanges(grant.IPRanges), until: who.ExpiresAt, asked: asked}
	c.put(key, p)
	return p, nil
}

func (c *Checker) shard(key hash) *patShard { return &c.shards[key[0]%patShards] }

func (c *Checker) get(key hash) (pat, bool) {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.pats[key]
	return p, ok
}

func (c *Checker) forget(key hash) {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pats, key)
}

// put makes room by dropping refusals and what has run out first, then any.
func (c *Checker) put(key hash, p pat) {
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pats) >= patShardMost {
		for k, old := range s.pats {
			if old.header == "" || old.until.Before(p.asked) {
				delete(s.pats, k)
			}
		}
		for k := range s.pats {
			if len(s.pats) < patShardMost {
				break
			}
			delete(s.pats, k)
		}
	}
	s.pats[key] = p
}
