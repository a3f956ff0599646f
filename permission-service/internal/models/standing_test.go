package models

import (
	"testing"

	"github.com/pyairtable/pyairtable/pkg/id"
)

func TestStanding_ShutsOutWhomItMust(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		s    Standing
		want string
	}{
		{Standing{TenantActive, TenantGuest, false}, ""},
		{Standing{"", "", false}, ""}, // of a tenant that nothing was heard of
		{Standing{TenantActive, TenantAdmin, true}, StepMemberSuspended},
		{Standing{TenantSuspended, TenantAdmin, false}, StepTenantSuspended},
		{Standing{TenantSuspended, "", false}, StepTenantSuspended},
		{Standing{TenantDeleting, TenantMember, false}, StepTenantDeleting},
		{Standing{TenantSuspended, TenantOwner, false}, ""},
		{Standing{TenantDeleting, TenantOwner, false}, ""},
		{Standing{TenantSuspended, TenantMember, true}, StepMemberSuspended},
	} {
		if got := c.s.Shut(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.s, got, c.want)
		}
	}
}

func TestDecide_SaysWhatShutsOut(t *testing.T) {
	t.Parallel()
	tenant := id.New[id.Tenant]()
	f := Facts{Tenant: tenant, Chain: []string{TenantObject(tenant)}, TenantRole: TenantAdmin, Standing: Standing{Tenant: TenantSuspended, Role: TenantAdmin}}
	allowed, steps := Decide(f, "read", Moment{})
	if allowed || len(steps) != 2 || steps[0].Kind != StepTenantSuspended || !steps[0].Decides || steps[1].Decides || !steps[1].Holds {
		t.Errorf("%v %+v", allowed, steps)
	}
	f.Standing.Tenant = TenantActive
	if allowed, steps := Decide(f, "read", Moment{}); !allowed || len(steps) != 1 || !steps[0].Decides {
		t.Errorf("%v %+v", allowed, steps)
	}
}
