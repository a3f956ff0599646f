package handlers

import (
	"context"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
)

func (h handlers) enrolTOTP(ctx context.Context, who auth.Principal, _ none) (authapi.TOTPEnrolment, error) {
	secret, uri, err := h.Auth.EnrolTOTP(ctx, who)
	return authapi.TOTPEnrolment{Secret: secret, URI: uri}, err
}

func (h handlers) confirmTOTP(ctx context.Context, who auth.Principal, in authapi.CodeRequest) (authapi.RecoveryCodes, error) {
	codes, err := h.Auth.ConfirmTOTP(ctx, who, in.Code)
	return authapi.RecoveryCodes{Codes: codes}, err
}

func (h handlers) disableTOTP(ctx context.Context, who auth.Principal, in authapi.CodeRequest) (none, error) {
	return none{}, h.Auth.DisableTOTP(ctx, who, in.Code)
}

func (h handlers) renewRecoveryCodes(ctx context.Context, who auth.Principal, in authapi.CodeRequest) (authapi.RecoveryCodes, error) {
	codes, err := h.Auth.RenewRecoveryCodes(ctx, who, in.Code)
	return authapi.RecoveryCodes{Codes: codes}, err
}
