package workspaceservice_test

import (
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
	"github.com/pyairtable/pyairtable/workspace-service/internal/repository"
)

// What is restored or copied goes into nothing that is archived or in the trash, and says
// so at once.
func TestRestore_GoesNowhereThatIsClosed(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	anna := w.owner()
	home, attic := w.workspace(anna, "Home"), w.workspace(anna, "Attic")
	box := w.project(anna, attic, "Box")
	b := w.base(anna, home, "appOld")
	snap := w.takes(anna, "appOld")
	into := func(want *errs.Error) {
		t.Helper()
		whole := restoreOf(snap.ID, airtableapi.RestoreBase)
		whole.Body.WorkspaceID, whole.Body.ProjectID = attic.ID, box.ID
		refuse(w, want, anna, workspaceapi.RestoreSnapshot, whole)
		twin := workspaceapi.BaseCopy{BaseRef: bref(b)}
		twin.Body.WorkspaceID, twin.Body.ProjectID = attic.ID, box.ID
		refuse(w, want, anna, workspaceapi.DuplicateBase, twin)
	}
	must(w, anna, workspaceapi.ArchiveProject, pref(box))
	into(workspaceapi.ErrArchived)
	must(w, anna, workspaceapi.TrashProject, pref(box))
	into(workspaceapi.ErrTrashed)
	must(w, anna, workspaceapi.RestoreProject, pref(box))
	must(w, anna, workspaceapi.UnarchiveProject, pref(box))
	must(w, anna, workspaceapi.ArchiveWorkspace, ref(attic))
	into(workspaceapi.ErrArchived)
	must(w, anna, workspaceapi.TrashWorkspace, ref(attic))
	into(workspaceapi.ErrTrashed)
	box.ID = id.New[any]().String()
	must(w, anna, workspaceapi.RestoreWorkspace, ref(attic))
	must(w, anna, workspaceapi.UnarchiveWorkspace, ref(attic))
	into(workspaceapi.ErrNoProject)
	if n := w.count(`SELECT count(*) FROM restores`); n != 0 {
		t.Errorf("%d restores were begun", n)
	}
}

// A base in the trash is left as it is: no snapshot is taken of it, nothing restored into
// it, and its schedule waits.
func TestSnapshots_LeaveABaseInTheTrashAlone(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	anna := w.owner()
	home := w.workspace(anna, "Home")
	b := w.base(anna, home, "appOld")
	snap := w.takes(anna, "appOld")
	set := must(w, anna, workspaceapi.PutSchedule, workspaceapi.SchedulePut{
		BaseRef: bref(b), Body: workspaceapi.ScheduleBody{Every: "hourly", Minute: 7, TimeZone: "UTC", Keep: 2}})
	must(w, anna, workspaceapi.TrashBase, bref(b))
	if n := w.count(`SELECT count(*) FROM outbox WHERE event::jsonb ->> 'type' = 'com.pyairtable.base.updated.v1' AND event::jsonb #>> '{data,status}' = 'trashed'`); n != 1 {
		t.Errorf("%d events tell that it is in the trash", n)
	}
	refuse(w, workspaceapi.ErrTrashed, anna, workspaceapi.TakeSnapshot, workspaceapi.SnapshotTake{BaseRef: bref(b)})
	refuse(w, workspaceapi.ErrTrashed, anna, workspaceapi.PutSchedule, workspaceapi.SchedulePut{
		BaseRef: bref(b), Body: workspaceapi.ScheduleBody{Every: "hourly", Minute: 8, TimeZone: "UTC", Keep: 2}})
	back := restoreOf(snap.ID, airtableapi.RestoreContents)
	back.Body.TableID = "tblA"
	refuse(w, workspaceapi.ErrTrashed, anna, workspaceapi.RestoreSnapshot, back)
	repo := repository.NewSnapshots(w.pool)
	run := func(want int) {
		t.Helper()
		due, err := repo.DueSchedules(t.Context(), set.NextAt.Add(48*time.Hour), 10)
		w.ok(err)
		n := models.Snapshot{Tenant: anna.tenant, Base: "appOld", Status: airtableapi.SnapshotReady, Scheduled: true, TakenBy: anna.user, CreatedAt: set.NextAt}
		w.ok(n.ID.UnmarshalText([]byte(id.New[any]().String())))
		w.ok(repo.RunSchedule(t.Context(), due[0], due[0].NextAt, n, nothing))
		if got := w.count(`SELECT count(*) FROM snapshots WHERE scheduled`); got != want {
			t.Errorf("%d scheduled snapshots, want %d", got, want)
		}
	}
	run(0)
	whole := restoreOf(snap.ID, airtableapi.RestoreBase) // elsewhere
	whole.Body.WorkspaceID = home.ID
	if out := w.ended(anna, must(w, anna, workspaceapi.RestoreSnapshot, whole).Body); out.Status != airtableapi.RestoreDone {
		t.Errorf("a new base of it: %+v", out)
	}
	must(w, anna, workspaceapi.RestoreBase, bref(b))
	run(1)
	if out := w.ended(anna, must(w, anna, workspaceapi.RestoreSnapshot, back).Body); out.Status != airtableapi.RestoreDone {
		t.Errorf("into the base that is back: %+v", out)
	}
}
