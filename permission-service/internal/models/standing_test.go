package models

import (
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/id"
)

func TestStanding_ShutsOutWhomItMust(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		s    Standing
		want string
	}{
		{Standing{tenantapi.StatusActive, TenantGuest, false}, ""},
		{Standing{"", "", false}, ""}, // of a tenant that nothing was heard of
		{Standing{tenantapi.StatusActive, TenantAdmin, true}, StepMemberSuspended},
		{Standing{tenantapi.StatusSuspended, TenantAdmin, false}, StepTenantSuspended},
		{Standing{tenantapi.StatusSuspended, "", false}, StepTenantSuspended},
		{Standing{tenantapi.StatusDeleting, TenantMember, false}, StepTenantDeleting},
		{Standing{tenantapi.StatusSuspended, TenantOwner, false}, ""},
		{Standing{tenantapi.StatusDeleting, TenantOwner, false}, ""},
		{Standing{tenantapi.StatusSuspended, TenantMember, true}, StepMemberSuspended},
	} {
		if got := c.s.Shut(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.s, got, c.want)
		}
	}
}

func TestDecide_SaysWhatShutsOut(t *testing.T) {
	t.Parallel()
	tenant := id.New[id.Tenant]()
	f := Facts{Tenant: tenant, Chain: []string{TenantObject(tenant)}, TenantRole: TenantAdmin, Standing: Standing{Tenant: tenantapi.StatusSuspended, Role: TenantAdmin}}
	allowed, steps := Decide(f, "read", Moment{})
	if allowed || len(steps) != 2 || steps[0].Kind != StepTenantSuspended || !steps[0].Decides || steps[1].Decides || !steps[1].Holds {
		t.Errorf("%v %+v", allowed, steps)
	}
	f.Standing.Tenant = tenantapi.StatusActive
	if allowed, steps := Decide(f, "read", Moment{}); !allowed || len(steps) != 1 || !steps[0].Decides {
		t.Errorf("%v %+v", allowed, steps)
	}
}
