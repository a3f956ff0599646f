package handlers

import (
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
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
