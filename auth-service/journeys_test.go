package authservice_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/pkg/redis"
	"github.com/pyairtable/pyairtable/pkg/redistest"
)

// newest waits for the newest mail of the kind to the address.
func (f fixture) newest(to, kind string) (m authapi.Mail) {
	f.t.Helper()
	await.True(f.t, "the mail", func() bool {
		for _, m = range must(f, "", authapi.DevInbox, authapi.InboxQuery{To: to, Limit: 50}).Items {
			if m.Kind == kind {
				return true
			}
		}
		return false
	})
	return m
}

func TestJourney_ForgottenPassword(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	u, in := f.user()
	must(f, "", authapi.VerifyEmail, authapi.EmailVerification{Token: f.newest(u.Email, "verify_email").Token})
	must(f, "", authapi.ForgotPassword, authapi.MailRequest{Email: strings.ToUpper(u.Email)})
	must(f, "", authapi.ForgotPassword, authapi.MailRequest{Email: "nobody@example.com"})
	m := f.newest(u.Email, "reset_password")
	if !strings.Contains(m.Text, m.Token) || m.To != u.Email {
		t.Errorf("%+v", m)
	}
	reset := authapi.PasswordReset{Token: m.Token, NewPassword: "another good passphrase"}
	must(f, "", authapi.ResetPassword, reset)
	refuse(f, authapi.ErrBadMailToken, "", authapi.ResetPassword, reset)
	refuse(f, authapi.ErrBadRefreshToken, "", authapi.Refresh, authapi.RefreshRequest{RefreshToken: in.RefreshToken})
	must(f, "", authapi.Login, authapi.LoginRequest{Email: u.Email, Password: reset.NewPassword})
}

func TestDevInbox_IsNotThereUnlessAskedFor(t *testing.T) {
	t.Parallel()
	f := start(t, map[string]string{"DEV_INBOX": "false"})
	f.register()
	if status := f.raw(http.MethodGet, authapi.DevInbox.Path, ""); status != http.StatusNotFound {
		t.Errorf("status %d", status)
	}
}

func TestRevocation_IsAnnouncedWithinASecond(t *testing.T) {
	t.Parallel()
	url := redistest.URL(t)
	f := start(t, map[string]string{"REDIS_URL": url})
	rdb, err := redis.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	_, in := f.user()
	must(f, in.AccessToken, authapi.Logout, struct{}{})
	begin := time.Now()
	await.True(t, "what was announced", func() bool {
		_, err := rdb.ZScore(t.Context(), authapi.RevokedSet, "sid:"+in.SessionID).Result()
		return err == nil
	})
	if took := time.Since(begin); took > time.Second {
		t.Errorf("announced after %s", took)
	}
}

// user-service says that a user was deleted, as it would, from a database of its
// own.
func TestUserDeleted_IsHeardAndEndsTheAccount(t *testing.T) {
	t.Parallel()
	url := redistest.URL(t)
	f := start(t, map[string]string{"REDIS_URL": url})
	rdb, err := redis.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer rdb.Close()
	u, in := f.user()
	tenant, err := id.Parse[id.Tenant](u.TenantID)
	if err != nil {
		t.Fatal(err)
	}
	pool := pgtest.New(t, "user-service", nil)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- events.NewRelay(pool, rdb, events.RelayOptions{Log: zap.NewNop()}).Run(ctx) }()
	err = postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		return events.Emit(t.Context(), tx, userapi.UserDeleted.New(t.Context(), tenant, u.ID, 2, userapi.UserDeletedData{UserID: u.ID, TenantID: u.TenantID}))
	})
	if err != nil {
		t.Fatal(err)
	}
	await.True(t, "what was announced", func() bool {
		_, err := call(f, "", authapi.Login, authapi.LoginRequest{Email: u.Email, Password: password})
		return errors.Is(err, authapi.ErrBadCredentials)
	})
	refuse(f, authapi.ErrBadRefreshToken, "", authapi.Refresh, authapi.RefreshRequest{RefreshToken: in.RefreshToken})
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestRegister_RepeatedWithItsIdempotencyKeyGivesTheFirstAnswer(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	key, body := id.New[id.Event]().String(), fmt.Sprintf(`{"email":"again@example.com","password":%q,"name":"Ada"}`, password)
	ask := func(body string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL+authapi.Register.Path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", key)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	if a, b, other := ask(body), ask(body), ask(strings.Replace(body, "Ada", "Eve", 1)); a != 201 || b != 201 || other != 422 {
		t.Errorf("%d, %d, another body %d", a, b, other)
	}
}
