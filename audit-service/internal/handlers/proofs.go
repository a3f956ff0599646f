package handlers

import (
	"context"

	"github.com/pyairtable/pyairtable/audit-service/internal/models"
	"github.com/pyairtable/pyairtable/audit-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api/auditapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
)

type proofs struct {
	notary *services.Notary
	by     readers
}

func (h proofs) head(ctx context.Context, who auth.Principal, _ struct{}) (auditapi.Head, error) {
	if err := h.by.admit(ctx, who); err != nil {
		return auditapi.Head{}, err
	}
	head, err := h.notary.Head(ctx, models.LogOf(who.TenantID))
	if err != nil {
		return auditapi.Head{}, err
	}
	return head.Wire(), nil
}

func (h proofs) inclusion(ctx context.Context, who auth.Principal, in auditapi.InclusionQuery) (auditapi.Proof, error) {
	if err := h.by.admit(ctx, who); err != nil {
		return auditapi.Proof{}, err
	}
	return h.notary.Inclusion(ctx, models.LogOf(who.TenantID), in.Seq, in.Size)
}

func (h proofs) consistency(ctx context.Context, who auth.Principal, in auditapi.ConsistencyQuery) (auditapi.Proof, error) {
	if err := h.by.admit(ctx, who); err != nil {
		return auditapi.Proof{}, err
	}
	return h.notary.Consistency(ctx, models.LogOf(who.TenantID), in.From, in.To)
}

func (h proofs) verify(ctx context.Context, who auth.Principal, _ struct{}) (auditapi.Report, error) {
	if err := h.by.admit(ctx, who); err != nil {
		return auditapi.Report{}, err
	}
	return h.notary.Verify(ctx, models.LogOf(who.TenantID))
}

func (h proofs) keys(context.Context, auth.Principal, struct{}) (auditapi.KeyList, error) {
	return auditapi.KeyList{Keys: h.notary.PublicKeys()}, nil
}
