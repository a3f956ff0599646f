package services

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"net/url"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/auth-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/events"
)

// What authenticators agree on (RFC 6238 with their common defaults).
const (
	totpPeriod    = 30
	totpSecret    = 20 // bytes
	totpIssuer    = "PyAirtable"
	recoveryCodes = 10
)

var base32Text = base32.StdEncoding.WithPadding(base32.NoPadding)

// How a code was used; "" means that it was wrong.
const (
	withTOTP     = "totp"
	withRecovery = "recovery"
)

// EnrolTOTP begins to enable a second factor and returns its secret and the URI
// for a QR code. Beginning again replaces a secret that was not confirmed.
func (a *Auth) EnrolTOTP(ctx context.Context, who auth.Principal) (secret, uri string, err error) {
	b := make([]byte, totpSecret)
	rand.Read(b)
	secret = base32Text.EncodeToString(b)
	err = a.Repo.UpdateUser(ctx, who.TenantID, who.UserID, a.Now(), func(u *models.User) (repository.Along, error) {
		if u.TOTP.Enabled() {
			return repository.Along{}, authapi.ErrTOTPEnabled
		}
		u.TOTP = models.TOTP{Secret: secret}
		uri = totpURI(secret, u.Email)
		return repository.Along{}, nil
	})
	return secret, uri, err
}

func totpURI(secret, account string) string {
	q := url.Values{"secret": {secret}, "issuer": {totpIssuer}, "algorithm": {"SHA1"}, "digits": {"6"}, "period": {"30"}}
	return (&url.URL{Scheme: "otpauth", Host: "totp", Path: "/" + totpIssuer + ":" + account, RawQuery: q.Encode()}).String()
}

// ConfirmTOTP enables the second factor with a first code and returns the
// recovery codes.
func (a *Auth) ConfirmTOTP(ctx context.Context, who auth.Principal, code string) ([]string, error) {
	return a.changeTOTP(ctx, who, func(u *models.User, now time.Time) (codes []string, what string, err error) {
		switch {
		case u.TOTP.Enabled():
			return nil, "", authapi.ErrTOTPEnabled
		case u.TOTP.Secret == "":
			return nil, "", authapi.ErrTOTPNotEnabled
		case !useTOTP(u, code, now):
			return nil, "", authapi.ErrBadCode
		}
		u.TOTP.ConfirmedAt = now
		codes, u.Recovery = newRecoveryCodes()
		return codes, "totp_enabled", nil
	})
}

// DisableTOTP takes the second factor away, given a code of it: a stolen access
// token is not enough.
func (a *Auth) DisableTOTP(ctx context.Context, who auth.Principal, code string) error {
	_, err := a.changeTOTP(ctx, who, func(u *models.User, now time.Time) ([]string, string, error) {
		if err := requireCode(u, code, now); err != nil {
			return nil, "", err
		}
		u.DropSecondFactor()
		return nil, "totp_disabled", nil
	})
	return err
}

// RenewRecoveryCodes replaces the recovery codes, given a code.
func (a *Auth) RenewRecoveryCodes(ctx context.Context, who auth.Principal, code string) ([]string, error) {
	return a.changeTOTP(ctx, who, func(u *models.User, now time.Time) (codes []string, what string, err error) {
		if err := requireCode(u, code, now); err != nil {
			return nil, "", err
		}
		codes, u.Recovery = newRecoveryCodes()
		return codes, "recovery_codes_renewed", nil
	})
}

func requireCode(u *models.User, code string, now time.Time) error {
	if !u.TOTP.Enabled() {
		return authapi.ErrTOTPNotEnabled
	}
	if useCode(u, code, now) == "" {
		return authapi.ErrBadCode
	}
	return nil
}

// changeTOTP applies change to the signed-in user, within the limit on guesses,
// and tells of it by event and mail.
func (a *Auth) changeTOTP(ctx context.Context, who auth.Principal,
	change func(u *models.User, now time.Time) (codes []string, what string, err error)) ([]string, error) {
	attempt, err := a.begin(ctx, codeGuard(models.User{ID: who.UserID}))
	if err != nil {
		return nil, err
	}
	var codes []string
	now := a.Now()
	err = a.Repo.UpdateUser(ctx, who.TenantID, who.UserID, now, func(u *models.User) (repository.Along, error) {
		var what string
		if codes, what, err = change(u, now); err != nil {
			return repository.Along{}, err
		}
		along := repository.Along{
			Events: []events.Event{authapi.CredentialsChanged.New(ctx, u.Tenant, u.ID.String(), u.Version, credentials(u, what, ""))},
			Mails: []models.Mail{a.notice(*u, "Your second factor was changed",
				"The second factor of your account, or its recovery codes, were changed. If that was not you, change your password at once.")},
		}
		if u.TOTP.Enabled() { // by the code that it took
			along.Proves = who.SessionID
		}
		return along, nil
	})
	if err == nil {
		attempt.succeed(ctx)
	}
	return codes, err
}

// codeUsed is what is told of a sign-in's second step.
func (a *Auth) codeUsed(ctx context.Context, u *models.User, how string) repository.Along {
	if how != withRecovery {
		return repository.Along{}
	}
	return repository.Along{
		Events: []events.Event{authapi.CredentialsChanged.New(ctx, u.Tenant, u.ID.String(), u.Version, credentials(u, "recovery_code_used", ""))},
		Mails: []models.Mail{a.notice(*u, "A recovery code was used",
			"Somebody signed in to your account with a recovery code. If that was not you, change your password at once.")},
	}
}

// useCode takes an authenticator's code or a recovery code; neither works twice.
func useCode(u *models.User, code string, now time.Time) (how string) {
	switch {
	case useTOTP(u, code, now):
		return withTOTP
	case u.UseRecovery(recoveryHash(code)):
		return withRecovery
	}
	return ""
}

// useTOTP takes the code of the present period, of the last or of the next one,
// since clocks differ (RFC 6238, section 5.2).
func useTOTP(u *models.User, code string, now time.Time) bool {
	code = strings.ReplaceAll(code, " ", "")
	present := now.Unix() / totpPeriod
	for _, step := range []int64{present, present - 1, present + 1} {
		want, err := hotp.GenerateCodeCustom(u.TOTP.Secret, uint64(step), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			return u.TOTP.Accept(step)
		}
	}
	return false
}

// newRecoveryCodes returns codes of 80 random bits and what is stored of them.
func newRecoveryCodes() (codes []string, hashes [][]byte) {
	for range recoveryCodes {
		b := make([]byte, 10)
		rand.Read(b)
		t := strings.ToLower(base32Text.EncodeToString(b))
		code := strings.Join([]string{t[:4], t[4:8], t[8:12], t[12:]}, "-")
		codes, hashes = append(codes, code), append(hashes, recoveryHash(code))
	}
	return codes, hashes
}

// recoveryHash forgives how a code was typed.
func recoveryHash(code string) []byte {
	return models.Hash(strings.ToLower(strings.NewReplacer("-", "", " ", "").Replace(code)))
}
