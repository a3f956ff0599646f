package permit_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/permit"
)

// A policy is asked for once, and again after its tenant changed or Staleness went by;
// nobody gets that of another caller, role or base.
func TestPolicy_IsRememberedUntilSomethingChanges(t *testing.T) {
	t.Parallel()
	now, version, asked := time.Now(), int64(1), 0
	var fail error
	c := permit.NewOver(permit.Calls{Policy: func(_ context.Context, in permissionapi.PolicyQuery) (permissionapi.Policy, error) {
		asked++
		return permissionapi.Policy{Version: strconv.FormatInt(version, 36), Granted: []string{in.Subject, in.Role, in.BaseID}}, fail
	}}, func() time.Time { return now })
	anna, bert := someone(id.New[id.Tenant]()), someone(id.New[id.Tenant]())
	fetch := func(want int) {
		t.Helper()
		p, err := c.Policy(t.Context(), anna, "app1")
		if err != nil || asked != want || p.Granted[0] != permit.Subject(anna) || p.Granted[1] != anna.Role || p.Granted[2] != "app1" {
			t.Errorf("%+v, %v after %d calls, want %d", p, err, asked, want)
		}
	}
	fetch(1)
	fetch(1)
	if p, err := c.Policy(t.Context(), bert, "app1"); err != nil || p.Granted[0] != permit.Subject(bert) {
		t.Errorf("another's: %+v, %v", p, err)
	}
	version = 5
	c.Saw(anna.TenantID, strconv.FormatInt(5, 36))
	fetch(3)
	now = now.Add(permit.Staleness)
	fetch(4)
	fail = errs.ErrForbidden
	now = now.Add(permit.Staleness)
	if _, err := c.Policy(t.Context(), anna, "app1"); !errors.Is(err, errs.ErrUnavailable) {
		t.Errorf("it does not fail closed: %v", err)
	}
	fail, version = nil, 4 // a replica that has not seen what was heard of
	if _, err := c.Policy(t.Context(), anna, "app1"); !errors.Is(err, errs.ErrUnavailable) {
		t.Errorf("an older policy is used: %v", err)
	}
}
