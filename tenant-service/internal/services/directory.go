package services

import (
	"context"
	"errors"
	netmail "net/mail"
	"slices"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/etag"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
	"github.com/pyairtable/pyairtable/tenant-service/internal/repository"
	"github.com/pyairtable/pyairtable/tenant-service/internal/scim"
)

// Provision finds or opens the account of an address, at auth-service.
type Provision func(ctx context.Context, in authapi.AccountRequest) (authapi.ProvisionedAccount, error)

// Directory is a tenant's users and groups as directories see and keep them, by SCIM.
type Directory struct {
	repo      *repository.Repository
	tenants   *Tenants
	provision Provision
	base      string
	now       func() time.Time
}

// NewDirectory returns the service, whose resources lie under publicURL.
func NewDirectory(repo *repository.Repository, tenants *Tenants, provision Provision, publicURL string, now func() time.Time) *Directory {
	return &Directory{repo, tenants, provision, strings.TrimSuffix(publicURL, "/") + strings.TrimSuffix(tenantapi.SCIM.Prefix, "/"), now}
}

// Base is the address under which the resources lie.
func (s *Directory) Base() string { return s.base }

// CreateToken makes a token of the tenant and returns its text, which is not kept. It may
// what an admin may, so that nobody less makes one.
func (s *Directory) CreateToken(ctx context.Context, who auth.Principal, tenant id.TenantID, name string, expires time.Time) (models.SCIMToken, string, error) {
	c, err := s.tenants.rights.caller(ctx, who, tenant)
	if err != nil {
		return models.SCIMToken{}, "", err
	}
	if name, err = accountName(name); err != nil {
		return models.SCIMToken{}, "", err
	}
	now := s.now()
	if !expires.IsZero() && !expires.After(now) {
		return models.SCIMToken{}, "", errs.ErrInvalid.With(errs.Field{Pointer: "/expires_at", Detail: "has to be in the future"})
	}
	text := models.NewSCIMTokenText(tenant)
	t := models.SCIMToken{
		ID: id.New[models.SCIMTokenKind](), Tenant: tenant, Name: name, Hash: models.Hash(text), CreatedBy: who.UserID, CreatedAt: now,
		ExpiresAt: expires.UTC().Truncate(time.Microsecond), Version: 1,
	}
	return t, text, s.repo.CreateSCIMToken(ctx, c, t, mayOrganise)
}

// RotateToken replaces a token's text.
func (s *Directory) RotateToken(ctx context.Context, who auth.Principal, tenant id.TenantID, ref models.SCIMTokenID) (models.SCIMToken, string, error) {
	c, err := s.tenants.rights.caller(ctx, who, tenant)
	if err != nil {
		return models.SCIMToken{}, "", err
	}
	text := models.NewSCIMTokenText(tenant)
	t, err := s.repo.ChangeSCIMToken(ctx, c, ref, models.Hash(text), mayOrganise)
	return t, text, err
}

// RevokeToken ends a token, also in a tenant that is about to be deleted.
func (s *Directory) RevokeToken(ctx context.Context, who auth.Principal, tenant id.TenantID, ref models.SCIMTokenID) error {
	c, err := s.tenants.rights.caller(ctx, who, tenant, permissionapi.ManageDirectories)
	if err != nil {
		return err
	}
	_, err = s.repo.ChangeSCIMToken(ctx, c, ref, nil, (*models.Scene).MayRevokeTokens)
	return err
}

// Tokens lists a tenant's tokens, oldest first.
func (s *Directory) Tokens(ctx context.Context, who auth.Principal, tenant id.TenantID, after models.SCIMTokenID, limit int) ([]models.SCIMToken, error) {
	if err := s.tenants.enterFor(ctx, who, tenant, permissionapi.ManageDirectories); err != nil {
		return nil, err
	}
	return s.repo.SCIMTokens(ctx, tenant, after, limit)
}

// Open returns the tenant that a token opens. It returns errs.ErrUnauthenticated for what
// is no token, or none that is live.
func (s *Directory) Open(ctx context.Context, text string) (models.Tenant, models.SCIMToken, error) {
	tenant, ok := models.SCIMTokenTenant(text)
	if !ok {
		return models.Tenant{}, models.SCIMToken{}, errs.ErrUnauthenticated
	}
	t, token, err := s.repo.OpenDirectory(ctx, tenant, models.Hash(text), s.now())
	switch {
	case isNotFound(err):
		return t, token, errs.ErrUnauthenticated.Because(err)
	case err == nil && t.Status() != tenantapi.StatusActive:
		return t, token, tenantapi.ErrTenantSuspended
	}
	return t, token, err
}

func isNotFound(err error) bool { return err != nil && errs.From(err).Kind == errs.NotFound }

// Query is what of a list is wanted (RFC 7644, section 3.4.2).
type Query struct {
	Filter              string
	SortBy, SortOrder   string
	StartIndex, Count   int // from 1
	Attributes, Without []string
}

// page is the list's offset, and how many of it.
func (q Query) page() (start, count int) {
	return max(q.StartIndex, 1), min(max(q.Count, 0), scim.MaxResults)
}

// narrow is a filter's demand on an attribute; nil for none.
func narrow(demanded map[string]string, name string, key func(string) string) *string {
	v, ok := demanded[name]
	if !ok {
		return nil
	}
	v = key(v)
	return &v
}

func asIs(s string) string { return s }

// Users answers a query on the users.
func (s *Directory) Users(ctx context.Context, tenant id.TenantID, q Query) (map[string]any, error) {
	f, l, view, err := s.prepare(scim.User, q)
	if err != nil {
		return nil, err
	}
	sel := models.People{Listing: l}
	start, count := q.page()
	demanded := f.Equal()
	sel.NameKey, sel.ExternalID = narrow(demanded, "userName", models.NameKey), narrow(demanded, "externalId", asIs)
	if v, ok := demanded["id"]; ok {
		m, err := id.Parse[models.MemberKind](v)
		if err != nil {
			return scim.ListOf(nil, 0, start), nil //nolint:nilerr // nobody has such an id
		}
		sel.ID = &m
	}
	found, total, err := s.repo.People(ctx, tenant, sel)
	if err != nil {
		return nil, err
	}
	resources := make([]map[string]any, 0, len(found))
	for i := range found {
		resources = append(resources, s.user(&found[i]))
	}
	return shown(view, resources[:min(count, len(resources))], total, start), nil
}

// prepare reads the query. PostgreSQL selects, orders and cuts; of a page of none it reads
// one, since it is how many there are that is asked for.
func (s *Directory) prepare(t *scim.Type, q Query) (*scim.Filter, models.Listing, scim.View, error) {
	start, count := q.page()
	l := models.Listing{Base: s.base, Offset: start - 1, Limit: max(count, 1)}
	f, err := t.ParseFilter(q.Filter)
	if err != nil {
		return nil, l, scim.View{}, err
	}
	if l.Where, err = f.Path(); err != nil {
		return nil, l, scim.View{}, err
	}
	o, err := t.Order(q.SortBy, q.SortOrder)
	if err != nil {
		return nil, l, scim.View{}, err
	}
	l.By, l.Exact, l.Down = o.Paths, o.Exact, o.Down
	view, err := t.View(q.Attributes, q.Without)
	return f, l, view, err
}

func shown(view scim.View, resources []map[string]any, total, start int) map[string]any {
	for i, r := range resources {
		resources[i] = view.Of(r)
	}
	return scim.ListOf(resources, total, start)
}

// user is the resource of a person.
func (s *Directory) user(p *models.Person) map[string]any {
	r := scim.Clone(p.Attributes)
	r["userName"], r["active"] = p.UserName, !p.Suspended()
	if p.ExternalID != "" {
		r["externalId"] = p.ExternalID
	}
	if !p.Told && p.Email != "" {
		r["emails"] = []any{map[string]any{"value": p.Email, "primary": true}}
	}
	var in []any
	for _, g := range p.Groups {
		in = append(in, map[string]any{"value": g.ID.String(), "$ref": s.base + "/Groups/" + g.ID.String(), "display": g.Name, "type": "direct"})
	}
	if in != nil {
		r["groups"] = in
	}
	return scim.User.Complete(r, s.base, p.ID.String(), scim.ETag(p.ETagVersion()), p.JoinedAt, p.Modified())
}

// User returns the resource of a user, or tenantapi.ErrMemberNotFound.
func (s *Directory) User(ctx context.Context, tenant id.TenantID, ref models.MemberID) (map[string]any, error) {
	found, _, err := s.repo.People(ctx, tenant, models.People{ID: &ref})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, tenantapi.ErrMemberNotFound
	}
	return s.user(&found[0]), nil
}

// CreateUser makes a member of what a directory says of him. His account is that of his
// address; see authapi.ProvisionAccount.
func (s *Directory) CreateUser(ctx context.Context, t models.Tenant, in map[string]any) (map[string]any, error) {
	r, err := scim.User.Read(in)
	if err != nil {
		return nil, err
	}
	address, err := addressOf(r)
	if err != nil {
		return nil, err
	}
	if !t.Security.AdmitsAddress(address) {
		return nil, tenantapi.ErrEmailDomain
	}
	// Who is there already opens no account.
	name := models.NameKey(scim.Text(r, "userName"))
	there, _, err := s.repo.People(ctx, t.ID, models.People{NameKey: &name})
	if err != nil {
		return nil, err
	}
	if len(there) > 0 {
		return nil, tenantapi.ErrAlreadyMember
	}
	link := t.Security.Vouches(address)
	if !link {
		if link, err = s.repo.ProvedDomainOf(ctx, t.ID, address); err != nil {
			return nil, err
		}
	}
	account, err := s.provision(ctx, authapi.AccountRequest{
		Email: address, Name: cut(nameOf(r)), Tenant: t.Name, Link: link,
	})
	if err != nil {
		return nil, err
	}
	user, err := id.Parse[id.User](account.UserID)
	if err != nil {
		return nil, err
	}
	now := s.now()
	p := models.Person{Member: models.NewMember(t.ID, user, tenantapi.RoleMember, now)}
	if active, given := r["active"].(bool); given && !active {
		p.SuspendedAt = now
	}
	tellOf(&p, r, now)
	if err := s.repo.AddPerson(ctx, models.DirectoryOf(t.ID), p, mayOrganise); err != nil {
		return nil, err
	}
	return s.user(&p), nil
}

// tellOf keeps of the resource what is not the member's own.
func tellOf(p *models.Person, r map[string]any, now time.Time) {
	p.UserName, p.ExternalID = scim.Text(r, "userName"), scim.Text(r, "externalId")
	p.Email = strings.ToLower(strings.TrimSpace(scim.Preferred(r, "emails")))
	if p.Email == "" {
		p.Email = models.NameKey(p.UserName)
	}
	rest := scim.Clone(r)
	for _, name := range []string{"userName", "externalId", "active", "groups", "id", "meta", "schemas"} {
		delete(rest, name)
	}
	p.Attributes, p.Told, p.ToldAt = rest, true, now
	p.Revision++
}

// addressOf is the address by which the user's account is found.
func addressOf(r map[string]any) (string, error) {
	address := scim.Preferred(r, "emails")
	if address == "" {
		address = scim.Text(r, "userName")
	}
	address = strings.ToLower(strings.TrimSpace(address))
	if a, err := netmail.ParseAddress(address); err != nil || a.Address != address || len(address) > 254 || strings.ContainsAny(address, " \"\r\n") {
		return "", scim.Refusal(scim.InvalidValue, "emails, or else userName, has to hold an email address.")
	}
	return address, nil
}

func nameOf(r map[string]any) string {
	for _, name := range []string{
		scim.Text(r, "displayName"), scim.Text(r, "name", "formatted"),
		strings.TrimSpace(scim.Text(r, "name", "givenName") + " " + scim.Text(r, "name", "familyName")),
	} {
		if name != "" {
			return name
		}
	}
	return ""
}

// cut keeps a name within what auth-service takes.
func cut(s string) string {
	if r := []rune(s); len(r) > maxName {
		return string(r[:maxName])
	}
	return s
}

// ReplaceUser makes the user what the directory says; what it leaves out is gone, but for
// active.
func (s *Directory) ReplaceUser(ctx context.Context, tenant id.TenantID, ref models.MemberID, match func(etag string) bool, in map[string]any) (map[string]any, error) {
	return s.changeUser(ctx, tenant, ref, match, func(was map[string]any) (map[string]any, error) {
		r, err := scim.User.Read(in)
		if _, given := r["active"]; err == nil && !given {
			r["active"] = was["active"]
		}
		return r, err
	})
}

// PatchUser applies a patch to the user.
func (s *Directory) PatchUser(ctx context.Context, tenant id.TenantID, ref models.MemberID, match func(etag string) bool, ops []scim.Op) (map[string]any, error) {
	return s.changeUser(ctx, tenant, ref, match, func(was map[string]any) (map[string]any, error) { return scim.User.Patch(was, ops) })
}

func (s *Directory) changeUser(ctx context.Context, tenant id.TenantID, ref models.MemberID, match func(string) bool,
	change func(map[string]any) (map[string]any, error)) (map[string]any, error) {
	p, err := s.repo.ChangePerson(ctx, models.DirectoryOf(tenant), ref, func(sc *models.Scene, p *models.Person) error {
		was, err := s.judge(sc, p, match)
		if err != nil {
			return err
		}
		now := s.now()
		r, err := change(was)
		if err != nil {
			return err
		}
		if active, given := r["active"].(bool); active == p.Suspended() && given {
			// The rules for who may change whom.
			if err := sc.SetRoles(nil, nil, etag.Match{}, now); err != nil {
				return err
			}
			if err := sc.SuspendMember(!active, now); err != nil {
				return err
			}
		}
		next := *p
		tellOf(&next, r, now)
		if before := *p; next.UserName != before.UserName || next.ExternalID != before.ExternalID || next.Email != before.Email ||
			!scim.Same(next.Attributes, s.restOf(&before)) {
			*p = next
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.user(&p), nil
}

// restOf is what tellOf would keep of the person as he is.
func (s *Directory) restOf(p *models.Person) map[string]any {
	as := *p
	tellOf(&as, s.user(p), time.Time{})
	return as.Attributes
}

// judge returns the user's resource if the directory may see it, and match holds.
func (s *Directory) judge(sc *models.Scene, p *models.Person, match func(string) bool) (map[string]any, error) {
	if err := mayOrganise(sc); err != nil {
		return nil, err
	}
	if p == nil {
		return nil, tenantapi.ErrMemberNotFound
	}
	if !match(scim.ETag(p.ETagVersion())) {
		return nil, errs.ErrPreconditionFailed
	}
	return s.user(p), nil
}

// DeleteUser ends the user's membership; his account stays.
func (s *Directory) DeleteUser(ctx context.Context, tenant id.TenantID, ref models.MemberID, match func(etag string) bool) error {
	_, err := s.repo.ChangePerson(ctx, models.DirectoryOf(tenant), ref, func(sc *models.Scene, p *models.Person) error {
		if _, err := s.judge(sc, p, match); err != nil {
			return err
		}
		return sc.Remove(s.now())
	})
	return err
}

// Groups answers a query on the groups.
func (s *Directory) Groups(ctx context.Context, tenant id.TenantID, q Query) (map[string]any, error) {
	f, l, view, err := s.prepare(scim.Group, q)
	if err != nil {
		return nil, err
	}
	start, count := q.page()
	demanded := f.Equal()
	var ref *models.GroupID
	if v, ok := demanded["id"]; ok {
		g, err := id.Parse[models.GroupKind](v)
		if err != nil {
			return scim.ListOf(nil, 0, start), nil //nolint:nilerr // none has such an id
		}
		ref = &g
	}
	found, total, err := s.repo.FindGroups(ctx, tenant, ref, narrow(demanded, "displayName", models.NameKey), narrow(demanded, "externalId", asIs), l)
	if err != nil {
		return nil, err
	}
	found = found[:min(count, len(found))]
	var in map[models.GroupID][]models.Mate
	if view.Shows("members") {
		if in, err = s.repo.Mates(ctx, tenant, found); err != nil {
			return nil, err
		}
	}
	resources := make([]map[string]any, 0, len(found))
	for _, g := range found {
		resources = append(resources, s.group(g, in[g.ID]))
	}
	return shown(view, resources, total, start), nil
}

// Search answers a query on users and groups together, the users first (RFC 7644, section
// 3.4.3). Of a type that does not have the filter's or the order's attributes there is
// nothing.
func (s *Directory) Search(ctx context.Context, tenant id.TenantID, q Query) (map[string]any, error) {
	start, count := q.page()
	var all []map[string]any
	var fault error
	total, understood := 0, false
	for _, read := range []func(context.Context, id.TenantID, Query) (map[string]any, error){s.Users, s.Groups} {
		q.StartIndex, q.Count = max(start-total, 1), count-len(all)
		found, err := read(ctx, tenant, q)
		var refused *scim.Error
		if errors.As(err, &refused) {
			fault = err
			continue
		}
		if err != nil {
			return nil, err
		}
		understood = true
		total += found["totalResults"].(int)
		all = append(all, found["Resources"].([]map[string]any)...)
	}
	if !understood {
		return nil, fault
	}
	return scim.ListOf(all, total, start), nil
}

// group is the resource of a group.
func (s *Directory) group(g models.Group, in []models.Mate) map[string]any {
	r := map[string]any{"displayName": g.Name}
	if g.ExternalID != "" {
		r["externalId"] = g.ExternalID
	}
	var mates []any
	for _, m := range in {
		mates = append(mates, map[string]any{"value": m.ID.String(), "$ref": s.base + "/Users/" + m.ID.String(), "display": m.Name, "type": "User"})
	}
	if mates != nil {
		r["members"] = mates
	}
	return scim.Group.Complete(r, s.base, g.ID.String(), scim.ETag(models.Version(g.Version)), g.CreatedAt, g.UpdatedAt)
}

// Group returns the resource of a group, or tenantapi.ErrGroupNotFound.
func (s *Directory) Group(ctx context.Context, tenant id.TenantID, ref models.GroupID) (map[string]any, error) {
	g, err := s.repo.Group(ctx, tenant, id.UserID{}, ref)
	if err != nil {
		return nil, err
	}
	in, err := s.repo.Mates(ctx, tenant, []models.Group{g})
	return s.group(g, in[g.ID]), err
}

// CreateGroup makes a group of what a directory says of it.
func (s *Directory) CreateGroup(ctx context.Context, tenant id.TenantID, in map[string]any) (map[string]any, error) {
	r, err := scim.Group.Read(in)
	if err != nil {
		return nil, err
	}
	name, err := directoryName(r)
	if err != nil {
		return nil, err
	}
	first, err := matesIn(r)
	if err != nil {
		return nil, err
	}
	g := models.NewGroup(tenant, name, scim.Text(r, "externalId"), s.now())
	if err := s.repo.CreateGroup(ctx, models.DirectoryOf(tenant), g, first, mayOrganise); err != nil {
		return nil, asValue(err)
	}
	return s.Group(ctx, tenant, g.ID)
}

func directoryName(r map[string]any) (string, error) {
	name, fault := parseName(scim.Text(r, "displayName"))
	if fault != "" {
		return "", scim.Refusal(scim.InvalidValue, "displayName "+fault+".")
	}
	return name, nil
}

// matesIn are the ids of the members.
func matesIn(r map[string]any) ([]models.MemberID, error) {
	var out []models.MemberID
	for _, text := range scim.Values(r, "members") {
		m, err := id.Parse[models.MemberKind](text)
		if err != nil {
			return nil, scim.Refusal(scim.InvalidValue, "members has to hold ids of users.")
		}
		out = append(out, m)
	}
	return out, nil
}

// asValue is the error for a group that names a user who is none: not the group is
// missing.
func asValue(err error) error {
	if errors.Is(err, tenantapi.ErrMemberNotFound) {
		return scim.Refusal(scim.InvalidValue, errs.From(err).Message)
	}
	return err
}

// ReplaceGroup makes the group what the directory says.
func (s *Directory) ReplaceGroup(ctx context.Context, tenant id.TenantID, ref models.GroupID, match func(etag string) bool, in map[string]any) (map[string]any, error) {
	return s.changeGroup(ctx, tenant, ref, match, func(map[string]any) (map[string]any, error) { return scim.Group.Read(in) })
}

// PatchGroup applies a patch to the group.
func (s *Directory) PatchGroup(ctx context.Context, tenant id.TenantID, ref models.GroupID, match func(etag string) bool, ops []scim.Op) (map[string]any, error) {
	return s.changeGroup(ctx, tenant, ref, match, func(was map[string]any) (map[string]any, error) { return scim.Group.Patch(was, ops) })
}

func (s *Directory) changeGroup(ctx context.Context, tenant id.TenantID, ref models.GroupID, match func(string) bool,
	change func(map[string]any) (map[string]any, error)) (map[string]any, error) {
	_, err := s.editGroup(ctx, tenant, ref, match, func(g models.Group, in []models.Mate) (models.GroupEdit, error) {
		r, err := change(s.group(g, in))
		if err != nil {
			return models.GroupEdit{}, err
		}
		name, err := directoryName(r)
		if err != nil {
			return models.GroupEdit{}, err
		}
		next, err := matesIn(r)
		if err != nil {
			return models.GroupEdit{}, err
		}
		edit := models.GroupEdit{Name: name, ExternalID: scim.Text(r, "externalId"), Add: next}
		for _, m := range in {
			if !slices.Contains(next, m.ID) {
				edit.Remove = append(edit.Remove, m.ID)
			}
		}
		return edit, nil
	})
	if err != nil {
		return nil, asValue(err)
	}
	return s.Group(ctx, tenant, ref)
}

// DeleteGroup deletes the group.
func (s *Directory) DeleteGroup(ctx context.Context, tenant id.TenantID, ref models.GroupID, match func(etag string) bool) error {
	_, err := s.editGroup(ctx, tenant, ref, match, func(models.Group, []models.Mate) (models.GroupEdit, error) {
		return models.GroupEdit{Gone: true}, nil
	})
	return err
}

func (s *Directory) editGroup(ctx context.Context, tenant id.TenantID, ref models.GroupID, match func(string) bool,
	edit func(models.Group, []models.Mate) (models.GroupEdit, error)) (models.Group, error) {
	return s.repo.ChangeDirectoryGroup(ctx, models.DirectoryOf(tenant), ref, func(sc *models.Scene, g *models.Group, in []models.Mate) (models.GroupEdit, error) {
		if err := mayOrganise(sc); err != nil {
			return models.GroupEdit{}, err
		}
		if g == nil {
			return models.GroupEdit{}, tenantapi.ErrGroupNotFound
		}
		if !match(scim.ETag(models.Version(g.Version))) {
			return models.GroupEdit{}, errs.ErrPreconditionFailed
		}
		return edit(*g, in)
	})
}
