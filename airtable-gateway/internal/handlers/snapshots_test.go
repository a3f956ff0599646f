package handlers_test

import (
	"errors"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/filestest"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

// service is another service with a token of its own, on behalf of p's tenant.
func (p person) service(t *testing.T) person {
	t.Helper()
	s := p
	s.token = p.f.sign(t, auth.Claims{RegisteredClaims: jwt.RegisteredClaims{
		Issuer: "pyairtable", Audience: jwt.ClaimStrings{auth.AudienceService}, Subject: auth.ServiceSubject("workspace-service"), ID: uid(),
		IssuedAt: jwt.NewNumericDate(time.Now()), ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour)),
	}})
	return s
}

// workSnapshots works the jobs of snapshots until the test ends.
func (f *fleet) workSnapshots(t *testing.T) {
	t.Helper()
	workers := river.NewWorkers()
	river.AddWorker(workers, &services.TakeSnapshotWorker{Snapshots: f.snapshots})
	river.AddWorker(workers, &services.RestoreSnapshotWorker{Snapshots: f.snapshots})
	filestest.Queue(t, f.pool, workers)
}

func (p person) takes(base string) airtableapi.SnapshotTake {
	return airtableapi.SnapshotTake{Body: airtableapi.SnapshotTakeBody{ID: uid(), TenantID: p.tenant.String(), UserID: p.user.String(), BaseID: base}}
}

func (p person) restores(kind, snapshot string) airtableapi.RestoreStart {
	return airtableapi.RestoreStart{Body: airtableapi.RestoreStartBody{ID: uid(), TenantID: p.tenant.String(), UserID: p.user.String(), Kind: kind, SnapshotID: snapshot}}
}

func (p person) ref(key string) airtableapi.SnapshotRef {
	return airtableapi.SnapshotRef{ID: key, TenantID: p.tenant.String()}
}

func TestSnapshots_AreTakenRestoredAndDeletedByJobs(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.workSnapshots(t)
	anna := f.owner(t)
	base, house := anna.shop(t), anna.service(t)
	order := must(t, anna, airtableapi.CreateRecord, airtableapi.RecordCreate{TablePath: at(base, "Orders/2"), Body: airtableapi.RecordDraft{Fields: map[string]any{"No": "a", "Qty": 1}}}).Body
	take := anna.takes(base)
	began := must(t, house, airtableapi.TakeSnapshot, take)
	if again := must(t, house, airtableapi.TakeSnapshot, take); again.ID != began.ID {
		t.Errorf("the same request made another snapshot: %+v", again)
	}
	var snap airtableapi.BaseSnapshot
	await.True(t, "the snapshot is taken", func() bool {
		snap = must(t, house, airtableapi.FetchSnapshot, anna.ref(take.Body.ID))
		return snap.Status != airtableapi.SnapshotTaking
	})
	if snap.Status != airtableapi.SnapshotReady || snap.Records != 1 || snap.BaseName != "Shop" || len(snap.Tables) != 2 || snap.Tables[1].Records != 1 {
		t.Fatalf("snapshot %+v", snap)
	}
	done := func(in airtableapi.RestoreStart) (out airtableapi.BaseRestore) {
		t.Helper()
		must(t, house, airtableapi.RestoreSnapshot, in)
		await.True(t, "the restore has ended", func() bool {
			out = must(t, house, airtableapi.FetchRestore, anna.ref(in.Body.ID))
			return out.Status != airtableapi.RestoreRunning
		})
		return out
	}
	whole := anna.restores(airtableapi.RestoreBase, snap.ID)
	whole.Body.Name = "Again"
	out := done(whole)
	if out.Status != airtableapi.RestoreDone || out.BaseName != "Again" || out.BaseID == base {
		t.Fatalf("restore %+v", out)
	}
	if got := must(t, anna, airtableapi.FetchBase, airtableapi.BasePath{BaseID: out.BaseID}); got.Name != "Again" {
		t.Errorf("the new base %+v", got)
	}
	must(t, anna, airtableapi.DeleteRecord, record(base, "Orders/2", order.ID))
	one := anna.restores(airtableapi.RestoreRecord, snap.ID)
	one.Body.TableID, one.Body.RecordID = snap.Tables[1].ID, order.ID
	if out := done(one); out.Status != airtableapi.RestoreDone {
		t.Errorf("restore %+v", out)
	}
	if got := must(t, anna, airtableapi.FetchRecord, airtableapi.RecordQuery{RecordPath: record(base, "Orders/2", order.ID)}); got.Body.Fields["No"] != "a" {
		t.Errorf("the record %+v", got.Body)
	}
	one.Body.ID, one.Body.RecordID = uid(), "recNeverWas000001"
	if out := done(one); out.Status != airtableapi.SnapshotFailed || out.Error.Code != airtableapi.ErrNotInSnapshot.Code {
		t.Errorf("a record that never was: %+v", out)
	}
	twin := anna.restores(airtableapi.CopyBase, "")
	twin.Body.BaseID = base
	if out := done(twin); out.Status != airtableapi.RestoreDone || out.BaseName != "Shop" || out.SnapshotID != "" {
		t.Errorf("copy %+v", out)
	}
	must(t, house, airtableapi.DeleteSnapshot, anna.ref(snap.ID))
	if _, err := call(t, house, airtableapi.FetchSnapshot, anna.ref(snap.ID)); !errors.Is(err, airtableapi.ErrSnapshotNotFound) {
		t.Errorf("deleted: %v", err)
	}
}

func TestSnapshots_RefuseWhatCannotBe(t *testing.T) {
	t.Parallel()
	far := newAccount(t, "appFar")
	f := newFleet(t, far.URL)
	anna, bob := f.owner(t), f.owner(t)
	base := anna.shop(t)
	connect(t, anna, far.URL, accountToken)
	house := anna.service(t)
	take := anna.takes(base)
	must(t, house, airtableapi.TakeSnapshot, take)
	refuse := func(what string, err error, want *errs.Error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	_, err := call(t, anna, airtableapi.TakeSnapshot, anna.takes(base))
	refuse("a user", err, errs.ErrForbidden)
	_, err = call(t, house, airtableapi.TakeSnapshot, bob.takes(base))
	refuse("another tenant's base", err, airtableapi.ErrBaseNotFound)
	_, err = call(t, house, airtableapi.TakeSnapshot, anna.takes("appFar"))
	refuse("a base of an account", err, airtableapi.ErrNotLocal)
	far1 := anna.restores(airtableapi.CopyBase, "")
	far1.Body.BaseID = "appFar"
	_, err = call(t, house, airtableapi.RestoreSnapshot, far1)
	refuse("copying a base of an account", err, airtableapi.ErrNotLocal)
	_, err = call(t, house, airtableapi.FetchSnapshot, bob.ref(take.Body.ID))
	refuse("another tenant's snapshot", err, airtableapi.ErrSnapshotNotFound)
	_, err = call(t, house, airtableapi.DeleteSnapshot, bob.ref(take.Body.ID))
	refuse("deleting another tenant's", err, airtableapi.ErrSnapshotNotFound)
	_, err = call(t, house, airtableapi.RestoreSnapshot, bob.restores(airtableapi.RestoreBase, take.Body.ID))
	refuse("restoring another tenant's", err, airtableapi.ErrSnapshotNotFound)
	_, err = call(t, house, airtableapi.RestoreSnapshot, anna.restores(airtableapi.RestoreBase, take.Body.ID))
	refuse("what is not ready", err, airtableapi.ErrSnapshotNotReady)
	_, err = call(t, house, airtableapi.FetchRestore, anna.ref(uid()))
	refuse("no restore", err, airtableapi.ErrRestoreNotFound)
	other := anna.takes("")
	other.Body.ID, other.Body.Content = take.Body.ID, "x"
	_, err = call(t, house, airtableapi.TakeSnapshot, other)
	refuse("an id that is taken", err, airtableapi.ErrIDTaken)
	other.Body.ID = uid()
	_, err = call(t, house, airtableapi.TakeSnapshot, other)
	refuse("content that is none", err, airtableapi.ErrSnapshotUnusable)
	both := anna.takes(base)
	both.Body.Content = "x"
	bare := anna.takes("")
	bare.Body.Content, bare.Body.SkipRecords = "x", true
	quiet := anna.takes(base)
	quiet.Body.SkipRecords, quiet.Body.Comments = true, true
	take.Body.SkipRecords = true
	_, err = call(t, house, airtableapi.TakeSnapshot, take)
	refuse("the same id for another snapshot", err, airtableapi.ErrIDTaken)
	for _, in := range []airtableapi.SnapshotTake{both, anna.takes(""), bare, quiet} {
		_, err = call(t, house, airtableapi.TakeSnapshot, in)
		refuse("both or neither", err, errs.ErrInvalid)
	}
	for _, change := range []func(*airtableapi.RestoreStartBody){
		func(b *airtableapi.RestoreStartBody) { b.SnapshotID = "" },
		func(b *airtableapi.RestoreStartBody) { b.BaseID = base },
		func(b *airtableapi.RestoreStartBody) { b.TableID = "tblX" },
		func(b *airtableapi.RestoreStartBody) { b.Kind = airtableapi.RestoreTable },
		func(b *airtableapi.RestoreStartBody) { b.Kind, b.TableID = airtableapi.RestoreRecord, "tblX" },
		func(b *airtableapi.RestoreStartBody) {
			b.Kind, b.TableID, b.Name = airtableapi.RestoreContents, "tblX", "x"
		},
		func(b *airtableapi.RestoreStartBody) { b.Kind = airtableapi.CopyBase },
		func(b *airtableapi.RestoreStartBody) { b.Comments = true },
		func(b *airtableapi.RestoreStartBody) {
			b.Kind, b.TableID, b.Fresh = airtableapi.RestoreTable, "tblX", true
		},
		func(b *airtableapi.RestoreStartBody) { b.Kind = "all" },
	} {
		in := anna.restores(airtableapi.RestoreBase, take.Body.ID)
		change(&in.Body)
		if _, err := call(t, house, airtableapi.RestoreSnapshot, in); errs.From(err).Kind != errs.Invalid {
			t.Errorf("%+v: %v", in.Body, err)
		}
	}
}

func TestSnapshots_WhatLostItsJobEndsAsFailed(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	anna := f.owner(t)
	base, house := anna.shop(t), anna.service(t)
	take, copied := anna.takes(base), anna.restores(airtableapi.CopyBase, "")
	copied.Body.BaseID = base
	must(t, house, airtableapi.TakeSnapshot, take)
	must(t, house, airtableapi.RestoreSnapshot, copied)
	sweep := func() (airtableapi.BaseSnapshot, airtableapi.BaseRestore) {
		t.Helper()
		if err := f.snapshots.EndLost(t.Context(), f.queue.Live); err != nil {
			t.Fatal(err)
		}
		return must(t, house, airtableapi.FetchSnapshot, anna.ref(take.Body.ID)), must(t, house, airtableapi.FetchRestore, anna.ref(copied.Body.ID))
	}
	if snap, restore := sweep(); snap.Status != airtableapi.SnapshotTaking || restore.Status != airtableapi.RestoreRunning {
		t.Errorf("what has a job ended: %+v, %+v", snap, restore)
	}
	// As River leaves a job that was killed at its last try.
	if _, err := f.pool.Exec(t.Context(), `UPDATE river_job SET state = 'discarded', finalized_at = now(), attempt = max_attempts`); err != nil {
		t.Fatal(err)
	}
	snap, restore := sweep()
	if snap.Status != airtableapi.SnapshotFailed || snap.Error == nil || snap.Error.Code != airtableapi.ErrWorkLost.Code {
		t.Errorf("snapshot %+v", snap)
	}
	if restore.Status != airtableapi.SnapshotFailed || restore.Error == nil || restore.Error.Code != airtableapi.ErrWorkLost.Code || restore.FinishedAt.IsZero() {
		t.Errorf("restore %+v", restore)
	}
	if again, _ := sweep(); again.Status != airtableapi.SnapshotFailed {
		t.Errorf("swept twice: %+v", again)
	}
}
