package policy

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"

	"github.com/maypok86/otter/v2"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/permit"
)

// Views tells of every view of a base, by id.
type Views func(ctx context.Context, tenant id.TenantID, base models.BaseID) (map[string]models.View, error)

// Guard decides what callers may do with bases and what they see of them.
type Guard struct {
	permits permit.Authority
	views   Views // of local bases
	schemas *otter.Cache[[sha256.Size]byte, *schema]
}

// keptSchemas is how many schemas are kept as read.
const keptSchemas = 64

// New returns a Guard that asks permits. views tells of the views of local bases.
func New(permits permit.Authority, views Views) *Guard {
	return &Guard{permits: permits, views: views, schemas: otter.Must(&otter.Options[[sha256.Size]byte, *schema]{MaximumSize: keptSchemas})}
}

// Door is a way to a base.
type Door struct {
	upstream.Upstream
	Local bool // to the base store
}

// actions is what a caller must be allowed to make the call, on the call's table or, if
// it has none, on its base.
var actions = map[upstream.Op]string{
	upstream.BaseSchema: permissionapi.Read, upstream.ListRecords: permissionapi.Read, upstream.GetRecord: permissionapi.Read,
	upstream.ListComments: permissionapi.Read, upstream.ListViews: permissionapi.Read, upstream.FetchView: permissionapi.Read,
	upstream.ListWebhooks: permissionapi.Read, upstream.ListPayloads: permissionapi.Read,
	upstream.CreateComment: permissionapi.Comment, upstream.UpdateComment: permissionapi.Comment, upstream.DeleteComment: permissionapi.Comment,
	upstream.CreateRecords: permissionapi.Edit, upstream.UpdateRecords: permissionapi.Edit, upstream.DeleteRecords: permissionapi.Edit,
	upstream.UploadAttachment: permissionapi.Edit,
	upstream.CreateTable:      permissionapi.Create, upstream.UpdateTable: permissionapi.Create, upstream.CreateField: permissionapi.Create,
	upstream.UpdateField: permissionapi.Create, upstream.DeleteView: permissionapi.Create,
	upstream.CreateWebhook: permissionapi.Create, upstream.DeleteWebhook: permissionapi.Create, upstream.EnableWebhook: permissionapi.Create,
	upstream.RefreshWebhook: permissionapi.Create,
}

// ActionOf is what a caller must be allowed to make the call. Who a base is shared with
// is told to those who may share it; a push into a sync table is an edit.
func ActionOf(c upstream.Call) string {
	switch action, known := actions[c.Op]; {
	case known:
		return action
	case c.Method == http.MethodGet:
		return permissionapi.Share
	case c.Op == upstream.Other:
		return permissionapi.Edit
	}
	return permissionapi.Manage
}

// Admit returns what answers the call for the caller: door itself, if he sees all of the
// base. The error is airtableapi.ErrBaseNotFound if he sees nothing of it,
// errs.ErrUnavailable if that cannot be found out, or what Airtable says of a call that is
// not permitted, a *models.Error.
func (g *Guard) Admit(ctx context.Context, who auth.Principal, door Door, c upstream.Call) (upstream.Upstream, error) {
	action := ActionOf(c)
	l, err := g.levels(ctx, who, c.Base, action)
	if err != nil {
		return nil, err
	}
	switch {
	case !l.seen():
		return nil, airtableapi.ErrBaseNotFound
	case len(l.policy.Tables) == 0 && l.even():
		if !l.base[action] {
			return nil, models.ErrNotPermitted
		}
		return door.Upstream, nil
	}
	s, err := g.sight(ctx, who, door, c, l)
	if err != nil {
		return nil, err
	}
	v := &seer{up: door.Upstream, local: door.Local, sight: s}
	return v, v.admit(c, l, action)
}

// Look returns what the caller sees of the base, after it has been found that he may do
// the action on the table. The errors are those of Admit, and airtableapi.ErrTableNotFound.
func (g *Guard) Look(ctx context.Context, who auth.Principal, door Door, action, base, table string) (*Sight, error) {
	l, err := g.levels(ctx, who, base, action)
	if err != nil {
		return nil, err
	}
	switch {
	case !l.seen():
		return nil, airtableapi.ErrBaseNotFound
	case len(l.policy.Tables) == 0 && l.even():
		if !l.base[action] {
			return nil, airtableapi.ErrNotPermitted
		}
		return nil, nil
	}
	s, err := g.sight(ctx, who, door, upstream.Call{Base: base, Caller: upstream.Caller{Tenant: who.TenantID, User: who.UserID}}, l)
	if err != nil {
		return nil, err
	}
	t := s.find(table)
	switch {
	case t == nil:
		return nil, airtableapi.ErrTableNotFound
	case !l.may(action, t.id), action != permissionapi.Read && s.masks:
		return nil, airtableapi.ErrNotPermitted
	}
	return s, nil
}

// levels is what a caller may do in a base.
type levels struct {
	policy permissionapi.Policy
	base   map[string]bool            // by action
	tables map[string]map[string]bool // by id and action, of the tables with grants of their own
}

// levels asks for read, edit and the action, on the base and on each of its tables that
// has grants of its own.
func (g *Guard) levels(ctx context.Context, who auth.Principal, base, action string) (levels, error) {
	l := levels{base: map[string]bool{}, tables: map[string]map[string]bool{}}
	var err error
	if l.policy, err = g.permits.Policy(ctx, who, base); err != nil {
		return l, undecided(err)
	}
	if len(l.policy.Granted) == 0 {
		err := g.permits.Check(ctx, who, action, permit.Base(who.TenantID, base))
		l.base[permissionapi.Edit] = true // no table differs from another; the action counts
		l.base[permissionapi.Read] = err == nil || errors.Is(err, errs.ErrForbidden)
		l.base[action] = err == nil
		if err != nil && !errors.Is(err, errs.ErrForbidden) && !errors.Is(err, errs.ErrNotFound) {
			return l, undecided(err)
		}
		return l, nil
	}
	objects := []permit.Object{permit.Base(who.TenantID, base)}
	for _, t := range l.policy.Granted {
		objects = append(objects, permit.Table(who.TenantID, base, t))
		l.tables[t] = map[string]bool{}
	}
	for _, a := range []string{permissionapi.Read, permissionapi.Edit, action} {
		if _, asked := l.base[a]; asked {
			continue
		}
		allowed, err := g.permits.Filter(ctx, who, a, objects)
		if err != nil {
			return l, undecided(err)
		}
		l.base[a] = allowed[0]
		for i, t := range l.policy.Granted {
			l.tables[t][a] = allowed[i+1]
		}
	}
	return l, nil
}

// seen reports whether anything of the base may be read.
func (l levels) seen() bool {
	if l.base[permissionapi.Read] {
		return true
	}
	for _, may := range l.tables {
		if may[permissionapi.Read] {
			return true
		}
	}
	return false
}

// even reports whether the same is allowed on all tables.
func (l levels) even() bool {
	for _, may := range l.tables {
		for action, allowed := range may {
			if allowed != l.base[action] {
				return false
			}
		}
	}
	return true
}

// may tells of a table by id.
func (l levels) may(action, table string) bool {
	if own, ok := l.tables[table]; ok {
		return own[action]
	}
	return l.base[action]
}

// undecided is what every failure to decide is.
func undecided(err error) error {
	if errors.Is(err, errs.ErrUnavailable) {
		return err
	}
	return errs.ErrUnavailable.Because(err)
}

// sight reads the base's schema and applies the caller's policy to it.
func (g *Guard) sight(ctx context.Context, who auth.Principal, door Door, c upstream.Call, l levels) (*Sight, error) {
	s, err := g.schema(ctx, door, c)
	if err != nil {
		return nil, err
	}
	var looks func(string) ([]string, bool)
	if door.Local {
		views, err := g.views(ctx, who.TenantID, models.BaseID(c.Base))
		if err != nil {
			return nil, undecided(err)
		}
		looks = func(id string) ([]string, bool) {
			v, known := views[id]
			return fieldsOf(v), known
		}
	}
	return compile(s, l.policy, models.UserIDOf(who.UserID),
		func(t string) bool { return l.may(permissionapi.Read, t) },
		func(t string) bool { return l.may(permissionapi.Edit, t) }, looks), nil
}

// schema reads the base's schema by way of the door, and takes it apart once.
func (g *Guard) schema(ctx context.Context, door Door, c upstream.Call) (*schema, error) {
	answer, err := door.Do(ctx, upstream.Call{
		Op: upstream.BaseSchema, Caller: c.Caller, Method: http.MethodGet, Header: http.Header{},
		Path: v0.Prefix + "/meta/bases/" + c.Base + "/tables", Base: c.Base,
	})
	switch {
	case err != nil:
		return nil, undecided(err)
	case answer.Status == http.StatusNotFound || answer.Status == http.StatusForbidden:
		return nil, airtableapi.ErrBaseNotFound
	case answer.Status != http.StatusOK:
		return nil, undecided(fmt.Errorf("the schema call answered %d", answer.Status))
	}
	key := sha256.Sum256(answer.Body)
	if s, ok := g.schemas.GetIfPresent(key); ok {
		return s, nil
	}
	s, err := readSchema(answer)
	if err != nil {
		return nil, undecided(err)
	}
	g.schemas.Set(key, s)
	return s, nil
}
