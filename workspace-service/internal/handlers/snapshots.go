package handlers

import (
	"context"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/page"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
	"github.com/pyairtable/pyairtable/workspace-service/internal/services"
)

type snapshots struct{ service *services.Snapshots }

func (h snapshots) take(ctx context.Context, who auth.Principal, in workspaceapi.SnapshotTake) (out workspaceapi.SnapshotMade, err error) {
	n, err := h.service.Take(ctx, who, in.BaseID, in.Body.Label, in.Body.Comments)
	return workspaceapi.SnapshotMade{Location: "/api/v1/snapshots/" + n.ID.String(), Body: snapshotOf(n)}, err
}

func (h snapshots) list(ctx context.Context, who auth.Principal, in workspaceapi.SnapshotsQuery) (api.Page[workspaceapi.Snapshot], error) {
	return page.List(in.PageQuery, []any{"snapshots", who.TenantID, in.BaseID}, func(before models.SnapshotID, limit int) ([]models.Snapshot, error) {
		return h.service.List(ctx, who, in.BaseID, before, limit)
	}, func(n models.Snapshot) models.SnapshotID { return n.ID }, snapshotOf)
}

func (h snapshots) snapshot(ctx context.Context, who auth.Principal, in workspaceapi.SnapshotRef) (out workspaceapi.Snapshot, err error) {
	key, err := parse[models.SnapshotID](in.SnapshotID)
	if err != nil {
		return out, err
	}
	n, tables, err := h.service.Snapshot(ctx, who, key)
	out = snapshotOf(n)
	out.Tables = append(out.Tables, tables...)
	return out, err
}

func (h snapshots) delete(ctx context.Context, who auth.Principal, in workspaceapi.SnapshotRef) (struct{}, error) {
	key, err := parse[models.SnapshotID](in.SnapshotID)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, h.service.Delete(ctx, who, key)
}

func (h snapshots) restore(ctx context.Context, who auth.Principal, in workspaceapi.SnapshotRestore) (out workspaceapi.RestoreMade, err error) {
	b := in.Body
	n := models.Restoration{Kind: b.Kind, Name: b.Name, Table: b.TableID, Record: b.RecordID, SkipRecords: b.SkipRecords}
	if n.Snapshot, err = parse[models.SnapshotID](in.SnapshotID); err != nil {
		return out, err
	}
	if n.Workspace, n.Project, err = target(b.WorkspaceID, b.ProjectID); err != nil {
		return out, err
	}
	return restoreMade(h.service.Restore(ctx, who, n))
}

func (h snapshots) duplicate(ctx context.Context, who auth.Principal, in workspaceapi.BaseCopy) (out workspaceapi.RestoreMade, err error) {
	n := models.Restoration{Source: in.BaseID, Name: in.Body.Name, SkipRecords: in.Body.SkipRecords, Comments: in.Body.Comments}
	if n.Workspace, n.Project, err = target(in.Body.WorkspaceID, in.Body.ProjectID); err != nil {
		return out, err
	}
	return restoreMade(h.service.Duplicate(ctx, who, n))
}

func target(workspace, project string) (w models.WorkspaceID, p models.ProjectID, err error) {
	if w, err = optional[models.WorkspaceID](workspace); err != nil {
		return w, p, err
	}
	if p, err = optional[models.ProjectID](project); err != nil {
		err = workspaceapi.ErrNoProject.Because(err)
	}
	return w, p, err
}

func (h snapshots) restored(ctx context.Context, who auth.Principal, in workspaceapi.RestoreRef) (out workspaceapi.Restore, err error) {
	key, err := parse[models.RestorationID](in.RestoreID)
	if err != nil {
		return out, err
	}
	n, err := h.service.Restoration(ctx, who, key)
	return restoreOf(n), err
}

func (h snapshots) schedule(ctx context.Context, who auth.Principal, in workspaceapi.BaseRef) (workspaceapi.Schedule, error) {
	n, err := h.service.Schedule(ctx, who, in.BaseID)
	return scheduleOf(n), err
}

func (h snapshots) putSchedule(ctx context.Context, who auth.Principal, in workspaceapi.SchedulePut) (workspaceapi.Schedule, error) {
	b := in.Body
	n, err := h.service.PutSchedule(ctx, who, models.Schedule{
		Base: in.BaseID, Every: b.Every, Minute: b.Minute, Hour: b.Hour, Weekday: b.Weekday, Zone: b.TimeZone, Keep: b.Keep,
	})
	return scheduleOf(n), err
}

func (h snapshots) deleteSchedule(ctx context.Context, who auth.Principal, in workspaceapi.BaseRef) (struct{}, error) {
	return struct{}{}, h.service.DeleteSchedule(ctx, who, in.BaseID)
}

func snapshotOf(n models.Snapshot) workspaceapi.Snapshot {
	return workspaceapi.Snapshot{
		ID: n.ID.String(), BaseID: n.Base, Label: n.Label, Status: n.Status, Error: faultOf(n.Fault), Scheduled: n.Scheduled, TakenBy: n.TakenBy.String(),
		CreatedAt: n.CreatedAt, TakenAt: n.TakenAt, Records: n.Records, SizeBytes: n.Size, Tables: []airtableapi.SnapshotTable{},
	}
}

func restoreMade(n models.Restoration, err error) (workspaceapi.RestoreMade, error) {
	return workspaceapi.RestoreMade{Location: "/api/v1/base-restores/" + n.ID.String(), Body: restoreOf(n)}, err
}

func restoreOf(n models.Restoration) workspaceapi.Restore {
	return workspaceapi.Restore{
		ID: n.ID.String(), Kind: n.Kind, Status: n.Status, Error: faultOf(n.Fault), BaseID: n.Base, TableID: n.Table,
		Records: n.Records, DroppedLinks: n.DroppedLinks, CreatedAt: n.CreatedAt, FinishedAt: n.FinishedAt,
	}
}

func scheduleOf(n models.Schedule) workspaceapi.Schedule {
	return workspaceapi.Schedule{
		ScheduleBody: workspaceapi.ScheduleBody{Every: n.Every, Minute: n.Minute, Hour: n.Hour, Weekday: n.Weekday, TimeZone: n.Zone, Keep: n.Keep},
		NextAt:       n.NextAt, SetBy: n.SetBy.String(),
	}
}

func faultOf(f models.Fault) *airtableapi.JobError {
	if f.Code == "" {
		return nil
	}
	return &airtableapi.JobError{Code: f.Code, Message: f.Text}
}
