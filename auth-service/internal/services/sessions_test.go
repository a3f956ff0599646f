package services_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/auth-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

func TestRefresh_ReusedTokenRevokesFamily(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u := b.register()
	in, other := b.login(u), b.login(u)
	next, err := b.Refresh(t.Context(), in.Refresh, home)
	b.ok(err)
	b.clock.pass(11 * time.Second)
	_, err = b.Refresh(t.Context(), in.Refresh, home)
	b.want(err, authapi.ErrBadRefreshToken)
	_, err = b.Refresh(t.Context(), next.Refresh, home) // the thief's, or the victim's: both are out
	b.want(err, authapi.ErrBadRefreshToken)
	b.want(b.RequireSession(t.Context(), b.who(next)), errs.ErrUnauthenticated)
	if _, err = b.Refresh(t.Context(), other.Refresh, home); err != nil {
		t.Errorf("another session of the user: %v", err)
	}
	if b.metric("auth_refreshes_total", "reused") != 1 || b.metric("auth_refreshes_total", "revoked") != 1 || b.metric("auth_refreshes_total", "rotated") != 2 {
		t.Error("outcomes are not counted")
	}
	if list := b.events(authapi.CredentialsChanged.Name); len(list) != 1 || list[0]["what"] != "refresh_token_reused" || list[0]["id"] != in.Session.String() {
		t.Errorf("%v", list)
	}
	if list, err := b.repo.Revocations(t.Context(), b.clock.now()); err != nil || len(list) != 1 || list[0].ID != in.Session.String() {
		t.Errorf("%v %v", list, err)
	}
}

func TestRefresh_RacedWithinGraceGivesOneSuccessor(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	in := b.login(b.register())
	var mu sync.Mutex
	answers := map[string]int{}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			next, err := b.Refresh(t.Context(), in.Refresh, home)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			answers[next.Refresh]++
		})
	}
	wg.Wait()
	if len(answers) != 1 {
		t.Fatalf("%d successors", len(answers))
	}
	if b.metric("auth_refreshes_total", "rotated") != 1 || b.metric("auth_refreshes_total", "repeated") != 9 {
		t.Error("more than one request has rotated")
	}
	for next := range answers {
		_, err := b.Refresh(t.Context(), next, home)
		b.ok(err)
	}
}

func TestRefresh_DatabaseDoesNotHoldTheToken(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	in := b.login(b.register())
	next, err := b.Refresh(t.Context(), in.Refresh, home)
	b.ok(err)
	b.clock.pass(time.Minute)
	_, err = b.Refresh(t.Context(), next.Refresh, home)
	b.ok(err)
	var n int
	err = b.all.QueryRow(t.Context(), `SELECT count(*) FROM refresh_tokens r WHERE r::text LIKE '%' || $1 || '%' OR (salt IS NOT NULL AND used_at < $2)`,
		next.Refresh[3:], b.clock.now().Add(-10*time.Second)).Scan(&n)
	if err != nil || n != 0 {
		t.Errorf("%d rows give a token away, %v", n, err)
	}
}

func TestRefresh_EndsWithTheSession(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	in := b.login(b.register())
	b.clock.pass(30*24*time.Hour + time.Minute)
	_, err := b.Refresh(t.Context(), in.Refresh, home)
	b.want(err, authapi.ErrBadRefreshToken)
	if b.metric("auth_refreshes_total", "expired") != 1 {
		t.Error("the outcome is not counted")
	}
}

// The work of a sign-in is what its time is made of; it is counted instead of
// timed.
func TestLogin_UnknownAddressCostsAndSaysTheSameAsAWrongPassword(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u := b.register()
	work := func(email, password string) (float64, error) {
		before := b.metric("auth_password_hashes_total", "")
		_, err := b.Login(t.Context(), email, password, hotel)
		return b.metric("auth_password_hashes_total", "") - before, err
	}
	long := string(make([]byte, 80))
	for _, c := range []struct{ email, password string }{
		{u.Email, "wrong password"}, {"nobody@example.com", "wrong password"}, {"no address", "wrong password"}, {u.Email, long}, {"nobody@example.com", long},
	} {
		n, err := work(c.email, c.password)
		if n != 1 || err == nil || err.Error() != authapi.ErrBadCredentials.Error() {
			t.Errorf("%q: %v hashes, %v", c.email, n, err)
		}
	}
	if b.metric("auth_logins_total", "bad_credentials") != 5 {
		t.Error("outcomes are not counted")
	}
}

func TestLogin_PasswordIsNotCutAt72Bytes(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	exact := "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz"
	u, err := b.Register(t.Context(), services.Registration{Email: "long@example.com", Password: exact, Name: "Ada"})
	b.ok(err)
	if _, err = b.Login(t.Context(), u.Email, exact, home); err != nil {
		t.Error(err)
	}
	_, err = b.Login(t.Context(), u.Email, exact+"x", home)
	b.want(err, authapi.ErrBadCredentials)
	_, err = b.Register(t.Context(), services.Registration{Email: "longer@example.com", Password: exact + "x", Name: "Ada"})
	b.want(err, authapi.ErrWeakPassword)
}

func TestThrottle_SlowsAGuesserAndNotTheUser(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u := b.register()
	b.login(u) // from home, which is known from now on
	refused := 0
	for range 40 {
		_, err := b.Login(t.Context(), u.Email, "guess", hotel)
		if errors.Is(err, authapi.ErrTooManyAttempts) {
			refused++
			if wait := errs.From(err).RetryAfter; wait <= 0 || wait > time.Minute {
				t.Errorf("wait %s", wait)
			}
		}
	}
	if refused != 35 { // five are free
		t.Errorf("%d of 40 guesses were refused", refused)
	}
	if _, err := b.Login(t.Context(), u.Email, password, home); err != nil {
		t.Errorf("the user at home: %v", err)
	}
	b.clock.pass(time.Hour)
	if _, err := b.Login(t.Context(), u.Email, password, hotel); err != nil {
		t.Errorf("the user at the hotel, later: %v", err)
	}
}

func TestThrottle_GuessesFromManyNetworksSlowStrangersOnly(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u := b.register()
	b.login(u)
	refused := 0
	for i := range 60 {
		_, err := b.Login(t.Context(), u.Email, "guess", models.Device{IP: "203.0.113." + string(rune('0'+i%10)) + string(rune('0'+i/10))})
		if errors.Is(err, authapi.ErrTooManyAttempts) {
			refused++
		}
	}
	if refused < 20 {
		t.Errorf("only %d of 60 were refused", refused)
	}
	if _, err := b.Login(t.Context(), u.Email, password, home); err != nil {
		t.Errorf("the user at home: %v", err)
	}
	// From anywhere else there is a turn after half a minute, never a lock-out.
	b.clock.pass(31 * time.Second)
	if _, err := b.Login(t.Context(), u.Email, password, hotel); err != nil {
		t.Errorf("the user at the hotel: %v", err)
	}
}

func TestThrottle_BurstOfGuessesIsCountedBeforeItsAnswers(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u := b.register()
	var mu sync.Mutex
	tried := 0
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			if _, err := b.Login(t.Context(), u.Email, "guess", hotel); errors.Is(err, authapi.ErrBadCredentials) {
				mu.Lock()
				defer mu.Unlock()
				tried++
			}
		})
	}
	wg.Wait()
	if tried > 6 {
		t.Errorf("%d guesses of one burst were tried", tried)
	}
}

func TestThrottle_WorksWithoutRedis(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u := b.register()
	b.ok(b.rdb.Close())
	refused := 0
	for range 20 {
		if _, err := b.Login(t.Context(), u.Email, "guess", hotel); errors.Is(err, authapi.ErrTooManyAttempts) {
			refused++
		} else if !errors.Is(err, authapi.ErrBadCredentials) {
			t.Fatal(err)
		}
	}
	if refused != 15 {
		t.Errorf("%d of 20 were refused", refused)
	}
	if _, err := b.Login(t.Context(), u.Email, password, home); err != nil {
		t.Error(err)
	}
}

func TestPasswords_FloodIsRefusedAndStarvesNobody(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	slow, err := services.NewPasswords(12, 1, services.NewMetrics(b.fresh()))
	b.ok(err)
	var mu sync.Mutex
	outcomes := map[string]int{}
	var wg sync.WaitGroup
	ctx := t.Context()
	for range 60 {
		wg.Go(func() {
			_, err := slow.Check(ctx, "", "guess")
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				outcomes["done"]++
			case errors.Is(err, authapi.ErrBusy) && errs.From(err).RetryAfter > 0:
				outcomes["busy"]++
			default:
				t.Error(err)
			}
		})
	}
	// Everything but passwords goes on meanwhile.
	in := b.login(b.register())
	begin := time.Now()
	if _, err := b.Refresh(ctx, in.Refresh, home); err != nil || time.Since(begin) > 2*time.Second {
		t.Errorf("a refresh during the flood: %v after %s", err, time.Since(begin))
	}
	wg.Wait()
	if outcomes["busy"] < 60-33 || outcomes["done"] == 0 {
		t.Errorf("%v", outcomes)
	}
}

func TestLogin_PasswordChangedMeanwhileOpensNoSession(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u := b.register()
	stale, err := b.repo.UserByEmail(t.Context(), u.Email)
	b.ok(err)
	who := b.who(b.login(u))
	b.ok(b.ChangePassword(t.Context(), who, password, "another good passphrase", home))
	err = b.repo.CreateSession(t.Context(), stale, models.Session{ID: who.SessionID, User: u.ID, Tenant: u.Tenant}, models.RefreshToken{Hash: []byte("x")}, alongNothing)
	b.want(err, errs.ErrNotFound)
	err = b.repo.CreateChallenge(t.Context(), stale, models.Challenge{Hash: []byte("x"), User: u.ID, Tenant: u.Tenant})
	b.want(err, errs.ErrNotFound)
}
