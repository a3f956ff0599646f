package local

import (
	"context"
	"strings"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// EnterPerson lets the tenant's bases name the person, under a chosen id. Another with
// the id is repository.ErrDuplicateID.
func (s *Store) EnterPerson(ctx context.Context, tenant id.TenantID, p models.Person) error {
	return s.repo.EnterPerson(ctx, tenant, p)
}

// resolvePeople finds the people whom the job's cells name. Several with one name
// are nobody: which of them is meant cannot be told.
func (w *writing) resolvePeople(ctx context.Context) error {
	var ids []models.PersonID
	var emails, names []string
	for _, it := range w.items {
		for _, c := range it.writes {
			for _, ref := range c.People {
				switch {
				case ref.ID != "":
					ids = append(ids, ref.ID)
				case ref.Email != "":
					emails = append(emails, strings.ToLower(ref.Email))
				default:
					ids, emails, names = append(ids, models.PersonID(ref.Text)), append(emails, strings.ToLower(ref.Text)), append(names, ref.Text)
				}
			}
		}
	}
	if len(ids) == 0 && len(emails) == 0 {
		return nil
	}
	people, err := w.tx.PeopleCalled(ctx, w.tenant(), ids, emails, names)
	if err != nil {
		return err
	}
	find := func(ref models.PersonRef) (models.PersonID, bool) { return meant(people, ref) }
	for i := range w.items {
		for k := range w.items[i].writes {
			if c := &w.items[i].writes[k]; len(c.People) > 0 {
				if err := c.Resolve(find); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// meant finds whom the reference means: an id before an address before a name.
func meant(people []models.Person, ref models.PersonRef) (models.PersonID, bool) {
	for _, is := range []func(models.Person) bool{
		func(p models.Person) bool { return p.ID == ref.ID || string(p.ID) == ref.Text },
		func(p models.Person) bool {
			return p.Email != "" && (strings.EqualFold(p.Email, ref.Email) || strings.EqualFold(p.Email, ref.Text))
		},
		func(p models.Person) bool { return ref.Text != "" && p.Name == ref.Text },
	} {
		var found models.PersonID
		hits := 0
		for _, p := range people {
			if is(p) {
				found = p.ID
				hits++
			}
		}
		if hits > 0 {
			return found, hits == 1
		}
	}
	return "", false
}
