package handlers

import (
	"context"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
)

type snapshots struct{ service *services.Snapshots }

func (h snapshots) take(ctx context.Context, _ auth.Principal, in airtableapi.SnapshotTake) (out airtableapi.BaseSnapshot, err error) {
	b := in.Body
	n := models.BaseSnapshot{Base: models.BaseID(b.BaseID), Comments: b.Comments, SkipRecords: b.SkipRecords}
	if (b.BaseID == "") == (b.Content == "") {
		return out, errs.ErrInvalid.With(errs.Field{Pointer: "/base_id", Detail: "Either base_id or content."})
	}
	if b.SkipRecords && (b.Content != "" || b.Comments) {
		return out, errs.ErrInvalid.With(errs.Field{Pointer: "/skip_records", Detail: "Content is taken as it is, and comments are of records."})
	}
	if err := readIDs(given{b.ID, &n.ID}, given{b.TenantID, &n.Tenant}, given{b.UserID, &n.RequestedBy}); err != nil {
		return out, err
	}
	made, err := h.service.Take(ctx, n, b.Content)
	return snapshotOf(made), err
}

func (h snapshots) snapshot(ctx context.Context, _ auth.Principal, in airtableapi.SnapshotRef) (out airtableapi.BaseSnapshot, err error) {
	tenant, key, err := snapshotAt(in)
	if err != nil {
		return out, err
	}
	found, err := h.service.Snapshot(ctx, tenant, key)
	return snapshotOf(found), err
}

func (h snapshots) delete(ctx context.Context, _ auth.Principal, in airtableapi.SnapshotRef) (struct{}, error) {
	tenant, key, err := snapshotAt(in)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, h.service.Delete(ctx, tenant, key)
}

func (h snapshots) restore(ctx context.Context, _ auth.Principal, in airtableapi.RestoreStart) (out airtableapi.BaseRestore, err error) {
	b := in.Body
	n := models.BaseRestore{
		Kind: b.Kind, Base: models.BaseID(b.BaseID), Name: b.Name, Table: models.TableID(b.TableID), Record: models.RecordID(b.RecordID),
		SkipRecords: b.SkipRecords, Comments: b.Comments, Fresh: b.Fresh,
	}
	if err := checkRestore(b); err != nil {
		return out, err
	}
	if err := readIDs(given{b.ID, &n.ID}, given{b.TenantID, &n.Tenant}, given{b.SnapshotID, &n.Snapshot}, given{b.UserID, &n.RequestedBy}); err != nil {
		return out, err
	}
	made, err := h.service.Restore(ctx, n)
	if err != nil {
		return out, err
	}
	return h.restoreOf(ctx, made)
}

func (h snapshots) restored(ctx context.Context, _ auth.Principal, in airtableapi.SnapshotRef) (out airtableapi.BaseRestore, err error) {
	var tenant id.TenantID
	var key models.RestoreID
	if err := readIDs(given{in.ID, &key}, given{in.TenantID, &tenant}); err != nil {
		return out, err
	}
	found, err := h.service.Restored(ctx, tenant, key)
	if err != nil {
		return out, err
	}
	return h.restoreOf(ctx, found)
}

// checkRestore refuses what does not belong to the kind, and what lacks.
func checkRestore(b airtableapi.RestoreStartBody) error {
	isCopy := b.Kind == airtableapi.CopyBase
	ofTable := b.Kind == airtableapi.RestoreTable || b.Kind == airtableapi.RestoreContents || b.Kind == airtableapi.RestoreRecord
	fresh := b.Kind != airtableapi.RestoreContents && b.Kind != airtableapi.RestoreRecord
	for _, rule := range []struct {
		field string
		ok    bool
	}{
		{"snapshot_id", (b.SnapshotID != "") != isCopy},
		{"base_id", (b.BaseID != "") == isCopy},
		{"table_id", (b.TableID != "") == ofTable},
		{"record_id", (b.RecordID != "") == (b.Kind == airtableapi.RestoreRecord)},
		{"name", b.Name == "" || fresh},
		{"skip_records", !b.SkipRecords || fresh},
		{"comments", !b.Comments || isCopy},
		{"fresh", !b.Fresh || b.Kind == airtableapi.RestoreBase},
	} {
		if !rule.ok {
			return errs.ErrInvalid.With(errs.Field{Pointer: "/" + rule.field, Detail: "Restores of the kind " + b.Kind + " need it, or do not know it."})
		}
	}
	return nil
}

// given is an id as it came, and where it goes.
type given struct {
	text string
	into interface{ UnmarshalText(text []byte) error }
}

// readIDs reads those that are there.
func readIDs(list ...given) error {
	for _, g := range list {
		if g.text == "" {
			continue
		}
		if err := g.into.UnmarshalText([]byte(g.text)); err != nil {
			return errs.ErrInvalid.Because(err)
		}
	}
	return nil
}

func snapshotAt(in airtableapi.SnapshotRef) (tenant id.TenantID, key models.SnapshotID, err error) {
	err = readIDs(given{in.ID, &key}, given{in.TenantID, &tenant})
	return tenant, key, err
}

func snapshotOf(s models.BaseSnapshot) airtableapi.BaseSnapshot {
	out := airtableapi.BaseSnapshot{
		ID: s.ID.String(), BaseID: string(s.Base), BaseName: s.BaseName, Status: s.Status, Error: faultOf(s.Fault),
		TakenAt: s.TakenAt, Records: s.Records, SizeBytes: s.Size, Tables: []airtableapi.SnapshotTable{},
	}
	for _, t := range s.Tables {
		out.Tables = append(out.Tables, airtableapi.SnapshotTable{ID: string(t.ID), Name: t.Name, Records: t.Records})
	}
	return out
}

func (h snapshots) restoreOf(ctx context.Context, r models.BaseRestore) (airtableapi.BaseRestore, error) {
	connection, err := h.service.Connection(ctx, r.Tenant)
	out := airtableapi.BaseRestore{
		ID: r.ID.String(), Kind: r.Kind, SnapshotID: r.Snapshot.String(), Status: r.Status, Error: faultOf(r.Fault),
		BaseID: string(r.Base), TableID: string(r.Table), Records: r.Records, DroppedLinks: r.DroppedLinks, FinishedAt: r.FinishedAt,
		ConnectionID: connection.String(),
	}
	if r.NewTable != "" {
		out.TableID = string(r.NewTable)
	}
	if r.Kind == airtableapi.RestoreBase || r.Kind == airtableapi.CopyBase {
		out.BaseName = r.Name
	}
	if r.Kind == airtableapi.CopyBase {
		out.SnapshotID = ""
	}
	return out, err
}

func faultOf(f models.Fault) *airtableapi.JobError {
	if f.Code == "" {
		return nil
	}
	return &airtableapi.JobError{Code: f.Code, Message: f.Text}
}
