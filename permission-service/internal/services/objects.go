package services

import (
	"context"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"
	"github.com/pyairtable/pyairtable/permission-service/internal/repository"
)

// perLook is how many objects are looked at in one go, at most, when they are listed.
const perLook = 2000

// Objects lists up to limit objects of the kind that the subject may do the action on,
// after the given one, in the order of their names. It decides by the tables, as Explain
// does: OpenFGA finds all objects before it shows the first, one check each, and gives
// what it has when its time is over.
func (d *Decisions) Objects(ctx context.Context, r Request, kind, after string, limit int) (list []string, err error) {
	q := r.Questions[0]
	r.Questions = []Question{{Subject: q.Subject, Object: models.TenantObject(r.Tenant)}}
	err = d.steady(ctx, r, func(head repository.Head, at models.Moment) error {
		if list = []string{}; head.Deleted || head.Standing(q.Subject, q.Role).Shut() != "" {
			return nil
		}
		holdings, err := d.repo.Holdings(ctx, r.Tenant, q.Subject, q.Role)
		if err != nil {
			return err
		}
		from, look := max(after, kind+":"), min(limit, perLook)
		for len(list) < limit {
			some, places, err := d.repo.Known(ctx, r.Tenant, kind, holdings.Subjects, from, look)
			if err != nil || len(some) == 0 {
				return err
			}
			list = append(list, sift(holdings, places, q.Action, some, at)...)
			from, look = some[len(some)-1], min(2*look, perLook)
		}
		list = list[:limit]
		return nil
	})
	return list, err
}

// sift leaves of the objects those on which the action is allowed.
func sift(h repository.Holdings, places map[string]models.Place, action string, objects []string, at models.Moment) []string {
	var out []string
	for _, o := range objects {
		f := h.Facts
		f.Chain = models.Chain(f.Tenant, o, places, nil)
		for _, in := range f.Chain {
			f.Grants = append(f.Grants, h.On[in]...)
		}
		if allowed, _ := models.Decide(f, action, at); allowed {
			out = append(out, o)
		}
	}
	return out
}
