package relations

import (
	"time"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"
)

// never is the end of what does not end.
var never = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// UserOf is how tuples name a subject: a group's members, or the user himself.
func UserOf(subject string) string {
	if kind, _ := models.Split(subject); kind == models.Group {
		return subject + "#member"
	}
	return subject
}

// OfGrants are the tuples of all grants that one subject has on one object. Grants that
// cover the same action become one tuple, since OpenFGA keeps one: it holds where and as
// long as any of them does.
func OfGrants(object, subject string, grants []models.Grant) []Tuple {
	var out []Tuple
	kind, _ := models.Split(object)
	for _, effect := range []bool{false, true} {
		for _, action := range models.ActionsOn(kind) {
			windows, covered, always := map[string]time.Time{}, false, false
			for _, g := range grants {
				if g.Deny != effect || !models.Covers(g.Actions, g.Deny, action) {
					continue
				}
				covered = true
				always = always || g.ExpiresAt.IsZero() && len(g.IPRanges) == 0
				networks := g.IPRanges
				if len(networks) == 0 {
					networks = []string{""}
				}
				end := g.ExpiresAt
				if end.IsZero() {
					end = never
				}
				for _, n := range networks {
					if end.After(windows[n]) {
						windows[n] = end
					}
				}
			}
			if !covered {
				continue
			}
			if always {
				windows = nil
			}
			relation := Allow(action)
			if effect {
				relation = Deny(action)
			}
			out = append(out, Tuple{Object: object, Relation: relation, User: UserOf(subject), Windows: windows})
		}
	}
	return out
}
