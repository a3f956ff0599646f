package handlers

import (
	"context"
	"errors"

	"github.com/pyairtable/pyairtable/audit-service/internal/models"
	"github.com/pyairtable/pyairtable/audit-service/internal/repository"
	"github.com/pyairtable/pyairtable/audit-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api/auditapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

type keeping struct {
	keeper *services.Keeper
	repo   *repository.Repository
}

func (h keeping) settings(ctx context.Context, who auth.Principal, _ struct{}) (auditapi.Settings, error) {
	if err := admins(who); err != nil {
		return auditapi.Settings{}, err
	}
	l, err := h.repo.Log(ctx, models.LogOf(who.TenantID))
	if errors.Is(err, errs.ErrNotFound) {
		err = nil // nothing recorded, nothing set
	}
	return auditapi.Settings{RetentionDays: l.RetentionDays}, err
}

func (h keeping) setSettings(ctx context.Context, who auth.Principal, in auditapi.Settings) (auditapi.Settings, error) {
	if err := admins(who); err != nil {
		return auditapi.Settings{}, err
	}
	return in, h.keeper.SetRetention(ctx, who, in.RetentionDays)
}

func (h keeping) createSink(ctx context.Context, who auth.Principal, in auditapi.NewSink) (auditapi.CreatedSink, error) {
	if err := admins(who); err != nil {
		return auditapi.CreatedSink{}, err
	}
	s, err := h.keeper.CreateSink(ctx, who, in)
	if err != nil {
		return auditapi.CreatedSink{}, err
	}
	return auditapi.CreatedSink{Location: auditapi.CreateSink.Path + "/" + s.ID.String(), Body: sink(s)}, nil
}

func (h keeping) sinks(ctx context.Context, who auth.Principal, _ struct{}) (auditapi.SinkList, error) {
	out := auditapi.SinkList{Items: []auditapi.Sink{}}
	if err := admins(who); err != nil {
		return out, err
	}
	list, err := h.repo.Sinks(ctx, models.LogOf(who.TenantID))
	for _, s := range list {
		out.Items = append(out.Items, sink(s))
	}
	return out, err
}

func (h keeping) updateSink(ctx context.Context, who auth.Principal, in auditapi.SinkEdit) (auditapi.Sink, error) {
	ref, err := sinkRef(who, in.ID)
	if err != nil {
		return auditapi.Sink{}, err
	}
	s, err := h.keeper.UpdateSink(ctx, who, ref, in.Body)
	return sink(s), err
}

func (h keeping) deleteSink(ctx context.Context, who auth.Principal, in auditapi.SinkRef) (struct{}, error) {
	ref, err := sinkRef(who, in.ID)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, h.keeper.DeleteSink(ctx, who, ref)
}

func sinkRef(who auth.Principal, text string) (ref models.SinkID, err error) {
	if err := admins(who); err != nil {
		return ref, err
	}
	if err := ref.UnmarshalText([]byte(text)); err != nil {
		return ref, errs.ErrNotFound
	}
	return ref, nil
}

func sink(s models.Sink) auditapi.Sink {
	return auditapi.Sink{
		ID: s.ID.String(), Name: s.Name, URL: s.URL, Format: s.Format, HasToken: s.Token != nil, Enabled: s.Enabled,
		NextSeq: s.NextSeq, Failures: s.Failures, LastError: s.LastError, CreatedAt: s.CreatedAt,
	}
}
