package services_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/auth-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

// code is what an authenticator shows after the given time.
func (b *bundle) code(secret string, after time.Duration) string {
	b.t.Helper()
	code, err := totp.GenerateCode(secret, b.clock.now().Add(after))
	if err != nil {
		b.t.Fatal(err)
	}
	return code
}

// withTOTP is a user with a second factor, whose first code is used up.
func (b *bundle) withTOTP() (u models.User, secret string, recovery []string) {
	b.t.Helper()
	u = b.register()
	who := b.who(b.login(u))
	secret, uri, err := b.EnrolTOTP(b.t.Context(), who)
	b.ok(err)
	if !strings.HasPrefix(uri, "otpauth://totp/PyAirtable:") || !strings.Contains(uri, "secret="+secret) {
		b.t.Errorf("uri %s", uri)
	}
	recovery, err = b.ConfirmTOTP(b.t.Context(), who, b.code(secret, 0))
	b.ok(err)
	b.clock.pass(30 * time.Second)
	return u, secret, recovery
}

func TestTOTP_LoginNeedsTheSecondStep(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u, secret, _ := b.withTOTP()
	in := b.login(u)
	if in.Access != "" || in.Refresh != "" || in.MFAToken == "" {
		t.Fatalf("%+v", in)
	}
	_, err := b.LoginTOTP(t.Context(), in.MFAToken, "000000", home)
	b.want(err, authapi.ErrBadCode)
	done, err := b.LoginTOTP(t.Context(), in.MFAToken, b.code(secret, 0), home)
	b.ok(err)
	if b.who(done).UserID != u.ID {
		t.Errorf("%+v", done)
	}
	_, err = b.LoginTOTP(t.Context(), in.MFAToken, b.code(secret, 30*time.Second), home)
	b.want(err, authapi.ErrBadMFAToken) // a sign-in is finished once
	_, err = b.LoginTOTP(t.Context(), "mfa_made_up", b.code(secret, 0), home)
	b.want(err, authapi.ErrBadMFAToken)
}

func TestTOTP_CodeIsRefusedTheSecondTime(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u, secret, _ := b.withTOTP()
	code := b.code(secret, 0)
	_, err := b.LoginTOTP(t.Context(), b.login(u).MFAToken, code, home)
	b.ok(err)
	_, err = b.LoginTOTP(t.Context(), b.login(u).MFAToken, code, home)
	b.want(err, authapi.ErrBadCode)
}

func TestTOTP_RacedWithOneCodeOpensOneSession(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u, secret, _ := b.withTOTP()
	code := b.code(secret, 0)
	tokens := []string{b.login(u).MFAToken, b.login(u).MFAToken, b.login(u).MFAToken}
	var mu sync.Mutex
	won := 0
	var wg sync.WaitGroup
	for _, token := range tokens {
		wg.Go(func() {
			if _, err := b.LoginTOTP(t.Context(), token, code, home); err == nil {
				mu.Lock()
				defer mu.Unlock()
				won++
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("one code opened %d sessions", won)
	}
}

func TestTOTP_ClockMayDifferByOnePeriod(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u, secret, _ := b.withTOTP()
	b.clock.pass(5 * time.Minute)
	for _, c := range []struct {
		after time.Duration
		ok    bool
	}{{-90 * time.Second, false}, {-30 * time.Second, true}, {30 * time.Second, true}, {90 * time.Second, false}} {
		_, err := b.LoginTOTP(t.Context(), b.login(u).MFAToken, b.code(secret, c.after), home)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.after, err)
		}
	}
}

func TestTOTP_RecoveryCodeWorksOnce(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u, _, recovery := b.withTOTP()
	if len(recovery) != 10 || len(recovery[0]) != 19 {
		t.Fatalf("%v", recovery)
	}
	typed := strings.ToUpper(strings.ReplaceAll(recovery[3], "-", " "))
	_, err := b.LoginTOTP(t.Context(), b.login(u).MFAToken, typed, home)
	b.ok(err)
	_, err = b.LoginTOTP(t.Context(), b.login(u).MFAToken, recovery[3], home)
	b.want(err, authapi.ErrBadCode)
	_, err = b.LoginTOTP(t.Context(), b.login(u).MFAToken, recovery[4], home)
	b.ok(err)
	if b.mails(u, models.NoticeMail) != 3 { // enabled, and two codes used
		t.Errorf("%d notices", b.mails(u, models.NoticeMail))
	}
}

func TestTOTP_GuessesAreLimitedPerSignInAndPerUser(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u, secret, _ := b.withTOTP()
	in := b.login(u)
	for range models.ChallengeTries {
		_, err := b.LoginTOTP(t.Context(), in.MFAToken, "000000", home)
		b.want(err, authapi.ErrBadCode)
	}
	_, err := b.LoginTOTP(t.Context(), b.login(u).MFAToken, "000000", home)
	if !errors.Is(err, authapi.ErrBadCode) && !errors.Is(err, authapi.ErrTooManyAttempts) {
		t.Error(err)
	}
	_, err = b.LoginTOTP(t.Context(), b.login(u).MFAToken, b.code(secret, 0), home) // another sign-in does not help
	b.want(err, authapi.ErrTooManyAttempts)
	b.clock.pass(time.Minute)
	_, err = b.LoginTOTP(t.Context(), in.MFAToken, b.code(secret, 0), home) // nor the first one
	b.want(err, authapi.ErrBadMFAToken)
	b.clock.pass(time.Hour)
	_, err = b.LoginTOTP(t.Context(), b.login(u).MFAToken, b.code(secret, 0), home)
	b.ok(err)
}

func TestTOTP_SignInLapses(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u, secret, _ := b.withTOTP()
	in := b.login(u)
	b.clock.pass(6 * time.Minute)
	_, err := b.LoginTOTP(t.Context(), in.MFAToken, b.code(secret, 0), home)
	b.want(err, authapi.ErrBadMFAToken)
}

func TestTOTP_PasswordChangeEndsOpenSignIns(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u, secret, _ := b.withTOTP()
	in := b.login(u)
	done, err := b.LoginTOTP(t.Context(), b.login(u).MFAToken, b.code(secret, 0), home)
	b.ok(err)
	b.ok(b.ChangePassword(t.Context(), b.who(done), password, "another good passphrase", home))
	_, err = b.LoginTOTP(t.Context(), in.MFAToken, b.code(secret, 30*time.Second), home)
	b.want(err, authapi.ErrBadMFAToken)
}

func TestTOTP_DisablingTakesACode(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u, secret, recovery := b.withTOTP()
	done, err := b.LoginTOTP(t.Context(), b.login(u).MFAToken, b.code(secret, 0), home)
	b.ok(err)
	who := b.who(done)
	_, _, err = b.EnrolTOTP(t.Context(), who)
	b.want(err, authapi.ErrTOTPEnabled)
	b.want(b.DisableTOTP(t.Context(), who, b.code(secret, 0)), authapi.ErrBadCode) // used up
	codes, err := b.RenewRecoveryCodes(t.Context(), who, recovery[0])
	b.ok(err)
	b.want(b.DisableTOTP(t.Context(), who, recovery[1]), authapi.ErrBadCode) // replaced
	b.ok(b.DisableTOTP(t.Context(), who, codes[0]))
	b.want(b.DisableTOTP(t.Context(), who, codes[1]), authapi.ErrTOTPNotEnabled)
	if in := b.login(u); in.MFAToken != "" {
		t.Error("the second step is still asked for")
	}
	_, err = b.ConfirmTOTP(t.Context(), who, "000000")
	b.want(err, authapi.ErrTOTPNotEnabled)
}

func TestTOTP_SecretIsSealed(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u, secret, _ := b.withTOTP()
	var stored []byte
	b.ok(b.all.QueryRow(t.Context(), `SELECT totp_secret FROM users WHERE id = $1`, u.ID).Scan(&stored))
	if len(stored) < 30 || strings.Contains(string(stored), secret) {
		t.Error("the secret is readable in the database")
	}
}

func TestTOTP_ProviderSignInNeedsItToo(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u, _, _ := b.withTOTP()
	b.ok(b.VerifyEmail(t.Context(), b.mail(u, models.VerifyMail).Token))
	in, err := b.LoginOIDC(t.Context(), models.Identity{Provider: "fake", Subject: "1", Email: u.Email, Verified: true}, home)
	if err != nil || in.MFAToken == "" || in.Access != "" {
		t.Errorf("%+v, %v", in, err)
	}
	if errs.From(err) != nil {
		t.Error(err)
	}
}

var order = services.TokenOrder{Name: "script", Scopes: []string{"data.records:read"}, Bases: []string{"*"}}
