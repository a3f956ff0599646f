package workspaceservice_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/app"
	"github.com/pyairtable/pyairtable/pkg/apptest"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/authtest"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/httpx"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/permit"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/pkg/redistest"
	"github.com/pyairtable/pyairtable/pkg/rpc"
	workspaceservice "github.com/pyairtable/pyairtable/workspace-service"
	"github.com/pyairtable/pyairtable/workspace-service/internal/repository"
)

// world is the whole service, running, with a database, a Redis, an issuer and neighbours
// of its own.
type world struct {
	*apptest.Running
	t           *testing.T
	issuer      *authtest.Issuer
	pool        *pgxpool.Pool
	env         map[string]string
	permissions *permissions
	airtable    *airtable
}

func start(t *testing.T, vars map[string]string) *world {
	t.Helper()
	w := &world{t: t, issuer: authtest.New(t)}
	w.permissions = &permissions{parents: map[string]string{}, groups: map[string]string{}}
	w.airtable = &airtable{bases: map[id.TenantID][]airtableapi.Base{}}
	neighbours := map[string]string{"AUTH_SERVICE_URL": w.issuer.URL}
	w.env = map[string]string{
		"AUTH_SERVICE_URL": w.issuer.URL, "DATABASE_URL": pgtest.URL(t, workspaceapi.Service.Name, repository.Migrations), "REDIS_URL": redistest.URL(t),
		"PERMISSION_SERVICE_URL": apptest.Start(t, app.Define("permission-service", w.permissions.wire), neighbours).URL,
		"AIRTABLE_GATEWAY_URL":   apptest.Start(t, app.Define("airtable-gateway", w.airtable.wire), neighbours).URL,
	}
	for k, v := range vars {
		w.env[k] = v
	}
	pool, err := postgres.Open(t.Context(), w.env["DATABASE_URL"], postgres.Options{AppName: "test", MaxConns: 3})
	w.ok(err)
	t.Cleanup(pool.Close)
	w.pool = pool
	w.Running = apptest.Start(t, workspaceservice.Service, w.env)
	return w
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

type neighbour struct {
	config.Base `mapstructure:",squash"`
}

// permissions stands for permission-service over the wire: grants, places and what follows
// from them, the naive way.
type permissions struct {
	mu      sync.Mutex
	grants  []permissionapi.GrantRecord
	parents map[string]string
	groups  map[string]string // of users, by subject
	hidden  []permissionapi.TablePolicy
	version int64
	deaf    bool // writes fail
}

func (p *permissions) wire(_ context.Context, a *app.App, _ neighbour) error {
	httpx.Handle(a.API, permissionapi.Check, p.check)
	httpx.Handle(a.API, permissionapi.Write, p.write)
	httpx.Handle(a.API, permissionapi.FetchPolicy, p.policy)
	httpx.Handle(a.API, permissionapi.ListGrants, p.list)
	httpx.Handle(a.API, permissionapi.CreateGrant, p.create)
	httpx.Handle(a.API, permissionapi.RevokeGrant, p.take)
	return nil
}

// list gives pages of two.
func (p *permissions) list(_ context.Context, _ auth.Principal, in permissionapi.GrantQuery) (out permissionapi.GrantPage, _ error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out.Items = []permissionapi.GrantRecord{}
	for _, g := range p.grants {
		if g.Object != in.Object || in.Subject != "" && g.Subject != in.Subject || g.ID <= in.Cursor {
			continue
		}
		if len(out.Items) == 2 {
			out.NextCursor = out.Items[1].ID
			break
		}
		out.Items = append(out.Items, g)
	}
	return out, nil
}

func (p *permissions) create(_ context.Context, who auth.Principal, in permissionapi.Grant) (out permissionapi.CreatedGrant, _ error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.may(permit.Subject(who), who.Role, permissionapi.Actions[max(strength(in.Role), 4)], in.Object, nil) {
		return out, permissionapi.ErrTooStrong
	}
	p.version++
	p.grants = slices.DeleteFunc(p.grants, func(g permissionapi.GrantRecord) bool {
		return g.Subject == in.Subject && g.Object == in.Object && g.Role == in.Role && g.Deny == in.Deny
	})
	out.Body = permissionapi.GrantRecord{ID: id.New[any]().String(), Grant: in, GrantedBy: who.UserID.String(), CreatedAt: time.Now()}
	p.grants = append(p.grants, out.Body)
	out.Token = strconv.FormatInt(p.version+1, 36)
	return out, nil
}

func (p *permissions) take(_ context.Context, _ auth.Principal, in permissionapi.GrantRef) (permissionapi.Changed, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.version++
	p.grants = slices.DeleteFunc(p.grants, func(g permissionapi.GrantRecord) bool { return g.ID == in.ID })
	return permissionapi.Changed{Token: strconv.FormatInt(p.version+1, 36)}, nil
}

// strength is how far a role reaches, and what an action needs.
func strength(name string) int {
	return max(slices.Index(permissionapi.Actions, name), map[string]int{
		permissionapi.RoleOwner: 5, permissionapi.RoleCreator: 4, permissionapi.RoleEditor: 2, permissionapi.RoleCommenter: 1,
	}[name])
}

func (p *permissions) may(subject, role, action, object string, parents []string) bool {
	if role == "owner" || role == "admin" {
		return true
	}
	for at := object; at != ""; {
		for _, g := range p.grants {
			if (g.Subject == subject || g.Subject == p.groups[subject]) && g.Object == at && strength(g.Role) >= strength(action) {
				return true
			}
		}
		next, known := p.parents[at]
		if !known && len(parents) > 0 {
			next, parents = parents[0], parents[1:]
		}
		at = next
	}
	return false
}

func (p *permissions) check(_ context.Context, _ auth.Principal, in permissionapi.CheckRequest) (permissionapi.CheckAnswer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := permissionapi.CheckAnswer{Token: strconv.FormatInt(p.version+1, 36), Until: time.Now()} // nobody remembers it
	for _, q := range in.Questions {
		out.Allowed = append(out.Allowed, p.may(q.Subject, q.Role, q.Action, q.Object, q.Parents))
	}
	return out, nil
}

func (p *permissions) write(_ context.Context, _ auth.Principal, in permissionapi.WriteRequest) (permissionapi.WriteAnswer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.deaf {
		return permissionapi.WriteAnswer{}, errs.ErrUnavailable
	}
	p.version++
	for _, place := range in.Places {
		p.parents[place.Object] = place.Parent
		if place.Parent == "" {
			p.grants = slices.DeleteFunc(p.grants, func(g permissionapi.GrantRecord) bool { return g.Object == place.Object })
		}
	}
	for _, gone := range in.Revokes {
		p.grants = slices.DeleteFunc(p.grants, func(g permissionapi.GrantRecord) bool {
			return g.Subject == gone.Subject && g.Object == gone.Object && g.Role == gone.Role && g.Deny == gone.Deny
		})
	}
	for _, g := range in.Grants {
		p.grants = append(p.grants, permissionapi.GrantRecord{ID: id.New[any]().String(), Grant: g, GrantedBy: in.ActorID})
	}
	return permissionapi.WriteAnswer{Token: strconv.FormatInt(p.version+1, 36)}, nil
}

func (p *permissions) policy(context.Context, auth.Principal, permissionapi.PolicyQuery) (permissionapi.Policy, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return permissionapi.Policy{Tables: append([]permissionapi.TablePolicy{}, p.hidden...)}, nil
}

// grant gives the person a role, as permission-service itself would.
func (w *world) grant(to person, role string, object permit.Object) {
	w.t.Helper()
	p := w.permissions
	p.mu.Lock()
	p.version++
	p.grants = append(p.grants, permissionapi.GrantRecord{
		ID: id.New[any]().String(), Grant: permissionapi.Grant{Subject: "user:" + to.user.String(), Object: string(object), Role: role},
	})
	p.mu.Unlock()
}

// joins has the person be in the group, or in none.
func (w *world) joins(of person, group string) {
	w.t.Helper()
	p := w.permissions
	p.mu.Lock()
	p.version++
	p.groups["user:"+of.user.String()] = group
	p.mu.Unlock()
}

// revoke takes all from the person.
func (w *world) revoke(from person) {
	w.t.Helper()
	p := w.permissions
	p.mu.Lock()
	p.version++
	p.grants = slices.DeleteFunc(p.grants, func(g permissionapi.GrantRecord) bool { return g.Subject == "user:"+from.user.String() })
	p.mu.Unlock()
}

func (w *world) emit(evs ...events.Event) {
	w.t.Helper()
	w.ok(postgres.InTx(w.t.Context(), w.pool, func(tx pgx.Tx) error { return events.Emit(w.t.Context(), tx, evs...) }))
}

// airtable stands for airtable-gateway over the wire.
type airtable struct {
	mu    sync.Mutex
	bases map[id.TenantID][]airtableapi.Base
	album
}

func (a *airtable) wire(_ context.Context, s *app.App, _ neighbour) error {
	httpx.Handle(s.API, airtableapi.ListBases, a.list)
	httpx.Handle(s.API, airtableapi.FetchBase, a.base)
	httpx.Handle(s.API, airtableapi.ReadTables, a.tables)
	httpx.Handle(s.API, airtableapi.ReadRecords, a.records)
	a.album.wire(s)
	return nil
}

// tables and records tell in whose name they were asked for.
func (a *airtable) tables(_ context.Context, _ auth.Principal, in airtableapi.TablesRead) (out api.Page[airtableapi.Table], _ error) {
	out.Items = []airtableapi.Table{{ID: "tbl1", Name: in.BaseID + " for " + in.UserID, Fields: []airtableapi.TableField{}, Views: []airtableapi.TableView{}}}
	return out, nil
}

func (a *airtable) records(_ context.Context, _ auth.Principal, in airtableapi.RecordsRead) (out airtableapi.RecordsAnswer, _ error) {
	out.Body.Items = []airtableapi.Record{{ID: "rec1", Fields: map[string]any{"of": in.BaseID + "/" + in.TableID, "for": in.UserID, "view": in.View}}}
	return out, nil
}

func (a *airtable) of(who auth.Principal) []airtableapi.Base {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.SortedFunc(slices.Values(a.bases[who.TenantID]), func(x, y airtableapi.Base) int { return cmp.Compare(x.ID, y.ID) })
}

// list gives pages of two.
func (a *airtable) list(_ context.Context, who auth.Principal, in airtableapi.BasesQuery) (out api.Page[airtableapi.Base], _ error) {
	out.Items = []airtableapi.Base{}
	for _, b := range a.of(who) {
		if b.ID <= in.Cursor {
			continue
		}
		if len(out.Items) == 2 {
			out.NextCursor = out.Items[1].ID
			break
		}
		out.Items = append(out.Items, b)
	}
	return out, nil
}

func (a *airtable) base(_ context.Context, who auth.Principal, in airtableapi.BasePath) (airtableapi.Base, error) {
	for _, b := range a.of(who) {
		if b.ID == in.BaseID {
			return b, nil
		}
	}
	return airtableapi.Base{}, airtableapi.ErrBaseNotFound
}

// offer makes bases that a connection of the tenant offers.
func (w *world) offer(tenant id.TenantID, refs ...string) (connection string) {
	connection = id.New[any]().String()
	w.airtable.mu.Lock()
	defer w.airtable.mu.Unlock()
	for _, ref := range refs {
		w.airtable.bases[tenant] = append(w.airtable.bases[tenant], airtableapi.Base{ID: ref, Name: "Base " + ref, PermissionLevel: "create", ConnectionID: connection})
	}
	return connection
}

// person is a user with a token for one tenant.
type person struct {
	user   id.UserID
	tenant id.TenantID
	*rpc.Client
}

// in is the user with a token for the tenant.
func (w *world) in(tenant id.TenantID, user id.UserID, role string) person {
	w.t.Helper()
	return person{user, tenant, w.Client(auth.Principal{Token: w.issuer.Token(w.t, authtest.User(tenant, user, role))})}
}

// owner is the owner of a new tenant.
func (w *world) owner() person { return w.in(id.New[id.Tenant](), id.New[id.User](), "owner") }

// other is another user of the person's tenant.
func (w *world) other(of person, role string) person { return w.in(of.tenant, id.New[id.User](), role) }

// workspace is one that the person makes.
func (w *world) workspace(p person, name string) workspaceapi.Workspace {
	w.t.Helper()
	return must(w, p, workspaceapi.CreateWorkspace, workspaceapi.NewWorkspace{Name: name}).Body
}

// project is one that the person makes in the workspace.
func (w *world) project(p person, in workspaceapi.Workspace, name string) workspaceapi.Project {
	w.t.Helper()
	return must(w, p, workspaceapi.CreateProject, workspaceapi.NewProject{WorkspaceRef: ref(in), Body: workspaceapi.NewWorkspace{Name: name}}).Body
}

// base is one that the person links into the workspace.
func (w *world) base(p person, in workspaceapi.Workspace, name string) workspaceapi.Base {
	w.t.Helper()
	w.offer(p.tenant, name)
	return must(w, p, workspaceapi.LinkBase, link(in, name)).Body
}

func link(in workspaceapi.Workspace, base string) workspaceapi.BaseLink {
	l := workspaceapi.BaseLink{WorkspaceRef: ref(in)}
	l.Body.BaseID = base
	return l
}

func ref(w workspaceapi.Workspace) workspaceapi.WorkspaceRef {
	return workspaceapi.WorkspaceRef{WorkspaceID: w.ID}
}

func pref(p workspaceapi.Project) workspaceapi.ProjectRef {
	return workspaceapi.ProjectRef{ProjectID: p.ID}
}

func bref(b workspaceapi.Base) workspaceapi.BaseRef { return workspaceapi.BaseRef{BaseID: b.ID} }

func call[In, Out any](w *world, p person, op api.Op[In, Out], in In) (Out, error) {
	return rpc.Call(w.t.Context(), p.Client, op, in)
}

// must is call for what has to succeed.
func must[In, Out any](w *world, p person, op api.Op[In, Out], in In) Out {
	w.t.Helper()
	out, err := call(w, p, op, in)
	if err != nil {
		w.t.Fatalf("%s: %v", op.Name, err)
	}
	return out
}

// refuse checks that a call is answered with the error.
func refuse[In, Out any](w *world, want *errs.Error, p person, op api.Op[In, Out], in In) {
	w.t.Helper()
	if _, err := call(w, p, op, in); !errors.Is(err, want) {
		w.t.Errorf("%s: got %v, want %s", op.Name, err, want.Code)
	}
}

// emitted counts the events of a type about the subject.
func (w *world) emitted(name, subject string) int {
	w.t.Helper()
	return w.count(`SELECT count(*) FROM outbox WHERE event::jsonb ->> 'type' = $1 AND event::jsonb ->> 'subject' = $2`, "com.pyairtable."+name+".v1", subject)
}

func (w *world) count(sql string, args ...any) (n int) {
	w.t.Helper()
	w.ok(postgres.ForEveryTenant(w.pool).QueryRow(w.t.Context(), sql, args...).Scan(&n))
	return n
}

// hear has the service consume the events, in that order.
func (w *world) hear(evs ...events.Event) {
	w.t.Helper()
	for _, e := range evs {
		w.emit(e)
		await.True(w.t, e.Type+" is applied", func() bool {
			return w.count(`SELECT count(*) FROM inbox WHERE event_id = $1`, e.ID) == 1
		})
	}
}

// names are what a list is called, in its order.
func names[T any](list []T, name func(T) string) string {
	var all []string
	for _, item := range list {
		all = append(all, name(item))
	}
	return strings.Join(all, " ")
}

func ptr[T any](v T) *T { return &v }
