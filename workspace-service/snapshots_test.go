package workspaceservice_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/app"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/httpx"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/permit"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
	"github.com/pyairtable/pyairtable/workspace-service/internal/repository"
	"github.com/pyairtable/pyairtable/workspace-service/internal/services"
)

// album stands for what airtable-gateway does with snapshots: at the second question they
// are ready, and restores are done, unless it holds them.
type album struct {
	lock     sync.Mutex
	asked    map[string]int
	kept     map[string]airtableapi.SnapshotTakeBody
	deleted  map[string]bool
	running  map[string]string // snapshots, by the restore
	restored []airtableapi.RestoreStartBody
	held     bool
}

func (a *album) wire(s *app.App) {
	a.asked, a.kept, a.deleted, a.running = map[string]int{}, map[string]airtableapi.SnapshotTakeBody{}, map[string]bool{}, map[string]string{}
	httpx.Handle(s.API, airtableapi.TakeSnapshot, a.take)
	httpx.Handle(s.API, airtableapi.FetchSnapshot, a.fetch)
	httpx.Handle(s.API, airtableapi.DeleteSnapshot, a.drop)
	httpx.Handle(s.API, airtableapi.RestoreSnapshot, a.restore)
}

func (a *album) hold(held bool) {
	a.lock.Lock()
	defer a.lock.Unlock()
	a.held = held
}

func (a *album) take(_ context.Context, _ auth.Principal, in airtableapi.SnapshotTake) (airtableapi.BaseSnapshot, error) {
	a.lock.Lock()
	defer a.lock.Unlock()
	if in.Body.BaseID == "appFar" {
		return airtableapi.BaseSnapshot{}, airtableapi.ErrNotLocal
	}
	out := airtableapi.BaseSnapshot{ID: in.Body.ID, BaseID: in.Body.BaseID, Status: airtableapi.SnapshotTaking, Tables: []airtableapi.SnapshotTable{}}
	a.kept[in.Body.ID] = in.Body
	if a.asked[in.Body.ID]++; a.asked[in.Body.ID] > 1 && !a.held || in.Body.Content != "" {
		out.Status, out.Records, out.SizeBytes, out.TakenAt = airtableapi.SnapshotReady, 3, 100, time.Now()
		out.Tables = append(out.Tables, airtableapi.SnapshotTable{ID: "tblA", Name: "A", Records: 3})
	}
	return out, nil
}

func (a *album) fetch(_ context.Context, _ auth.Principal, in airtableapi.SnapshotRef) (airtableapi.BaseSnapshot, error) {
	return airtableapi.BaseSnapshot{ID: in.ID, Status: airtableapi.SnapshotReady, Tables: []airtableapi.SnapshotTable{{ID: "tblA", Name: "A", Records: 3}}}, nil
}

func (a *album) drop(_ context.Context, _ auth.Principal, in airtableapi.SnapshotRef) (struct{}, error) {
	a.lock.Lock()
	defer a.lock.Unlock()
	if _, kept := a.kept[in.ID]; !kept {
		return struct{}{}, airtableapi.ErrSnapshotNotFound
	}
	for _, of := range a.running {
		if of == in.ID {
			return struct{}{}, airtableapi.ErrSnapshotInUse
		}
	}
	delete(a.kept, in.ID)
	a.deleted[in.ID] = true
	return struct{}{}, nil
}

func (a *album) restore(_ context.Context, _ auth.Principal, in airtableapi.RestoreStart) (airtableapi.BaseRestore, error) {
	a.lock.Lock()
	defer a.lock.Unlock()
	b := in.Body
	out := airtableapi.BaseRestore{ID: b.ID, Kind: b.Kind, Status: airtableapi.RestoreRunning, BaseID: "appOld", ConnectionID: id.New[any]().String(), TableID: b.TableID}
	if b.Kind == airtableapi.RestoreBase || b.Kind == airtableapi.CopyBase {
		out.BaseID, out.BaseName = "app"+b.ID[24:], "Again"
	}
	if _, kept := a.kept[b.SnapshotID]; a.asked[b.ID] == 0 && b.SnapshotID != "" && !kept {
		return out, airtableapi.ErrSnapshotNotFound
	}
	if a.asked[b.ID] == 0 {
		a.running[b.ID] = b.SnapshotID
	}
	if a.asked[b.ID]++; a.asked[b.ID] > 1 && !a.held {
		out.Status, out.Records = airtableapi.RestoreDone, 3
		if _, first := a.running[b.ID]; first {
			a.restored = append(a.restored, b)
		}
		delete(a.running, b.ID)
	}
	return out, nil
}

func (w *world) takes(p person, base string) workspaceapi.Snapshot {
	w.t.Helper()
	in := workspaceapi.SnapshotTake{BaseRef: workspaceapi.BaseRef{BaseID: base}}
	in.Body.Label = "before the move"
	made := must(w, p, workspaceapi.TakeSnapshot, in).Body
	var out workspaceapi.Snapshot
	await.True(w.t, "the snapshot has ended", func() bool {
		out = must(w, p, workspaceapi.GetSnapshot, workspaceapi.SnapshotRef{SnapshotID: made.ID})
		return out.Status != airtableapi.SnapshotTaking
	})
	return out
}

func (w *world) ended(p person, made workspaceapi.Restore) (out workspaceapi.Restore) {
	w.t.Helper()
	await.True(w.t, "the restore has ended", func() bool {
		out = must(w, p, workspaceapi.GetRestore, workspaceapi.RestoreRef{RestoreID: made.ID})
		return out.Status != airtableapi.RestoreRunning
	})
	return out
}

func restoreOf(snapshot, kind string) (in workspaceapi.SnapshotRestore) {
	in.SnapshotID, in.Body.Kind = snapshot, kind
	return in
}

func TestSnapshots_AreTakenListedRestoredAndDeleted(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	anna := w.owner()
	home := w.workspace(anna, "Home")
	w.base(anna, home, "appOld")
	first, second := w.takes(anna, "appOld"), w.takes(anna, "appOld")
	if first.Status != airtableapi.SnapshotReady || first.Records != 3 || first.Label != "before the move" || len(first.Tables) != 1 || first.TakenBy != anna.user.String() {
		t.Errorf("snapshot %+v", first)
	}
	in := workspaceapi.SnapshotsQuery{BaseRef: workspaceapi.BaseRef{BaseID: "appOld"}, PageQuery: api.PageQuery{Limit: 1}}
	page := must(w, anna, workspaceapi.ListSnapshots, in)
	in.Cursor = page.NextCursor
	if rest := must(w, anna, workspaceapi.ListSnapshots, in); page.Items[0].ID != second.ID || rest.Items[0].ID != first.ID || rest.NextCursor != "" {
		t.Errorf("pages %+v, %+v", page, rest)
	}
	whole := restoreOf(first.ID, airtableapi.RestoreBase)
	whole.Body.WorkspaceID = home.ID
	out := w.ended(anna, must(w, anna, workspaceapi.RestoreSnapshot, whole).Body)
	if out.Status != airtableapi.RestoreDone || out.Error != nil {
		t.Fatalf("restore %+v", out)
	}
	if b := must(w, anna, workspaceapi.GetBase, workspaceapi.BaseRef{BaseID: out.BaseID}).Body; b.WorkspaceID != home.ID || b.Name != "Again" {
		t.Errorf("the new base %+v", b)
	}
	if n, m := w.emitted("snapshot.taken", first.ID), w.emitted("snapshot.restored", out.ID); n != 1 || m != 1 {
		t.Errorf("events: taken %d, restored %d", n, m)
	}
	one := restoreOf(first.ID, airtableapi.RestoreRecord)
	one.Body.TableID, one.Body.RecordID = "tblA", "recA"
	if out := w.ended(anna, must(w, anna, workspaceapi.RestoreSnapshot, one).Body); out.Status != airtableapi.RestoreDone || out.BaseID != "appOld" {
		t.Errorf("restore of a record %+v", out)
	}
	twin := workspaceapi.BaseCopy{BaseRef: workspaceapi.BaseRef{BaseID: "appOld"}}
	twin.Body.WorkspaceID = home.ID
	if out := w.ended(anna, must(w, anna, workspaceapi.DuplicateBase, twin).Body); out.Status != airtableapi.RestoreDone || out.Kind != airtableapi.CopyBase {
		t.Errorf("copy %+v", out)
	}
	must(w, anna, workspaceapi.DeleteSnapshot, workspaceapi.SnapshotRef{SnapshotID: first.ID})
	refuse(w, errs.ErrNotFound, anna, workspaceapi.GetSnapshot, workspaceapi.SnapshotRef{SnapshotID: first.ID})
	w.offer(anna.tenant, "appFar")
	if far := w.takes(anna, "appFar"); far.Status != airtableapi.SnapshotFailed || far.Error.Code != airtableapi.ErrNotLocal.Code {
		t.Errorf("a base of an account: %+v", far)
	}
}

func TestSnapshots_TakeTheRightToCreate(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	anna := w.owner()
	home := w.workspace(anna, "Home")
	w.base(anna, home, "appOld")
	snap := w.takes(anna, "appOld")
	bob, stranger := w.other(anna, "member"), w.owner()
	at := workspaceapi.BaseRef{BaseID: "appOld"}
	ref := workspaceapi.SnapshotRef{SnapshotID: snap.ID}
	whole := restoreOf(snap.ID, airtableapi.RestoreBase)
	whole.Body.WorkspaceID = home.ID
	plan := workspaceapi.SchedulePut{BaseRef: at, Body: workspaceapi.ScheduleBody{Every: "daily", TimeZone: "UTC", Keep: 1}}
	refuse(w, workspaceapi.ErrNoBase, stranger, workspaceapi.TakeSnapshot, workspaceapi.SnapshotTake{BaseRef: at})
	refuse(w, workspaceapi.ErrNoBase, stranger, workspaceapi.PutSchedule, plan)
	refuse(w, errs.ErrNotFound, stranger, workspaceapi.GetSnapshot, ref)
	refuse(w, errs.ErrNotFound, stranger, workspaceapi.DeleteSnapshot, ref)
	refuse(w, errs.ErrNotFound, stranger, workspaceapi.RestoreSnapshot, whole)
	w.grant(bob, permissionapi.RoleEditor, permit.Base(anna.tenant, "appOld"))
	refuse(w, errs.ErrForbidden, bob, workspaceapi.TakeSnapshot, workspaceapi.SnapshotTake{BaseRef: at})
	refuse(w, errs.ErrNotFound, bob, workspaceapi.GetSnapshot, ref)
	w.grant(bob, permissionapi.RoleCreator, permit.Base(anna.tenant, "appOld"))
	refuse(w, errs.ErrNotFound, bob, workspaceapi.RestoreSnapshot, whole) // into a workspace that he does not see
	w.permissions.mu.Lock()
	w.permissions.hidden = []permissionapi.TablePolicy{{TableID: "tblA", Hidden: []string{"fldA"}}}
	w.permissions.mu.Unlock()
	refuse(w, workspaceapi.ErrMasked, bob, workspaceapi.TakeSnapshot, workspaceapi.SnapshotTake{BaseRef: at})
	// Nor does who owns the base, and cannot lift what is hidden from him.
	w.grant(bob, permissionapi.RoleOwner, permit.Base(anna.tenant, "appOld"))
	refuse(w, workspaceapi.ErrMasked, bob, workspaceapi.TakeSnapshot, workspaceapi.SnapshotTake{BaseRef: at})
	copied := workspaceapi.BaseCopy{BaseRef: at}
	copied.Body.WorkspaceID = home.ID
	refuse(w, workspaceapi.ErrMasked, bob, workspaceapi.DuplicateBase, copied)
	if again := w.takes(anna, "appOld"); again.Status != airtableapi.SnapshotReady {
		t.Errorf("who makes the policies takes none: %+v", again)
	}
	for _, change := range []func(*workspaceapi.SnapshotRestore){
		func(in *workspaceapi.SnapshotRestore) { in.Body.WorkspaceID = "" },
		func(in *workspaceapi.SnapshotRestore) { in.Body.TableID = "tblA" },
		func(in *workspaceapi.SnapshotRestore) { in.Body.RecordID = "recA" },
		func(in *workspaceapi.SnapshotRestore) { in.Body.Kind = airtableapi.RestoreTable },
		func(in *workspaceapi.SnapshotRestore) {
			in.Body.Kind, in.Body.WorkspaceID = airtableapi.RestoreRecord, ""
		},
	} {
		in := whole
		change(&in)
		refuse(w, workspaceapi.ErrRestore, anna, workspaceapi.RestoreSnapshot, in)
	}
	plan.Body.TimeZone = "Mars/Base"
	refuse(w, workspaceapi.ErrSchedule, anna, workspaceapi.PutSchedule, plan)
}

func TestSchedules_RunOnceWhenDueAndKeepTheNewest(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	anna := w.owner()
	w.base(anna, w.workspace(anna, "Home"), "appOld")
	at := workspaceapi.BaseRef{BaseID: "appOld"}
	set := must(w, anna, workspaceapi.PutSchedule, workspaceapi.SchedulePut{BaseRef: at, Body: workspaceapi.ScheduleBody{Every: "hourly", Minute: 7, TimeZone: "UTC", Keep: 2}})
	if got := must(w, anna, workspaceapi.GetSchedule, at); got != set || set.NextAt.Minute() != 7 || set.SetBy != anna.user.String() {
		t.Errorf("schedule %+v, then %+v", set, got)
	}
	repo := repository.NewSnapshots(w.pool)
	later := set.NextAt.Add(time.Hour)
	due, err := repo.DueSchedules(t.Context(), later, 10)
	if err != nil || len(due) != 1 {
		t.Fatalf("due: %v, %v", due, err)
	}
	var runs sync.WaitGroup
	for range 4 {
		n := models.Snapshot{Tenant: anna.tenant, Base: "appOld", Status: airtableapi.SnapshotReady, Scheduled: true, TakenBy: anna.user, CreatedAt: later}
		w.ok(n.ID.UnmarshalText([]byte(id.New[any]().String())))
		runs.Go(func() {
			// The row is ready at once, as far as its own columns say: nobody follows it here.
			if err := repo.RunSchedule(t.Context(), due[0], later, n, nothing); err != nil {
				t.Error(err)
			}
		})
	}
	runs.Wait()
	if n := w.count(`SELECT count(*) FROM snapshots WHERE scheduled`); n != 1 {
		t.Errorf("%d snapshots of one moment", n)
	}
	for range 3 {
		due, err := repo.DueSchedules(t.Context(), later.Add(30*24*time.Hour), 1)
		w.ok(err)
		n := models.Snapshot{Tenant: anna.tenant, Base: "appOld", Status: airtableapi.SnapshotReady, Scheduled: true, TakenBy: anna.user, CreatedAt: later}
		w.ok(n.ID.UnmarshalText([]byte(id.New[any]().String())))
		later = later.Add(2 * time.Hour)
		w.ok(repo.RunSchedule(t.Context(), due[0], later, n, nothing))
	}
	surplus, err := repo.Surplus(t.Context(), due[0])
	if err != nil || len(surplus) != 2 {
		t.Errorf("surplus of 4 snapshots where 2 are kept: %v, %v", surplus, err)
	}
	must(w, anna, workspaceapi.DeleteSchedule, at)
	refuse(w, errs.ErrNotFound, anna, workspaceapi.DeleteSchedule, at)
	if _, err := repo.Schedule(t.Context(), anna.tenant, "appOld"); !errors.Is(err, errs.ErrNotFound) {
		t.Error(err)
	}
}

func nothing(context.Context, pgx.Tx) error { return nil }

// What was left behind by a job that is no more is followed again.
func TestSnapshots_WhatLostItsJobIsFollowedAgain(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	anna := w.owner()
	home := w.workspace(anna, "Home")
	w.base(anna, home, "appOld")
	snap := w.takes(anna, "appOld")
	whole := restoreOf(snap.ID, airtableapi.RestoreBase)
	whole.Body.WorkspaceID = home.ID
	out := w.ended(anna, must(w, anna, workspaceapi.RestoreSnapshot, whole).Body)
	await.True(t, "both jobs have ended", func() bool {
		return w.count(`SELECT count(*) FROM river_job WHERE finalized_at IS NULL AND kind IN ('follow_snapshot', 'follow_restore')`) == 0
	})
	for key, sql := range map[string]string{
		snap.ID: `UPDATE snapshots SET status = 'taking', taken_at = NULL WHERE tenant_id = $1 AND id = $2`,
		out.ID:  `UPDATE restores SET status = 'running', finished_at = NULL WHERE tenant_id = $1 AND id = $2`,
	} {
		_, err := postgres.ForTenant(w.pool, anna.tenant).Exec(t.Context(), sql, anna.tenant, key)
		w.ok(err)
	}
	w.ok(w.work(services.FollowLostWork{}))
	await.True(t, "the snapshot has ended", func() bool {
		return must(w, anna, workspaceapi.GetSnapshot, workspaceapi.SnapshotRef{SnapshotID: snap.ID}).Status == airtableapi.SnapshotReady
	})
	if again := w.ended(anna, out); again.Status != airtableapi.RestoreDone || again.BaseID != out.BaseID {
		t.Errorf("restore %+v", again)
	}
}
