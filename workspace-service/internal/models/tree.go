package models

import (
	"slices"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/etag"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// The kinds of what is made here.
type (
	workspace struct{}
	project   struct{}
)

// The ids of what is made here. Bases have Airtable's.
type (
	WorkspaceID = id.ID[workspace]
	ProjectID   = id.ID[project]
)

// Workspace holds projects and bases.
type Workspace struct {
	Tenant            id.TenantID
	ID                WorkspaceID
	Name, Description string
	Position          int64 // among the tenant's
	CreatedBy         id.UserID
	Standing
}

// NewWorkspace is a workspace that the user makes.
func NewWorkspace(tenant id.TenantID, user id.UserID, name, description string, now time.Time) (Workspace, error) {
	name, err := named(name)
	return Workspace{
		Tenant: tenant, ID: id.New[workspace](), Name: name, Description: description, CreatedBy: user, Standing: begin(now),
	}, err
}

func begin(now time.Time) Standing { return Standing{Version: 1, CreatedAt: now, UpdatedAt: now} }

func named(name string) (string, error) {
	name = strings.TrimSpace(name)
	if name == "" {
		return "", workspaceapi.ErrBlankName
	}
	return name, nil
}

// Naming is a change of name and description; nil leaves what is there.
type Naming struct{ Name, Description *string }

// Apply changes what it names, if match holds, and returns the names of what changed.
func (n Naming) Apply(s *Standing, name, description *string, match etag.Match, now time.Time) ([]string, error) {
	if err := s.Open(); err != nil {
		return nil, err
	}
	if !match.Holds(s.Version) {
		return nil, errs.ErrPreconditionFailed
	}
	var changed []string
	if n.Name != nil {
		to, err := named(*n.Name)
		if err != nil {
			return nil, err
		}
		changed = edit(changed, "name", name, to)
	}
	if n.Description != nil {
		changed = edit(changed, "description", description, *n.Description)
	}
	if len(changed) > 0 {
		s.Touch(now)
	}
	return changed, nil
}

func edit[T comparable](changed []string, name string, at *T, to T) []string {
	if *at == to {
		return changed
	}
	*at = to
	return append(changed, name)
}

// Project orders bases of its workspace.
type Project struct {
	Tenant            id.TenantID
	ID                ProjectID
	Workspace         WorkspaceID
	Name, Description string
	Position          int64 // in the workspace
	CreatedBy         id.UserID
	Standing
}

// NewProject is a project that the user makes in the workspace.
func NewProject(tenant id.TenantID, w WorkspaceID, user id.UserID, name, description string, now time.Time) (Project, error) {
	name, err := named(name)
	return Project{
		Tenant: tenant, ID: id.New[project](), Workspace: w, Name: name, Description: description, CreatedBy: user, Standing: begin(now),
	}, err
}

// Base is a base in a workspace, or one that was in one before.
type Base struct {
	Tenant            id.TenantID
	ID                string
	Connection        string
	Workspace         WorkspaceID // zero: in none
	Project           ProjectID
	Name, Description string
	Tags              []string
	Owner, LinkedBy   id.UserID
	Position          int64 // in the workspace
	Standing
}

// NewBase is a base that the user links into the workspace.
func NewBase(tenant id.TenantID, w WorkspaceID, p ProjectID, base, connection, name string, user id.UserID, now time.Time) Base {
	return Base{
		Tenant: tenant, ID: base, Connection: connection, Workspace: w, Project: p, Name: name, Tags: []string{},
		Owner: user, LinkedBy: user, Standing: begin(now),
	}
}

// Unlink takes the base out of its workspace.
func (b *Base) Unlink(now time.Time) {
	b.Workspace, b.Project, b.Position = WorkspaceID{}, ProjectID{}, 0
	b.ArchivedAt, b.TrashedAt = time.Time{}, time.Time{}
	b.Touch(now)
}

// Saying is a change of what is said of a base; nil leaves what is there.
type Saying struct {
	Naming
	Tags  *[]string
	Owner *id.UserID
}

// Apply changes what it names, if match holds, and returns the names of what changed.
func (c Saying) Apply(b *Base, match etag.Match, now time.Time) ([]string, error) {
	before := b.Version
	changed, err := c.Naming.Apply(&b.Standing, &b.Name, &b.Description, match, now)
	if err != nil {
		return nil, err
	}
	if c.Tags != nil {
		tags, err := tagged(*c.Tags)
		if err != nil {
			return nil, err
		}
		if !slices.Equal(tags, b.Tags) {
			b.Tags = tags
			changed = append(changed, "tags")
		}
	}
	if c.Owner != nil {
		changed = edit(changed, "owner_id", &b.Owner, *c.Owner)
	}
	if len(changed) > 0 && b.Version == before {
		b.Touch(now)
	}
	return changed, nil
}

const maxTag = 100

// tagged is the tags without the spaces around them and without repetitions, in their
// order.
func tagged(tags []string) ([]string, error) {
	out := []string{}
	for _, t := range tags {
		t = strings.TrimSpace(t)
		if t == "" || len(t) > maxTag {
			return nil, workspaceapi.ErrBadTags
		}
		if !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out, nil
}

// FieldNote documents a field of a base.
type FieldNote struct {
	Table, Field, Text string
	UpdatedBy          id.UserID
	UpdatedAt          time.Time
}

// Favourite is what a user has marked for himself.
type Favourite struct {
	Kind, Object, Name string
	Workspace          WorkspaceID // of a workspace or project
	MarkedAt           time.Time
}
