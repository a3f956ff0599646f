package services_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/auth-service/internal/repository"
	"github.com/pyairtable/pyairtable/auth-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

var alongNothing repository.Along

// fresh is a registry for a second set of metrics.
func (b *bundle) fresh() *prometheus.Registry { return prometheus.NewRegistry() }

func TestRegister_RacedForOneAddressMakesOneAccountAndOneEvent(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			email := "race@example.com"
			if i%2 == 0 {
				email = "RACE@example.com"
			}
			_, _ = b.Register(t.Context(), services.Registration{Email: email, Password: password, Name: "Ada"})
		})
	}
	wg.Wait()
	if b.metric("auth_registrations_total", "ok") != 1 || b.metric("auth_registrations_total", "email_taken") != 9 {
		t.Error("not one registration has won")
	}
	list := b.events(authapi.UserRegistered.Name)
	if len(list) != 1 || list[0]["tenant_id"] == "" || list[0]["user_id"] == "" || list[0]["name"] != "Ada" {
		t.Errorf("%v", list)
	}
}

func TestRegister_RefusalsLeaveNothing(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	for want, in := range map[*errs.Error]services.Registration{
		authapi.ErrBadEmail:     {Email: "nobody", Password: password, Name: "Ada"},
		authapi.ErrWeakPassword: {Email: "ada@example.com", Password: "Password123", Name: "Ada"},
		errs.ErrInvalid:         {Email: "ada@example.com", Password: password, Name: "  "},
	} {
		_, err := b.Register(t.Context(), in)
		b.want(err, want)
		if len(errs.From(err).Fields) != 1 {
			t.Errorf("%v names no field", err)
		}
	}
	if len(b.events(authapi.UserRegistered.Name)) != 0 {
		t.Error("a refused registration was announced")
	}
}

func TestRegister_TellsNothingWhenAddressesAreVerifiedFirst(t *testing.T) {
	t.Parallel()
	b := newBundle(t, func(o *services.Options) { o.VerifyFirst = true })
	u := b.register()
	_, err := b.Login(t.Context(), u.Email, password, home)
	b.want(err, authapi.ErrEmailNotVerified)

	before := b.metric("auth_password_hashes_total", "")
	decoy, err := b.Register(t.Context(), services.Registration{Email: u.Email, Password: password, Name: "Eve"})
	b.ok(err)
	if decoy.ID == u.ID || decoy.Tenant == u.Tenant || decoy.ID.IsZero() || decoy.Email != u.Email || decoy.CreatedAt.IsZero() {
		t.Errorf("%+v", decoy)
	}
	if b.metric("auth_password_hashes_total", "")-before != 1 || b.mails(u, models.NoticeMail) != 1 || len(b.events(authapi.UserRegistered.Name)) != 1 {
		t.Error("a known address is not treated like a new one")
	}
	b.ok(b.VerifyEmail(t.Context(), b.mail(u, models.VerifyMail).Token))
	b.login(u)
}

func TestVerifyEmail_TokenWorksOnceAndForThreeDays(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u, late := b.register(), b.register()
	token := b.mail(u, models.VerifyMail).Token
	b.want(b.ResetPassword(t.Context(), token, "another good passphrase"), authapi.ErrBadMailToken)
	b.ok(b.VerifyEmail(t.Context(), token))
	b.want(b.VerifyEmail(t.Context(), token), authapi.ErrBadMailToken)
	if list := b.events(authapi.EmailVerified.Name); len(list) != 1 || list[0]["user_id"] != u.ID.String() {
		t.Errorf("%v", list)
	}
	b.clock.pass(73 * time.Hour)
	b.want(b.VerifyEmail(t.Context(), b.mail(late, models.VerifyMail).Token), authapi.ErrBadMailToken)
}

func TestMails_AnswerAlikeForUnknownAddressesAndPause(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u := b.register()
	for _, email := range []string{"nobody@example.com", u.Email} {
		b.ok(b.ForgotPassword(t.Context(), email))
		b.ok(b.ResendVerification(t.Context(), email))
		if len(b.asked) != 2 || strings.Contains(string(b.asked[0].Sealed), email) || b.mails(u, models.ResetMail) != 0 {
			t.Errorf("%s: the request did more than to note what was asked", email)
		}
		b.asked = nil
	}
	for range 3 {
		b.ok(b.ForgotPassword(t.Context(), u.Email))
		b.work()
		b.ok(b.ResendVerification(t.Context(), u.Email)) // one was sent by the registration
		b.work()
	}
	if b.mails(u, models.ResetMail) != 1 || b.mails(u, models.VerifyMail) != 1 {
		t.Errorf("%d and %d mails within a minute", b.mails(u, models.ResetMail), b.mails(u, models.VerifyMail))
	}
	first := b.mail(u, models.VerifyMail).Token
	b.clock.pass(2 * time.Minute)
	b.ok(b.ResendVerification(t.Context(), u.Email))
	b.work()
	b.want(b.VerifyEmail(t.Context(), first), authapi.ErrBadMailToken) // the newest counts
	b.ok(b.VerifyEmail(t.Context(), b.mail(u, models.VerifyMail).Token))
	b.clock.pass(2 * time.Minute)
	b.ok(b.ResendVerification(t.Context(), u.Email))
	b.work()
	if b.mails(u, models.VerifyMail) != 2 {
		t.Error("a verified address was asked to verify again")
	}
}

func TestResetPassword_EndsSessionsAndWorksOnce(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u := b.register()
	b.ok(b.VerifyEmail(t.Context(), b.mail(u, models.VerifyMail).Token))
	in := b.login(u)
	_, pat, err := b.CreateToken(t.Context(), b.who(in), order)
	b.ok(err)
	b.ok(b.ForgotPassword(t.Context(), u.Email))
	b.work()
	token := b.mail(u, models.ResetMail).Token
	b.want(b.ResetPassword(t.Context(), token, "Password123"), authapi.ErrWeakPassword) // and does not use the token up
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for range 4 {
		wg.Go(func() {
			if b.ResetPassword(t.Context(), token, "another good passphrase") == nil {
				mu.Lock()
				defer mu.Unlock()
				won++
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("the token worked %d times", won)
	}
	_, err = b.Refresh(t.Context(), in.Refresh, home)
	b.want(err, authapi.ErrBadRefreshToken)
	_, err = b.Login(t.Context(), u.Email, password, home)
	b.want(err, authapi.ErrBadCredentials)
	_, err = b.Login(t.Context(), u.Email, "another good passphrase", home)
	b.ok(err)
	_, err = b.ExchangePAT(t.Context(), pat) // scripts of a verified user go on
	b.ok(err)

	b.clock.pass(2 * time.Minute)
	b.ok(b.ForgotPassword(t.Context(), u.Email))
	b.work()
	late := b.mail(u, models.ResetMail).Token
	b.clock.pass(61 * time.Minute)
	b.want(b.ResetPassword(t.Context(), late, "a third good passphrase"), authapi.ErrBadMailToken)
}

func TestResetPassword_TakesAnAccountBackFromWhoeverOpenedIt(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u := b.register() // by somebody who does not read the address's mail
	in := b.login(u)
	_, pat, err := b.CreateToken(t.Context(), b.who(in), order)
	b.ok(err)
	secret, _, err := b.EnrolTOTP(t.Context(), b.who(in))
	b.ok(err)
	_, err = b.ConfirmTOTP(t.Context(), b.who(in), b.code(secret, 0))
	b.ok(err)

	b.ok(b.ForgotPassword(t.Context(), u.Email))
	b.work()
	b.ok(b.ResetPassword(t.Context(), b.mail(u, models.ResetMail).Token, "the owner's own passphrase"))
	_, err = b.ExchangePAT(t.Context(), pat)
	b.want(err, authapi.ErrBadToken)
	mine, err := b.Login(t.Context(), u.Email, "the owner's own passphrase", home)
	if err != nil || mine.MFAToken != "" {
		t.Errorf("%+v, %v", mine, err)
	}
}

func TestChangePassword_SparesThisSessionOnly(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u := b.register()
	here, there := b.login(u), b.login(u)
	b.want(b.ChangePassword(t.Context(), b.who(here), "wrong password", "another good passphrase", home), authapi.ErrBadCredentials)
	b.want(b.ChangePassword(t.Context(), b.who(here), password, "short", home), authapi.ErrWeakPassword)
	b.ok(b.ChangePassword(t.Context(), b.who(here), password, "another good passphrase", home))
	_, err := b.Refresh(t.Context(), there.Refresh, home)
	b.want(err, authapi.ErrBadRefreshToken)
	_, err = b.Refresh(t.Context(), here.Refresh, home)
	b.ok(err)
	if b.mails(u, models.NoticeMail) != 1 {
		t.Error("the user was not told")
	}
}

func TestUserDeleted_ForgetsTheAccountAndRevokesItsTokens(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	u, other := b.register(), b.register()
	in := b.login(u)
	_, pat, err := b.CreateToken(t.Context(), b.who(in), order)
	b.ok(err)
	deleted := userapi.UserDeleted.New(t.Context(), u.Tenant, u.ID.String(), 2, userapi.UserDeletedData{UserID: u.ID.String(), TenantID: u.Tenant.String()})
	for range 2 { // a second time changes nothing
		tx, err := b.pool.Begin(t.Context())
		b.ok(err)
		b.ok(b.repo.UserDeleted(t.Context(), tx, deleted, userapi.UserDeletedData{UserID: u.ID.String()}))
		b.ok(tx.Commit(t.Context()))
	}
	_, err = b.Login(t.Context(), u.Email, password, home)
	b.want(err, authapi.ErrBadCredentials)
	_, err = b.Refresh(t.Context(), in.Refresh, home)
	b.want(err, authapi.ErrBadRefreshToken)
	_, err = b.ExchangePAT(t.Context(), pat)
	b.want(err, authapi.ErrBadToken)
	if list, err := b.repo.Revocations(t.Context(), b.clock.now()); err != nil || len(list) != 1 || list[0].Member() != "user:"+u.ID.String() {
		t.Errorf("%v %v", list, err)
	}
	b.login(other)
}
