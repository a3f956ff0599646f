package models

import (
	"slices"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/etag"
	"github.com/pyairtable/pyairtable/pkg/id"
)

type template struct{}

// TemplateID names a template of a tenant.
type TemplateID = id.ID[template]

// Template is a base to begin with, that a member published.
type Template struct {
	Tenant            id.TenantID
	ID                TemplateID
	Base              string // that it is published from
	Name, Description string
	Category          string
	Tags              []string
	Icon              string
	SkipRecords       bool
	Edition           int64      // how often it was published
	Content           SnapshotID // of the edition that is used; zero: none yet
	Next              SnapshotID // of the edition that is being published; zero: none is
	Fault             Fault      // why the newest edition came to nothing
	Records           int64
	Tables            []airtableapi.SnapshotTable
	PublishedAt       time.Time
	CreatedBy         id.UserID
	Version           int64
	CreatedAt         time.Time
	UpdatedAt         time.Time
}

// NewTemplate is a template that the user publishes from the base, its content being
// taken.
func NewTemplate(tenant id.TenantID, user id.UserID, base string, skipRecords bool, now time.Time) Template {
	return Template{
		Tenant: tenant, ID: id.New[template](), Base: base, Tags: []string{}, SkipRecords: skipRecords, Next: NewContent(), CreatedBy: user,
		Version: 1, CreatedAt: now, UpdatedAt: now,
	}
}

// NewContent names the content of an edition.
func NewContent() SnapshotID { return id.New[snapshot]() }

// Status is that of the newest edition, as in workspaceapi.
func (t *Template) Status() string {
	switch {
	case !t.Next.IsZero():
		return workspaceapi.TemplatePublishing
	case t.Fault.Code != "":
		return workspaceapi.TemplateFailed
	}
	return workspaceapi.TemplateReady
}

func (t *Template) touch(now time.Time) {
	t.Version++
	t.UpdatedAt = now
}

// TemplateSaying is a change of what is said of a template; nil leaves what is there.
type TemplateSaying struct {
	Name, Description, Category *string
	Tags                        *[]string
	Icon                        *string
}

// Apply changes what it names, if match holds, and returns the names of what changed.
func (c TemplateSaying) Apply(t *Template, match etag.Match, now time.Time) (changed []string, err error) {
	if !match.Holds(t.Version) {
		return nil, errs.ErrPreconditionFailed
	}
	if c.Name != nil {
		name, err := named(*c.Name)
		if err != nil {
			return nil, err
		}
		changed = edit(changed, "name", &t.Name, name)
	}
	if c.Description != nil {
		changed = edit(changed, "description", &t.Description, *c.Description)
	}
	if c.Category != nil {
		changed = edit(changed, "category", &t.Category, strings.TrimSpace(*c.Category))
	}
	if c.Tags != nil {
		tags, err := tagged(*c.Tags)
		if err != nil {
			return nil, err
		}
		if !slices.Equal(tags, t.Tags) {
			t.Tags, changed = tags, append(changed, "tags")
		}
	}
	if c.Icon != nil {
		changed = edit(changed, "icon", &t.Icon, strings.TrimSpace(*c.Icon))
	}
	if len(changed) > 0 {
		t.touch(now)
	}
	return changed, nil
}

// Publish begins an edition. It returns workspaceapi.ErrTemplateBusy while one is being
// published.
func (t *Template) Publish(now time.Time) error {
	if !t.Next.IsZero() {
		return workspaceapi.ErrTemplateBusy
	}
	t.Next, t.Fault = NewContent(), Fault{}
	t.touch(now)
	return nil
}

// Published makes the edition that was being published the one that is used, and returns
// the content of the one before, zero for none.
func (t *Template) Published(kept airtableapi.BaseSnapshot, now time.Time) SnapshotID {
	before := t.Content
	t.Content, t.Next, t.Fault = t.Next, SnapshotID{}, Fault{}
	t.Edition++
	t.Records, t.Tables, t.PublishedAt = kept.Records, kept.Tables, kept.TakenAt
	t.touch(now)
	return before
}

// Failed ends the edition that was being published: the one before is used on.
func (t *Template) Failed(why Fault, now time.Time) {
	t.Next, t.Fault = SnapshotID{}, why
	t.touch(now)
}
