package handlers

import (
	"strconv"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/page"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
)

// view renders what callers see.
type view struct{ retention time.Duration }

func (v view) standing(s models.Standing) workspaceapi.Standing {
	out := workspaceapi.Standing{
		Status: s.Status(), ArchivedAt: s.ArchivedAt, TrashedAt: s.TrashedAt, Version: s.Version, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
	}
	if !s.TrashedAt.IsZero() {
		out.PurgeAt = s.TrashedAt.Add(v.retention)
	}
	return out
}

func (v view) workspace(w models.Workspace) workspaceapi.Workspace {
	return workspaceapi.Workspace{
		ID: w.ID.String(), Name: w.Name, Description: w.Description, CreatedBy: w.CreatedBy.String(), Standing: v.standing(w.Standing),
	}
}

func (v view) project(p models.Project) workspaceapi.Project {
	return workspaceapi.Project{
		ID: p.ID.String(), WorkspaceID: p.Workspace.String(), Name: p.Name, Description: p.Description, CreatedBy: p.CreatedBy.String(),
		Standing: v.standing(p.Standing),
	}
}

func (v view) base(b models.Base) workspaceapi.Base {
	return workspaceapi.Base{
		ID: b.ID, ConnectionID: b.Connection, WorkspaceID: b.Workspace.String(), ProjectID: b.Project.String(), Name: b.Name,
		Description: b.Description, Tags: b.Tags, OwnerID: b.Owner.String(), LinkedBy: b.LinkedBy.String(), Standing: v.standing(b.Standing),
	}
}

func note(n models.FieldNote) workspaceapi.FieldNote {
	return workspaceapi.FieldNote{TableID: n.Table, FieldID: n.Field, Text: n.Text, UpdatedBy: n.UpdatedBy.String(), UpdatedAt: n.UpdatedAt}
}

// parse reads an id. What is none names nothing.
func parse[ID any, P interface {
	*ID
	UnmarshalText(text []byte) error
}](text string) (ref ID, err error) {
	if err := P(&ref).UnmarshalText([]byte(text)); err != nil || text == "" {
		return ref, errs.ErrNotFound.Because(err)
	}
	return ref, nil
}

// optional is parse for what may be absent.
func optional[ID any, P interface {
	*ID
	UnmarshalText(text []byte) error
}](text string) (ref ID, err error) {
	if text == "" {
		return ref, nil
	}
	return parse[ID, P](text)
}

func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// match reads If-Match (RFC 9110, section 13.1.1). A weak tag, or one that is none of
// ours, matches nothing.
func match(h workspaceapi.Precondition) models.Match {
	m := models.Match{Given: strings.TrimSpace(h.IfMatch) != ""}
	for tag := range strings.SplitSeq(h.IfMatch, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" {
			m.Any = true
		}
		if v, err := strconv.ParseInt(strings.Trim(tag, `"`), 10, 64); err == nil && tag == etag(v) {
			m.Versions = append(m.Versions, v)
		}
	}
	return m
}

// list answers one page: read gets one item more than asked for, to know whether there is
// another page; key is the cursor after an item.
func list[K, M, A any](q api.PageQuery, of []any, read func(after K, limit int) ([]M, error), key func(M) K, render func(M) A) (api.Page[A], error) {
	filters := page.Filters(of...)
	var after K
	if q.Cursor != "" {
		if err := page.Decode(q.Cursor, filters, &after); err != nil {
			return api.Page[A]{}, err
		}
	}
	items, err := read(after, q.Limit+1)
	if err != nil {
		return api.Page[A]{}, err
	}
	out := api.Page[A]{Items: []A{}}
	if len(items) > q.Limit {
		items = items[:q.Limit]
		out.NextCursor = page.Encode(filters, key(items[q.Limit-1]))
	}
	for _, item := range items {
		out.Items = append(out.Items, render(item))
	}
	return out, nil
}
