// Package services decides what permission-service does.
package services

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/maypok86/otter/v2"
	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"
	"github.com/pyairtable/pyairtable/permission-service/internal/relations"
	"github.com/pyairtable/pyairtable/permission-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/origin"
)

const (
	// tries is how often an answer is begun anew because permissions changed meanwhile.
	tries = 6
	// rememberFor bounds how long an answer without an end is remembered.
	rememberFor = 5 * time.Minute
	// settleEvery is how often tuples are looked for that somebody left stale.
	settleEvery = time.Second
	sweepEvery  = time.Second
	forgetEvery = time.Hour
	feedKeeps   = 30 * 24 * time.Hour
	settleMany  = 100
)

// Decisions answer who may do what.
//
// An answer is one of one version of the tenant: it is given only if the version was the
// same, and all its tuples written, before the engine was asked and after. So it never
// mixes two states, and it sees every write that was answered before the question came.
// What is remembered carries its version: a change makes it useless, without a message.
type Decisions struct {
	repo   *repository.Repository
	engine *relations.Engine
	log    *zap.Logger
	now    func() time.Time
	cache  *otter.Cache[question, bool]
	once   singleflight.Group
}

// question is everything that an answer depends on.
type question struct {
	tenant                        id.TenantID
	version                       int64
	subject, action, object, role string
	parents                       string
	ip                            netip.Addr
	until                         time.Time // the end of the answer: the same as long as the version is
}

// NewDecisions remembers up to size answers.
func NewDecisions(repo *repository.Repository, engine *relations.Engine, size int, log *zap.Logger, now func() time.Time) (*Decisions, error) {
	cache, err := otter.New(&otter.Options[question, bool]{MaximumSize: size, ExpiryCalculator: otter.ExpiryWriting[question, bool](rememberFor)})
	if err != nil {
		return nil, fmt.Errorf("make cache: %w", err)
	}
	return &Decisions{repo: repo, engine: engine, log: log, now: now, cache: cache}, nil
}

// Request asks questions about one tenant.
type Request struct {
	Tenant    id.TenantID
	Questions []Question
	IP        netip.Addr
	Time      time.Time // zero: now, and answers may be remembered ones
	AtLeast   int64
}

// Question asks whether the subject may do the action on the object. Role is that of his
// token, Parents place an object that is not known.
type Question struct {
	Subject, Action, Object, Role string
	Parents                       []string
}

// Answer answers questions in their order, as of one version.
type Answer struct {
	Allowed []bool
	Until   time.Time
	Version int64
}

// Check answers. What names nothing of the tenant is not allowed.
func (d *Decisions) Check(ctx context.Context, r Request) (Answer, error) {
	at := models.Moment{Now: r.Time, IP: r.IP}
	if r.Time.IsZero() {
		at.Now = d.now()
	}
	for range tries {
		head, err := d.head(ctx, r, at.Now)
		if err != nil {
			return Answer{}, err
		}
		if r.AtLeast > head.Version {
			return Answer{}, permissionapi.ErrBadToken
		}
		answer, asked, err := d.answer(ctx, r, head, at)
		if err != nil || !asked {
			return answer, err
		}
		now, err := d.repo.Version(ctx, r.Tenant)
		if err != nil {
			return Answer{}, err
		}
		if now == head.Version {
			d.remember(r, head, answer)
			return answer, nil
		}
	}
	return Answer{}, errs.ErrUnavailable.Saying("Permissions change too fast.")
}

// head reads what is known of the questions, when all tuples of it are written.
func (d *Decisions) head(ctx context.Context, r Request, now time.Time) (repository.Head, error) {
	var objects, users []string
	for _, q := range r.Questions {
		objects, users = append(objects, q.Object), append(users, q.Subject)
		objects = append(objects, q.Parents...)
		if base := models.BaseOf(q.Object); base != "" && models.IsObject(r.Tenant, q.Object) {
			objects = append(objects, base)
		}
	}
	for range tries {
		head, err := d.repo.Head(ctx, r.Tenant, objects, users, now)
		if err != nil || head.Applied == head.Version {
			return head, err
		}
		if err := d.Settle(ctx, r.Tenant); err != nil {
			return head, errs.ErrUnavailable.Because(err)
		}
	}
	return repository.Head{}, errs.ErrUnavailable.Saying("Permissions change too fast.")
}

// answer answers from memory where it can, and says whether it asked the engine.
func (d *Decisions) answer(ctx context.Context, r Request, head repository.Head, at models.Moment) (Answer, bool, error) {
	a := Answer{Allowed: make([]bool, len(r.Questions)), Until: head.Ends, Version: head.Version}
	var queries []relations.Query
	var places []int
	for i, q := range r.Questions {
		kind, _ := models.Split(q.Object)
		if head.Deleted || !models.IsUser(q.Subject) || !models.IsObject(r.Tenant, q.Object) || !slices.Contains(models.ActionsOn(kind), q.Action) ||
			head.Standing(q.Subject, q.Role).Shut() != "" {
			continue
		}
		if r.Time.IsZero() {
			if known, ok := d.cache.GetIfPresent(keyOf(r, head, q)); ok {
				a.Allowed[i] = known
				continue
			}
		}
		queries, places = append(queries, query(r.Tenant, head, q)), append(places, i)
	}
	if len(queries) == 0 {
		return a, false, nil
	}
	allowed, err := d.engine.Check(ctx, r.Tenant, at, queries)
	if err != nil {
		return a, true, errs.ErrUnavailable.Because(err)
	}
	for n, i := range places {
		a.Allowed[i] = allowed[n]
	}
	return a, true, nil
}

func (d *Decisions) remember(r Request, head repository.Head, a Answer) {
	if !r.Time.IsZero() {
		return
	}
	for i, q := range r.Questions {
		d.cache.Set(keyOf(r, head, q), a.Allowed[i])
	}
}

func keyOf(r Request, head repository.Head, q Question) question {
	return question{
		tenant: r.Tenant, version: head.Version, subject: q.Subject, action: q.Action, object: q.Object,
		role: q.Role, parents: strings.Join(q.Parents, " "), ip: r.IP, until: head.Ends,
	}
}

// query adds to the question what the engine does not know: where an object lies that has
// no place, and the role of somebody who was never heard of.
func query(t id.TenantID, head repository.Head, q Question) relations.Query {
	out := relations.Query{User: q.Subject, Action: q.Action, Object: q.Object}
	chain := models.Chain(t, q.Object, head.Places, q.Parents)
	for i, o := range chain[:len(chain)-1] {
		if _, known := head.Places[o]; !known {
			out.Extra = append(out.Extra, relations.Tuple{Object: o, Relation: relations.Parent, User: chain[i+1]})
		}
	}
	if _, known := head.Members[q.Subject]; !known {
		if e, ok := standing(t, q.Subject, q.Role); ok {
			out.Extra = append(out.Extra, e)
		}
	}
	return out
}

// standing is the tuple of a role in the tenant; guests have none.
func standing(t id.TenantID, subject, role string) (relations.Tuple, bool) {
	e := relations.Tuple{Object: models.TenantObject(t), User: subject}
	switch {
	case models.IsAdmin(role):
		e.Relation = relations.Admin
	case role == models.TenantMember:
		e.Relation = relations.Member
	default:
		return e, false
	}
	return e, true
}

// may asks for the caller, whose address is that of his request.
func (d *Decisions) may(ctx context.Context, who auth.Principal, object string, actions ...string) ([]bool, error) {
	r := Request{Tenant: who.TenantID, IP: Address(origin.From(ctx).IP)}
	for _, a := range actions {
		r.Questions = append(r.Questions, Question{Subject: models.UserSubject(who.UserID.String()), Action: a, Object: object, Role: who.Role})
	}
	a, err := d.Check(ctx, r)
	return a.Allowed, err
}

// MayAdminister returns nil if the caller is an owner or an admin of the tenant, and
// errs.ErrForbidden if not. Denials do not count here, since he could lift them.
func (d *Decisions) MayAdminister(ctx context.Context, who auth.Principal) error {
	f, err := d.repo.Facts(ctx, who.TenantID, models.UserSubject(who.UserID.String()), []string{models.TenantObject(who.TenantID)}, who.Role)
	if err != nil {
		return err
	}
	if !models.IsAdmin(f.TenantRole) || f.Standing.Shut() != "" {
		return errs.ErrForbidden
	}
	return nil
}

// MayShare returns nil if the caller may share the object or administers the tenant,
// errs.ErrNotFound if he may not even see it, and errs.ErrForbidden otherwise.
func (d *Decisions) MayShare(ctx context.Context, who auth.Principal, object string) error {
	_, err := d.strengthOf(ctx, who, object)
	return err
}

// strengthOf is how strong the caller is on an object that he may share.
func (d *Decisions) strengthOf(ctx context.Context, who auth.Principal, object string) (int, error) {
	if !models.IsObject(who.TenantID, object) {
		return 0, errs.ErrNotFound
	}
	err := d.MayAdminister(ctx, who)
	if err == nil {
		return models.Strength(permissionapi.Manage), d.isThere(ctx, who.TenantID, object)
	}
	may, err := d.may(ctx, who, object, permissionapi.Read, permissionapi.Share, permissionapi.Manage)
	switch {
	case err != nil:
		return 0, err
	case !may[0]:
		return 0, errs.ErrNotFound
	case may[2]:
		return models.Strength(permissionapi.Manage), nil
	case may[1]:
		return models.Strength(permissionapi.Share), nil
	}
	return 0, errs.ErrForbidden
}

// isThere tells a workspace of the tenant from another's.
func (d *Decisions) isThere(ctx context.Context, t id.TenantID, object string) error {
	if kind, _ := models.Split(object); kind != models.Workspace {
		return nil
	}
	head, err := d.repo.Head(ctx, t, []string{object}, nil, d.now())
	if err != nil {
		return err
	}
	if at, ok := head.Places[object]; !ok || at.Gone {
		return errs.ErrNotFound
	}
	return nil
}

// Address reads an address; what is none is the zero one.
func Address(s string) netip.Addr {
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return ip.Unmap().WithZone("")
}

// Settle writes the tuples of all changes of the tenant that are committed.
func (d *Decisions) Settle(ctx context.Context, tenant id.TenantID) error {
	_, err, _ := d.once.Do(tenant.String(), func() (any, error) {
		for {
			done, err := d.repo.Settle(ctx, tenant, func(ctx context.Context, keys []repository.Stale) error {
				for _, k := range keys {
					if err := d.derive(ctx, tenant, k); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil || done {
				return nil, err
			}
		}
	})
	return err
}

// derive makes the tuples of one key what the tables say.
func (d *Decisions) derive(ctx context.Context, tenant id.TenantID, k repository.Stale) error {
	kind, _ := models.Split(k.Object)
	switch {
	case k.Everything:
		return d.engine.Erase(ctx, tenant)
	case k.Subject == "":
		var want []relations.Tuple
		if k.Parent != "" {
			want = []relations.Tuple{{Object: k.Object, Relation: relations.Parent, User: k.Parent}}
		}
		return d.engine.Replace(ctx, tenant, k.Object, relations.Parent, "", want)
	case kind == models.Group:
		var want []relations.Tuple
		if k.Present {
			want = []relations.Tuple{{Object: k.Object, Relation: relations.Member, User: k.Subject}}
		}
		return d.engine.Replace(ctx, tenant, k.Object, relations.Member, k.Subject, want)
	}
	want := relations.OfGrants(k.Object, k.Subject, k.Grants)
	if e, ok := standing(tenant, k.Subject, k.Role); ok && kind == models.Tenant {
		want = append(want, e)
	}
	return d.engine.Replace(ctx, tenant, k.Object, "", relations.UserOf(k.Subject), want)
}

// settleSoon settles after a commit. What it leaves, the next question or Run does.
func (d *Decisions) settleSoon(ctx context.Context, tenant id.TenantID) {
	if err := d.Settle(ctx, tenant); err != nil {
		d.log.Warn("tuples are not written yet", zap.Stringer("tenant", tenant), zap.Error(err))
	}
}

// Run writes what was left stale, takes away what has ended and forgets old changes, until
// ctx ends.
func (d *Decisions) Run(ctx context.Context) error {
	defer d.cache.StopAllGoroutines()
	settle, sweep, forget := time.NewTicker(settleEvery), time.NewTicker(sweepEvery), time.NewTicker(forgetEvery)
	defer settle.Stop()
	defer sweep.Stop()
	defer forget.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-settle.C:
			err = d.settleAll(ctx)
		case <-sweep.C:
			_, err = d.repo.Expire(ctx, settleMany)
		case <-forget.C:
			err = d.forget(ctx)
		}
		if err != nil && ctx.Err() == nil {
			d.log.Warn("permissions were not tidied", zap.Error(err))
		}
	}
}

func (d *Decisions) settleAll(ctx context.Context) error {
	tenants, err := d.repo.Behind(ctx, settleMany)
	if err != nil {
		return err
	}
	for _, t := range tenants {
		if err := d.Settle(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

func (d *Decisions) forget(ctx context.Context) error {
	before := d.now().Add(-feedKeeps)
	if err := d.repo.ForgetChanges(ctx, before); err != nil {
		return err
	}
	return d.engine.ForgetChanges(ctx, before)
}

// Explain is the path to an answer: everything that speaks for it or against it.
type Explain struct {
	Allowed bool
	Chain   []string
	Steps   []models.Step
	Version int64
}

// Explain tells why the subject may do the action, or not.
func (d *Decisions) Explain(ctx context.Context, r Request) (out Explain, err error) {
	err = d.steady(ctx, r, func(head repository.Head, at models.Moment) error {
		f, err := d.facts(ctx, r.Tenant, head, r.Questions[0])
		if err != nil {
			return err
		}
		allowed, steps := models.Decide(f, r.Questions[0].Action, at)
		out = Explain{allowed && !head.Deleted, f.Chain, steps, head.Version}
		return nil
	})
	return out, err
}

// steady has answer look at the tenant as it is in one state: it is called again if
// permissions changed while it looked.
func (d *Decisions) steady(ctx context.Context, r Request, answer func(head repository.Head, at models.Moment) error) error {
	at := models.Moment{Now: r.Time, IP: r.IP}
	if r.Time.IsZero() {
		at.Now = d.now()
	}
	for range tries {
		head, err := d.head(ctx, r, at.Now)
		if err != nil {
			return err
		}
		if err := answer(head, at); err != nil {
			return err
		}
		now, err := d.repo.Version(ctx, r.Tenant)
		if err != nil {
			return err
		}
		if now == head.Version {
			return nil
		}
	}
	return errs.ErrUnavailable.Saying("Permissions change too fast.")
}

func (d *Decisions) facts(ctx context.Context, t id.TenantID, head repository.Head, q Question) (models.Facts, error) {
	return d.repo.Facts(ctx, t, q.Subject, models.Chain(t, q.Object, head.Places, q.Parents), q.Role)
}

// Access is what one user may do on an object.
type Access struct {
	Subject, Action string
	Via             []models.Step
}

// Users lists who may do at least the action on the object, after the given user, with
// the strongest action of each and what gives it.
func (d *Decisions) Users(ctx context.Context, r Request, after string, limit int) (out []Access, err error) {
	q := r.Questions[0]
	err = d.steady(ctx, r, func(head repository.Head, at models.Moment) error {
		if out = []Access{}; head.Deleted {
			return nil
		}
		users, err := d.engine.Users(ctx, r.Tenant, at, q.Action, q.Object, query(r.Tenant, head, q).Extra)
		if err != nil {
			return errs.ErrUnavailable.Because(err)
		}
		if users, err = d.repo.Open(ctx, r.Tenant, users, at.Now); err != nil {
			return err
		}
		from, found := slices.BinarySearch(users, after)
		if found {
			from++
		}
		for _, u := range users[from:min(len(users), from+limit)] {
			a, err := d.access(ctx, r.Tenant, head, Question{Subject: u, Object: q.Object}, at)
			if err != nil {
				return err
			}
			out = append(out, a)
		}
		return nil
	})
	return out, err
}

func (d *Decisions) access(ctx context.Context, t id.TenantID, head repository.Head, q Question, at models.Moment) (Access, error) {
	a := Access{Subject: q.Subject, Via: []models.Step{}}
	f, err := d.facts(ctx, t, head, q)
	if err != nil {
		return a, err
	}
	for _, action := range permissionapi.Actions {
		allowed, steps := models.Decide(f, action, at)
		if !allowed {
			continue
		}
		a.Action = action
		a.Via = slices.DeleteFunc(steps, func(s models.Step) bool { return !s.Decides })
	}
	return a, nil
}
