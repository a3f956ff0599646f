package tokens

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/redis/go-redis/v9"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/redistest"
)

// signer is auth-service as far as these tests go.
type signer struct {
	key  ed25519.PrivateKey
	kid  string
	gen  atomic.Uint64
	asks atomic.Int64
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{key: key, kid: "k1"}
}

func (s *signer) Key(_ context.Context, kid string) (ed25519.PublicKey, error) {
	s.asks.Add(1)
	if kid != s.kid {
		return nil, auth.ErrUnknownKey
	}
	return s.key.Public().(ed25519.PublicKey), nil
}

func (s *signer) Generation() uint64 { return s.gen.Load() }

type claim func(*auth.Claims)

func (s *signer) sign(t *testing.T, more ...claim) string {
	t.Helper()
	now := time.Now()
	c := auth.Claims{RegisteredClaims: jwt.RegisteredClaims{
		Issuer: "test", Audience: jwt.ClaimStrings{auth.AudienceUser}, Subject: id.New[id.User]().String(),
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(15 * time.Minute)),
	}, Tenant: id.New[id.Tenant]().String(), Session: id.New[id.Session]().String(), Scope: "*"}
	for _, f := range more {
		f(&c)
	}
	tok := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c)
	tok.Header["kid"] = s.kid
	out, err := tok.SignedString(s.key)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s *signer) checker(exchange Exchange, r *auth.Revocations) *Checker {
	if r == nil {
		return NewChecker(auth.NewVerifier("test", s, nil), exchange, func() bool { return true })
	}
	return NewChecker(auth.NewVerifier("test", s, r.Revoked), exchange, r.Live)
}

func TestCheck_Tokens(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	c := s.checker(nil, nil)
	good := "Bearer " + s.sign(t)
	if who, header, err := c.Check(t.Context(), good, netip.Addr{}); err != nil || who.IsZero() || header != good {
		t.Errorf("good token: %v %v", who, err)
	}
	if who, header, err := c.Check(t.Context(), "", netip.Addr{}); err != nil || !who.IsZero() || header != "" {
		t.Errorf("no token: %v %q %v", who, header, err)
	}
	other := newSigner(t)
	for name, header := range map[string]string{
		"another scheme":  "Basic dTpw",
		"empty":           "Bearer ",
		"garbage":         "Bearer x.y.z",
		"another key":     "Bearer " + other.sign(t),
		"expired":         "Bearer " + s.sign(t, func(c *auth.Claims) { c.ExpiresAt = jwt.NewNumericDate(time.Now().Add(-time.Minute)) }),
		"service's token": "Bearer " + s.sign(t, func(c *auth.Claims) { c.Subject, c.Audience = "service:x", jwt.ClaimStrings{auth.AudienceService} }),
		"endless":         "Bearer " + strings.Repeat("x", 1<<20),
	} {
		if _, _, err := c.Check(t.Context(), header, netip.Addr{}); !errors.Is(err, errs.ErrUnauthenticated) {
			t.Errorf("%s: %v, want unauthenticated", name, err)
		}
	}
	other.kid = "nobody's"
	if _, _, err := c.Check(t.Context(), "Bearer "+other.sign(t), netip.Addr{}); !errors.Is(err, errs.ErrUnauthenticated) {
		t.Errorf("unknown kid: %v, want unauthenticated", err)
	}
}

func TestCheck_VerifiesAgainAfterAKeyChange(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	c := s.checker(nil, nil)
	header := "Bearer " + s.sign(t)
	for range 3 {
		if _, _, err := c.Check(t.Context(), header, netip.Addr{}); err != nil {
			t.Fatal(err)
		}
	}
	if s.asks.Load() != 1 {
		t.Errorf("a known token was verified %d times", s.asks.Load())
	}
	s.kid = "k2"
	s.gen.Add(1)
	if _, _, err := c.Check(t.Context(), header, netip.Addr{}); !errors.Is(err, errs.ErrUnauthenticated) {
		t.Errorf("token of a withdrawn key: %v", err)
	}
}

const aPAT = "patABCDEFGHIJKLMN.0123456789abcdef"

func TestPAT_IsExchangedOnceForAll(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	answer := s.sign(t, func(c *auth.Claims) { c.PAT = "p1" })
	var calls atomic.Int64
	release := make(chan struct{})
	c := s.checker(func(_ context.Context, token string) (Grant, error) {
		if token != aPAT {
			t.Errorf("exchanged %q", token)
		}
		calls.Add(1)
		<-release
		return Grant{JWT: answer}, nil
	}, nil)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if i == 0 {
				cancel() // who leaves takes nothing from the others
			}
			who, header, err := c.Check(ctx, "Bearer "+aPAT, netip.Addr{})
			if i > 0 && (err != nil || who.PAT != "p1" || header != "Bearer "+answer) {
				t.Errorf("%v %v", who, err)
			}
		})
	}
	await.True(t, "the first exchange", func() bool { return calls.Load() > 0 })
	close(release)
	wg.Wait()
	for range 5 {
		_, _, _ = c.Check(t.Context(), "Bearer "+aPAT, netip.Addr{})
	}
	if calls.Load() != 1 {
		t.Errorf("auth-service was asked %d times", calls.Load())
	}
}

func TestPAT_RefusalsAndOutages(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	var calls atomic.Int64
	var answer atomic.Value
	answer.Store(errs.New(errs.Unauthenticated, "bad_token", "No."))
	c := s.checker(func(context.Context, string) (Grant, error) {
		calls.Add(1)
		return Grant{}, answer.Load().(*errs.Error)
	}, nil)
	for range 3 {
		if _, _, err := c.Check(t.Context(), "Bearer "+aPAT, netip.Addr{}); !errors.Is(err, errs.ErrUnauthenticated) {
			t.Errorf("unknown token: %v", err)
		}
	}
	if calls.Load() != 1 {
		t.Errorf("auth-service was asked %d times about an unknown token", calls.Load())
	}
	answer.Store(errs.ErrUnavailable)
	for range 2 {
		if _, _, err := c.Check(t.Context(), "Bearer patother.1", netip.Addr{}); !errors.Is(err, errs.ErrUnavailable) {
			t.Errorf("auth-service away: %v, want unavailable", err)
		}
	}
	for i := range 20_000 {
		c.put(hash{byte(i), byte(i >> 8), byte(i >> 16)}, pat{asked: time.Now()})
	}
	n := 0
	for i := range c.shards {
		n += len(c.shards[i].pats)
	}
	if n > patShards*patShardMost {
		t.Errorf("%d tokens in memory", n)
	}
}

func TestPAT_SurvivesAuthServiceButNotItsOwnEnd(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	good := s.sign(t, func(c *auth.Claims) { c.ExpiresAt = jwt.NewNumericDate(time.Now().Add(10 * time.Second)) }) // due for renewal
	var away atomic.Bool
	var calls atomic.Int64
	c := s.checker(func(context.Context, string) (Grant, error) {
		calls.Add(1)
		if away.Load() {
			return Grant{}, errs.ErrUnavailable
		}
		return Grant{JWT: good}, nil
	}, nil)
	if _, _, err := c.Check(t.Context(), "Bearer "+aPAT, netip.Addr{}); err != nil {
		t.Fatal(err)
	}
	away.Store(true)
	if _, _, err := c.Check(t.Context(), "Bearer "+aPAT, netip.Addr{}); err != nil || calls.Load() != 2 {
		t.Errorf("auth-service away while the JWT holds: %v after %d calls", err, calls.Load())
	}
}

// announce is what auth-service does on a revocation.
func announce(t *testing.T, rdb redis.UniversalClient, kind, value string, publish bool) {
	t.Helper()
	until := time.Now().Add(time.Hour).Unix() // what was made before expires earlier
	if err := rdb.ZAdd(t.Context(), authapi.RevokedSet, redis.Z{Score: float64(until), Member: kind + ":" + value}).Err(); err != nil {
		t.Fatal(err)
	}
	if publish {
		b, _ := json.Marshal(map[string]any{kind: value, "until": until})
		if err := rdb.Publish(t.Context(), authapi.RevocationsChannel, b).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func listen(t *testing.T, rdb redis.UniversalClient) *auth.Revocations {
	t.Helper()
	r := auth.NewRevocations()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.Run(ctx, rdb) }()
	t.Cleanup(func() { cancel(); <-done })
	await.True(t, "the subscription", r.Live)
	return r
}

func TestRevocation_ReachesTheGatewayWithinASecond(t *testing.T) {
	t.Parallel()
	rdb := redistest.OwnServer(t).Client(t) // a channel is shared by all databases of a server
	r := listen(t, rdb)
	s := newSigner(t)
	c := s.checker(func(context.Context, string) (Grant, error) {
		return Grant{JWT: s.sign(t, func(c *auth.Claims) { c.PAT = "01900000-0000-7000-8000-00000000000a" })}, nil
	}, r)
	session, user := id.New[id.Session]().String(), id.New[id.User]().String()
	for kind, header := range map[string]string{
		"sid " + session: "Bearer " + s.sign(t, func(c *auth.Claims) { c.Session = session }),
		"user " + user:   "Bearer " + s.sign(t, func(c *auth.Claims) { c.Subject = user }),
		"pat 01900000-0000-7000-8000-00000000000a": "Bearer " + aPAT,
	} {
		if _, _, err := c.Check(t.Context(), header, netip.Addr{}); err != nil {
			t.Fatalf("%s before: %v", kind, err)
		}
		k, v, _ := strings.Cut(kind, " ")
		announce(t, rdb, k, v, true)
		await.True(t, "revocation of "+kind, func() bool {
			_, _, err := c.Check(t.Context(), header, netip.Addr{})
			return errors.Is(err, errs.ErrUnauthenticated)
		})
	}
	if _, _, err := c.Check(t.Context(), "Bearer "+s.sign(t), netip.Addr{}); err != nil {
		t.Errorf("somebody else's token: %v", err)
	}
}

// What is announced of a token that goes on being good ends what it was exchanged for, and
// costs nobody a refusal.
func TestPAT_IsExchangedAnewWhenWhatWasMadeOfItHasEnded(t *testing.T) {
	t.Parallel()
	rdb := redistest.OwnServer(t).Client(t)
	r := listen(t, rdb)
	s := newSigner(t)
	var role, demands atomic.Value
	role.Store("admin")
	demands.Store(errs.ErrInternal) // nothing
	c := s.checker(func(context.Context, string) (Grant, error) {
		if e := demands.Load().(*errs.Error); e != errs.ErrInternal {
			return Grant{}, e
		}
		life := 5 * time.Minute
		if role.Load() == "guest" {
			life *= 2 // as if five minutes had passed since
		}
		return Grant{JWT: s.sign(t, func(c *auth.Claims) {
			c.PAT, c.Role, c.ExpiresAt = "p", role.Load().(string), jwt.NewNumericDate(time.Now().Add(life))
		})}, nil
	}, r)
	check := func() (string, error) {
		who, _, err := c.Check(t.Context(), "Bearer "+aPAT, netip.Addr{})
		return who.Role, err
	}
	if got, err := check(); got != "admin" || err != nil {
		t.Fatalf("%s, %v", got, err)
	}
	role.Store("guest")
	told := authapi.Revocation{Token: "p", Until: time.Now().Add(6 * time.Minute).Unix()}
	if err := rdb.Publish(t.Context(), authapi.RevocationsChannel, told.JSON()).Err(); err != nil {
		t.Fatal(err)
	}
	await.True(t, "the weaker role", func() bool {
		got, err := check()
		if err != nil {
			t.Errorf("refused meanwhile: %v", err)
		}
		return got == "guest"
	})
	// And one that is not good any more is refused with the reason.
	demands.Store(authapi.ErrMFARequired)
	announce(t, rdb, "pat", "p", true)
	await.True(t, "the refusal", func() bool { _, err := check(); return err != nil })
	for range 2 { // asked for, and then known
		if _, err := check(); !errors.Is(err, authapi.ErrMFARequired) {
			t.Errorf("got %v", err)
		}
	}
}

func TestPAT_IsAskedAboutMoreOftenWhileDeaf(t *testing.T) {
	t.Parallel()
	c := NewChecker(nil, nil, func() bool { return false })
	now := time.Now()
	p := pat{header: "Bearer x", until: now.Add(time.Hour), asked: now.Add(-keepDeaf - time.Second)}
	if c.current(p, now) {
		t.Error("an exchange of long ago is trusted though nothing of its revocation could be heard")
	}
	c.heard = func() bool { return true }
	if !c.current(p, now) {
		t.Error("it is not trusted though revocations are heard")
	}
}

func TestPAT_IsUsedFromWhereItsTenantLetsItBeUsed(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	var ranges atomic.Pointer[[]string]
	c := s.checker(func(_ context.Context, token string) (Grant, error) {
		return Grant{JWT: s.sign(t, func(c *auth.Claims) { c.PAT = token }), IPRanges: *ranges.Load()}, nil
	}, nil)
	for i, k := range []struct {
		ranges []string
		from   string
		want   error
	}{
		{nil, "203.0.113.9", nil},
		{[]string{"192.0.2.0/24", "2001:db8::/32"}, "192.0.2.7", nil},
		{[]string{"192.0.2.0/24", "2001:db8::/32"}, "::ffff:192.0.2.7", nil},
		{[]string{"192.0.2.0/24", "2001:db8::/32"}, "2001:db8::7", nil},
		{[]string{"192.0.2.0/24", "2001:db8::/32"}, "192.0.3.7", authapi.ErrIPNotAllowed},
		{[]string{"nonsense"}, "192.0.2.7", authapi.ErrIPNotAllowed},
		{[]string{"192.0.2.0/24"}, "", authapi.ErrIPNotAllowed},
	} {
		ranges.Store(&k.ranges)
		from, _ := netip.ParseAddr(k.from)
		for range 2 { // asked for, and then known
			who, header, err := c.Check(t.Context(), fmt.Sprintf("Bearer pat%d.0", i), from)
			if !errors.Is(err, k.want) || (err == nil) != (header != "") || (err == nil) == who.IsZero() {
				t.Errorf("from %q with %v: %v, %v", k.from, k.ranges, who, err)
			}
		}
	}
}
