package handlers

import (
	"context"

	"github.com/pyairtable/pyairtable/auth-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

func (h handlers) register(ctx context.Context, _ auth.Principal, in authapi.RegisterRequest) (authapi.User, error) {
	u, err := h.Auth.Register(ctx, services.Registration{Email: in.Email, Password: in.Password, Name: in.Name})
	return user(u), err
}

func (h handlers) changePassword(ctx context.Context, who auth.Principal, in authapi.PasswordChange) (none, error) {
	return none{}, h.Auth.ChangePassword(ctx, who, in.CurrentPassword, in.NewPassword, device(ctx))
}

func (h handlers) forgotPassword(ctx context.Context, _ auth.Principal, in authapi.MailRequest) (none, error) {
	return none{}, h.Auth.ForgotPassword(ctx, in.Email)
}

func (h handlers) resetPassword(ctx context.Context, _ auth.Principal, in authapi.PasswordReset) (none, error) {
	return none{}, h.Auth.ResetPassword(ctx, in.Token, in.NewPassword)
}

func (h handlers) verifyEmail(ctx context.Context, _ auth.Principal, in authapi.EmailVerification) (none, error) {
	return none{}, h.Auth.VerifyEmail(ctx, in.Token)
}

func (h handlers) resendVerification(ctx context.Context, _ auth.Principal, in authapi.MailRequest) (none, error) {
	return none{}, h.Auth.ResendVerification(ctx, in.Email)
}

func (h handlers) provisionAccount(ctx context.Context, _ auth.Principal, in authapi.AccountRequest) (authapi.ProvisionedAccount, error) {
	u, created, err := h.Auth.Provision(ctx, in)
	if err != nil {
		return authapi.ProvisionedAccount{}, err
	}
	return authapi.ProvisionedAccount{UserID: u.ID.String(), Created: created}, nil
}

func (h handlers) devInbox(ctx context.Context, _ auth.Principal, in authapi.InboxQuery) (authapi.Inbox, error) {
	if !h.DevInbox {
		return authapi.Inbox{}, errs.ErrNotFound
	}
	mails, err := h.Repo.Mails(ctx, in.To, in.Limit)
	return authapi.Inbox{Items: convert(mails, mail)}, err
}
