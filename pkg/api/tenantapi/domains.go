package tenantapi

import (
	"net/http"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
)

// Errors of domains.
var (
	ErrDomainNotFound = errs.New(errs.NotFound, "domain_not_found", "There is no such domain.")
	ErrDomainListed   = errs.New(errs.Conflict, "domain_listed", "The tenant has this domain already.")
	// ErrDomainTaken is the answer to who proves a domain that another tenant has proved, and
	// still proves, to be its own.
	ErrDomainTaken    = errs.New(errs.Conflict, "domain_taken", "Another tenant has verified this domain.")
	ErrDomainUnproved = errs.New(errs.Conflict, "domain_unproved", "The record was not found; it can take a while until it is seen everywhere.")
	ErrTooManyDomains = errs.New(errs.Conflict, "too_many_domains", "The tenant has as many domains as it may.")
	// ErrNotJoinable is the answer to who may not join a tenant by himself, or of whom no
	// verified address is known.
	ErrNotJoinable = errs.New(errs.NotFound, "not_joinable", "There is no such tenant that you may join.")
)

// DomainChanged says what became of a tenant's domain. Its subject is the domain's id.
var DomainChanged = events.Type[DomainChangedData]{Name: "com.pyairtable.domain.changed.v1", Source: source, Stream: stream}

// DomainChangedData is the data of DomainChanged.
type DomainChangedData struct {
	DomainID string `json:"domain_id"`
	TenantID string `json:"tenant_id"`
	Domain   string `json:"domain"`
	Status   string `json:"status"` // of the constants below, or removed
	AutoJoin bool   `json:"auto_join"`
	Role     string `json:"role"`
	ActorID  string `json:"actor_id,omitempty"`
}

// States of a domain.
const (
	DomainPending  = "pending" // not proved to be the tenant's
	DomainVerified = "verified"
	DomainRemoved  = "removed"
)

const (
	domains  = tenant + "/domains"
	domain   = domains + "/{domain_id}"
	joinable = "/api/v1/joinable-tenants"
)

// Domains, and joining by them.
var (
	AddDomain = api.Op[NewDomain, DomainMade]{
		Name: "addDomain", Method: http.MethodPost, Path: domains, Status: http.StatusCreated, Idempotent: true,
		Summary:     "Name a domain of mail addresses that is the organisation's",
		Description: "By an owner, who then puts the answer's TXT record into the domain's DNS and verifies it.",
		Errors:      []*errs.Error{ErrTenantNotFound, ErrOwnersOnly, ErrPersonalTenant, ErrTenantDeleting, ErrTenantSuspended, ErrBadTenant, ErrDomainListed, ErrTooManyDomains},
	}
	ListDomains = api.Op[DomainsQuery, DomainPage]{
		Name: "listDomains", Method: http.MethodGet, Path: domains,
		Summary: "List an organisation's domains", Description: "For owners, admins and who has settings.manage; oldest first.",
		Errors: []*errs.Error{ErrTenantNotFound, ErrAdminsOnly, ErrTenantSuspended},
	}
	VerifyDomain = api.Op[DomainRef, Domain]{
		Name: "verifyDomain", Method: http.MethodPost, Path: domain + "/verify", Rate: api.RateAuth,
		Summary: "Prove that a domain is the organisation's", Description: "By an owner. The record has to stay: it is looked for every hour, and a domain without it for three days is the organisation's no more.",
		Errors: []*errs.Error{ErrTenantNotFound, ErrOwnersOnly, ErrPersonalTenant, ErrTenantDeleting, ErrTenantSuspended, ErrDomainNotFound, ErrDomainTaken, ErrDomainUnproved},
	}
	UpdateDomain = api.Op[DomainUpdate, Domain]{
		Name: "updateDomain", Method: http.MethodPatch, Path: domain,
		Summary: "Say as what, and how, people with addresses of a domain join", Description: "By an owner; a JSON merge patch.",
		Errors: []*errs.Error{ErrTenantNotFound, ErrOwnersOnly, ErrPersonalTenant, ErrTenantDeleting, ErrTenantSuspended, ErrDomainNotFound},
	}
	RemoveDomain = api.Op[DomainRef, struct{}]{
		Name: "removeDomain", Method: http.MethodDelete, Path: domain, Status: http.StatusNoContent,
		Summary: "Give a domain up", Description: "By an owner. Who has joined by it stays.",
		Errors: []*errs.Error{ErrTenantNotFound, ErrOwnersOnly, ErrPersonalTenant, ErrTenantDeleting, ErrTenantSuspended, ErrDomainNotFound},
	}
	ListJoinable = api.Op[api.PageQuery, JoinablePage]{
		Name: "listJoinableTenants", Method: http.MethodGet, Path: joinable,
		Summary: "List the organisations that the caller may join by himself", Description: "Those that have verified the domain of his verified address, with a token for any tenant.",
	}
	JoinTenant = api.Op[TenantRef, Accepted]{
		Name: "joinTenant", Method: http.MethodPost, Path: joinable + "/{tenant_id}/join", Rate: api.RateAuth,
		Summary: "Join an organisation by the domain of one's address", Errors: []*errs.Error{ErrNotJoinable, ErrAlreadyMember, ErrLimitReached},
	}
)

var domainOps = []api.Spec{
	AddDomain.Spec(), ListDomains.Spec(), VerifyDomain.Spec(), UpdateDomain.Spec(), RemoveDomain.Spec(), ListJoinable.Spec(), JoinTenant.Spec(),
}

// NewDomain names a domain.
type NewDomain struct {
	TenantRef
	Body DomainDraft
}

// DomainDraft is a domain, and what people with its addresses may.
type DomainDraft struct {
	Domain   string `json:"domain" minLength:"1" maxLength:"253" example:"example.com"`
	Role     string `json:"role,omitempty" enum:"member,guest" default:"member" doc:"Of who joins."`
	AutoJoin bool   `json:"auto_join,omitempty" doc:"Whoever verifies an address of the domain from now on joins without asking."`
}

// Domain is a domain of mail addresses that is, or is to be, a tenant's.
type Domain struct {
	ID          string    `json:"id" format:"uuid"`
	Domain      string    `json:"domain"`
	Status      string    `json:"status" enum:"pending,verified"`
	Role        string    `json:"role" enum:"member,guest"`
	AutoJoin    bool      `json:"auto_join"`
	RecordName  string    `json:"record_name" doc:"Of the TXT record."`
	RecordValue string    `json:"record_value"`
	VerifiedAt  time.Time `json:"verified_at,omitzero"`
	MissedAt    time.Time `json:"missed_at,omitzero" doc:"Since when the record of a verified domain has been missing."`
	CreatedAt   time.Time `json:"created_at"`
}

// DomainMade is the answer of AddDomain.
type DomainMade struct {
	Location string `header:"Location"`
	Body     Domain
}

// DomainRef names a domain.
type DomainRef struct {
	TenantRef
	DomainID string `path:"domain_id" format:"uuid"`
}

// DomainsQuery lists domains.
type DomainsQuery struct {
	TenantRef
	api.PageQuery
}

// DomainPage is the answer of ListDomains.
type DomainPage = api.Page[Domain]

// DomainUpdate changes a domain.
type DomainUpdate struct {
	DomainRef
	Body DomainPatch
}

// DomainPatch is a merge patch of a domain.
type DomainPatch struct {
	Role     *string `json:"role,omitempty" enum:"member,guest"`
	AutoJoin *bool   `json:"auto_join,omitempty"`
}

// JoinableTenant is an organisation that somebody may join.
type JoinableTenant struct {
	TenantID string `json:"tenant_id" format:"uuid"`
	Name     string `json:"name"`
	Slug     string `json:"slug"`
	LogoURL  string `json:"logo_url"`
	Domain   string `json:"domain"`
	Role     string `json:"role" enum:"member,guest" doc:"As what."`
}

// JoinablePage is the answer of ListJoinable.
type JoinablePage = api.Page[JoinableTenant]
