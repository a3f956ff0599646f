package workspaceservice_test

import (
	"errors"
	"testing"
	"time"

	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/jobs"
	"github.com/pyairtable/pyairtable/pkg/permit"
	"github.com/pyairtable/pyairtable/workspace-service/internal/services"
)

func secretOf(l workspaceapi.ShareLink) workspaceapi.OpenShareRequest {
	return workspaceapi.OpenShareRequest{Secret: l.Secret}
}

// has is the role that the user himself was given on the object.
func (w *world) has(p person, object permit.Object) (roles string) {
	w.permissions.mu.Lock()
	defer w.permissions.mu.Unlock()
	for _, g := range w.permissions.grants {
		if g.Subject == "user:"+p.user.String() && g.Object == string(object) {
			roles += g.Role
		}
	}
	return roles
}

// work has the service work one more job, and waits for its end.
func (w *world) work(args river.JobArgs) error {
	queue, err := jobs.New(w.pool, nil, jobs.Options{})
	if err != nil {
		return err
	}
	done, err := queue.Client.Insert(w.t.Context(), args, nil)
	if err != nil {
		return err
	}
	await.True(w.t, args.Kind()+" is worked", func() bool {
		return w.count(`SELECT count(*) FROM river_job WHERE id = $1 AND state = 'completed'`, done.Job.ID) == 1
	})
	return nil
}

func TestShareLink_GivesItsRoleToAccountsOfTheTenant(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	in := w.workspace(owner, "A")
	b := w.base(owner, in, "appOne")
	guest, stranger, at := w.other(owner, "guest"), w.owner(), permit.Base(owner.tenant, b.ID)
	l := w.link(owner, workspaceapi.NewShareLink{BaseID: b.ID, Role: "editor", Password: "open sesame"})
	open := workspaceapi.OpenShareRequest{Secret: l.Secret, Password: "open sesame"}
	if o := must(w, w.nobody(), workspaceapi.OpenShare, open); o.Role != "editor" {
		t.Errorf("opened %+v", o)
	}
	refuse(w, errs.ErrUnauthenticated, w.nobody(), workspaceapi.RedeemShare, open)
	refuse(w, workspaceapi.ErrShareMembers, stranger, workspaceapi.RedeemShare, open)
	refuse(w, workspaceapi.ErrPassword, guest, workspaceapi.RedeemShare, secretOf(l))
	refuse(w, errs.ErrNotFound, guest, workspaceapi.RedeemShare, workspaceapi.OpenShareRequest{Secret: l.Secret + "A"})
	refuse(w, errs.ErrNotFound, guest, workspaceapi.GetBase, bref(b))
	got := must(w, guest, workspaceapi.RedeemShare, open)
	if got.BaseID != b.ID || got.Role != "editor" || time.Until(got.ExpiresAt) > 24*time.Hour || time.Until(got.ExpiresAt) < 23*time.Hour {
		t.Errorf("redeemed %+v", got)
	}
	must(w, guest, workspaceapi.GetBase, bref(b))
	if roles := w.has(guest, at); roles != "editor" || w.emitted("share_link.redeemed", l.ID) != 1 {
		t.Errorf("he has %q", roles)
	}
	must(w, guest, workspaceapi.RedeemShare, open) // again, for another day
	if again := must(w, owner, workspaceapi.RedeemShare, open); !again.ExpiresAt.IsZero() || w.has(owner, at) != "" {
		t.Errorf("who has more was given %+v", again)
	}
	soon := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	short := w.link(owner, workspaceapi.NewShareLink{WorkspaceID: in.ID, Role: "commenter", ExpiresAt: soon})
	if got := must(w, guest, workspaceapi.RedeemShare, secretOf(short)); got.WorkspaceID != in.ID || !got.ExpiresAt.Equal(soon) {
		t.Errorf("it outlives its link: %+v", got)
	}
	// No more than its maker has.
	bob := w.other(owner, "member")
	w.grant(bob, "commenter", at)
	refuse(w, errs.ErrForbidden, bob, workspaceapi.CreateShareLink, workspaceapi.NewShareLink{BaseID: b.ID, Role: "editor"})
}

func TestShareLink_WhatItGaveEndsWithIt(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	in := w.workspace(owner, "A")
	b := w.base(owner, in, "appOne")
	guest, maker, at := w.other(owner, "guest"), w.other(owner, "member"), permit.Base(owner.tenant, b.ID)
	gone := func(how string) {
		t.Helper()
		await.True(t, how+" takes it back", func() bool { return w.has(guest, at) == "" })
		if n := w.count(`SELECT count(*) FROM share_redemptions`); n != 0 {
			t.Errorf("%s: %d redemptions are left", how, n)
		}
		refuse(w, errs.ErrNotFound, guest, workspaceapi.GetBase, bref(b))
	}
	redeemed := func(by person) workspaceapi.ShareLink {
		t.Helper()
		l := w.link(by, workspaceapi.NewShareLink{BaseID: b.ID, Role: "editor"})
		must(w, guest, workspaceapi.RedeemShare, secretOf(l))
		if w.has(guest, at) != "editor" {
			t.Fatal("he has nothing")
		}
		return l
	}
	recall := func() {
		t.Helper()
		w.ok(w.work(services.RecallShares{}))
	}
	l := redeemed(owner)
	must(w, owner, workspaceapi.RevokeShareLink, workspaceapi.ShareLinkRef{LinkID: l.ID})
	gone("its end")
	l = redeemed(owner)
	change := workspaceapi.ShareLinkUpdate{ShareLinkRef: workspaceapi.ShareLinkRef{LinkID: l.ID}}
	change.Body.Password = ptr("another one")
	must(w, owner, workspaceapi.UpdateShareLink, change)
	gone("a change")
	w.grant(maker, permissionapi.RoleCreator, at)
	redeemed(maker)
	w.revoke(maker)
	recall()
	gone("that its maker may share no more")
	w.grant(maker, permissionapi.RoleCreator, at)
	redeemed(maker)
	w.hear(tenantapi.MemberRemoved.New(t.Context(), owner.tenant, id.New[any]().String(), 2, tenantapi.MemberChanged{
		TenantID: owner.tenant.String(), UserID: maker.user.String(),
	}))
	recall()
	gone("that its maker is out")
	// What permission-service could not be told is told later.
	l = redeemed(owner)
	w.permissions.mu.Lock()
	w.permissions.deaf = true
	w.permissions.mu.Unlock()
	must(w, owner, workspaceapi.RevokeShareLink, workspaceapi.ShareLinkRef{LinkID: l.ID})
	w.permissions.mu.Lock()
	w.permissions.deaf = false
	w.permissions.mu.Unlock()
	recall()
	gone("the job")
	// What he was given otherwise stays.
	l = redeemed(owner)
	put := workspaceapi.BaseSharePut{BaseRef: bref(b), SubjectRef: workspaceapi.SubjectRef{Subject: "user:" + guest.user.String()}, Body: workspaceapi.NewShare{Role: "editor"}}
	must(w, owner, workspaceapi.PutBaseShare, put)
	must(w, owner, workspaceapi.RevokeShareLink, workspaceapi.ShareLinkRef{LinkID: l.ID})
	recall()
	if _, err := call(w, guest, workspaceapi.GetBase, bref(b)); err != nil || w.has(guest, at) != "editor" {
		t.Errorf("a share went with a link: %v", err)
	}
}

// Whoever redeems a link in the moment in which it ends has nothing afterwards.
func TestShareLink_RedeemedWhileItEnds(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	owner := w.owner()
	b := w.base(owner, w.workspace(owner, "A"), "appOne")
	for range 5 {
		l := w.link(owner, workspaceapi.NewShareLink{BaseID: b.ID, Role: "editor"})
		guest := w.other(owner, "guest")
		done := make(chan error)
		go func() {
			_, err := call(w, guest, workspaceapi.RedeemShare, secretOf(l))
			done <- err
		}()
		must(w, owner, workspaceapi.RevokeShareLink, workspaceapi.ShareLinkRef{LinkID: l.ID})
		if err := <-done; err != nil && !errors.Is(err, errs.ErrNotFound) {
			t.Errorf("redeemed: %v", err)
		}
		w.ok(w.work(services.RecallShares{}))
		await.True(t, "nothing is left", func() bool { return w.has(guest, permit.Base(owner.tenant, b.ID)) == "" })
	}
}
