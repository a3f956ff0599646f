package services

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"

	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/etag"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/rpc"
	"github.com/pyairtable/pyairtable/workspace-service/internal/gallery"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
	"github.com/pyairtable/pyairtable/workspace-service/internal/repository"
)

// mostTemplates is how many a tenant may have of its own.
const mostTemplates = 500

// Templates publishes bases as templates and makes bases of templates. It works with what
// takes and restores snapshots.
type Templates struct {
	*Snapshots
	repo *repository.Templates
}

// NewTemplates returns the service on the repository; s keeps what templates hold.
func NewTemplates(repo *repository.Templates, s *Snapshots) *Templates { return &Templates{s, repo} }

// countMade registers the metric of bases that were made of templates: of each that comes
// with the product, and of all others.
func countMade(r prometheus.Registerer, g *gallery.Gallery) *prometheus.CounterVec {
	made := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "workspace_template_bases_total", Help: "Bases made of templates, or not made, by template and outcome.",
	}, []string{"template", "outcome"})
	for _, seed := range g.Seeds() {
		made.WithLabelValues(seed.Key, airtableapi.RestoreDone)
	}
	made.WithLabelValues(ownTemplate, airtableapi.RestoreDone)
	r.MustRegister(made)
	return made
}

// ownTemplate is the metric's label of templates that do not come with the product.
const ownTemplate = "own"

// count counts a restore that has ended, if it is of a template.
func (s *Snapshots) count(n models.Restoration) {
	if n.Template == "" || n.Status == airtableapi.RestoreRunning {
		return
	}
	label := ownTemplate
	if _, found := s.gallery.Seed(n.Template); found {
		label = n.Template
	}
	s.made.WithLabelValues(label, n.Status).Inc()
}

// Template is one of a tenant's own, or one that comes with the product.
type Template struct {
	models.Template
	Seed     *gallery.Seed // nil: a tenant's own
	Editable bool          // by the caller
}

// Key names the template.
func (t Template) Key() string {
	if t.Seed != nil {
		return t.Seed.Key
	}
	return t.ID.String()
}

func seenBy(who auth.Principal, t models.Template) Template {
	return Template{Template: t, Editable: who.IsAdmin() || t.CreatedBy == who.UserID}
}

// Create publishes t's base as a template that c speaks of.
func (s *Templates) Create(ctx context.Context, who auth.Principal, base string, skipRecords bool, c models.TemplateSaying) (Template, error) {
	if who.IsGuest() {
		return Template{}, workspaceapi.ErrTemplateGuests
	}
	if err := s.mayKeep(ctx, who, base); err != nil {
		return Template{}, err
	}
	t := models.NewTemplate(who.TenantID, who.UserID, base, skipRecords, s.tree.now())
	if _, err := c.Apply(&t, etag.Match{}, t.CreatedAt); err != nil {
		return Template{}, err
	}
	t.Version = 1
	made := templateEvent(ctx, workspaceapi.TemplateCreated, t, nil, who.UserID)
	return seenBy(who, t), s.repo.CreateTemplate(ctx, t, mostTemplates, made, s.followEdition(t, who.UserID))
}

func templateEvent(ctx context.Context, kind events.Type[workspaceapi.TemplateChanged], t models.Template, changed []string, actor id.UserID) events.Event {
	return kind.New(ctx, t.Tenant, t.ID.String(), t.Version, workspaceapi.TemplateChanged{
		TemplateID: t.ID.String(), TenantID: t.Tenant.String(), BaseID: t.Base, Name: t.Name, Edition: t.Edition,
		Changed: append([]string{}, changed...), ActorID: actor.String(),
	})
}

// Template returns a template that the caller may see, by its id or key.
func (s *Templates) Template(ctx context.Context, who auth.Principal, key string) (Template, error) {
	if seed, found := s.gallery.Seed(key); found {
		return Template{Seed: &seed}, nil
	}
	own, err := parse[models.TemplateID](key)
	if err == nil && who.IsGuest() {
		err = errs.ErrNotFound
	}
	if err != nil {
		return Template{}, err
	}
	t, err := s.repo.Template(ctx, who.TenantID, own)
	return seenBy(who, t), err
}

// List is a page of the templates that the filter selects, behind the one by the key
// after: those that come with the product, then the tenant's own. origin is as in
// workspaceapi, "" for both.
func (s *Templates) List(ctx context.Context, who auth.Principal, f repository.TemplateFilter, origin, after string, limit int) ([]Template, error) {
	var list []Template
	before, _ := parse[models.TemplateID](after) // a key of the gallery is behind none
	if origin != "own" && before.IsZero() {
		for _, seed := range s.gallery.Seeds() {
			if seed.Key > after && selects(f, seed) {
				list = append(list, Template{Seed: &seed})
			}
		}
	}
	if origin == "built_in" || who.IsGuest() || len(list) >= limit {
		return list[:min(limit, len(list))], nil
	}
	own, err := s.repo.Templates(ctx, who.TenantID, f, before, limit-len(list))
	for _, t := range own {
		list = append(list, seenBy(who, t))
	}
	return list, err
}

// selects is what the repository's statement asks of a tenant's own.
func selects(f repository.TemplateFilter, s gallery.Seed) bool {
	text := strings.ToLower(strings.Join(append([]string{s.Name, s.Description, s.Category}, s.Tags...), "\n"))
	return (f.Category == "" || s.Category == f.Category) && (f.Tag == "" || slices.Contains(s.Tags, f.Tag)) &&
		strings.Contains(text, strings.ToLower(f.Text))
}

// mine is a template that the caller may change.
func (s *Templates) mine(ctx context.Context, who auth.Principal, key string) (models.Template, error) {
	t, err := s.Template(ctx, who, key)
	switch {
	case err != nil:
		return t.Template, err
	case t.Seed != nil:
		return t.Template, workspaceapi.ErrTemplateBuiltIn
	case !t.Editable:
		return t.Template, workspaceapi.ErrTemplateOthers
	}
	return t.Template, nil
}

// Update changes what is said of a template, if match holds.
func (s *Templates) Update(ctx context.Context, who auth.Principal, key string, match etag.Match, c models.TemplateSaying) (Template, error) {
	t, err := s.mine(ctx, who, key)
	if err != nil {
		return Template{}, err
	}
	t, err = s.repo.ChangeTemplate(ctx, who.TenantID, t.ID, func(t *models.Template) ([]events.Event, repository.Enqueue, error) {
		changed, err := c.Apply(t, match, s.tree.now())
		if err != nil || len(changed) == 0 {
			return nil, nil, err
		}
		return []events.Event{templateEvent(ctx, workspaceapi.TemplateUpdated, *t, changed, who.UserID)}, nil, nil
	})
	return seenBy(who, t), err
}

// Publish begins another edition of a template, of its base as it is now.
func (s *Templates) Publish(ctx context.Context, who auth.Principal, key string) (Template, error) {
	t, err := s.mine(ctx, who, key)
	if err == nil {
		err = s.mayKeep(ctx, who, t.Base)
	}
	if err != nil {
		return Template{}, err
	}
	t, err = s.repo.ChangeTemplate(ctx, who.TenantID, t.ID, func(t *models.Template) ([]events.Event, repository.Enqueue, error) {
		if err := t.Publish(s.tree.now()); err != nil {
			return nil, nil, err
		}
		return nil, s.followEdition(*t, who.UserID), nil
	})
	return seenBy(who, t), err
}

// Delete removes a template with its content.
func (s *Templates) Delete(ctx context.Context, who auth.Principal, key string) error {
	t, err := s.mine(ctx, who, key)
	if err != nil {
		return err
	}
	return s.repo.DeleteTemplate(ctx, who.TenantID, t.ID, func(t models.Template) events.Event {
		t.Version++
		return templateEvent(ctx, workspaceapi.TemplateDeleted, t, nil, who.UserID)
	}, func(ctx context.Context, tx pgx.Tx, t models.Template) error {
		for _, content := range []models.SnapshotID{t.Content, t.Next} {
			if err := s.dropContent(t.Tenant, content)(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
}

// Use begins to make a base of a template. n says where it goes.
func (s *Templates) Use(ctx context.Context, who auth.Principal, key string, n models.Restoration) (models.Restoration, error) {
	t, err := s.Template(ctx, who, key)
	if err == nil {
		err = s.tree.createIn(ctx, who, n.Workspace)
	}
	if err == nil {
		err = s.tree.repo.MayEnter(ctx, who.TenantID, n.Workspace, n.Project)
	}
	if err != nil {
		return n, err
	}
	n.Kind, n.Template = workspaceapi.RestoreTemplate, t.Key()
	n.Tenant, n.RequestedBy, n.Status, n.CreatedAt = who.TenantID, who.UserID, airtableapi.RestoreRunning, s.tree.now()
	if err := n.ID.UnmarshalText([]byte(id.New[id.Event]().String())); err != nil {
		return n, err
	}
	follow := func(ctx context.Context, tx pgx.Tx) error { return s.insert(ctx, tx, FollowRestore{n.Tenant, n.ID}) }
	if t.Seed != nil {
		n.Snapshot = models.NewContent()
		return n, s.Snapshots.repo.CreateRestoration(ctx, n, follow)
	}
	return s.repo.UseTemplate(ctx, n, t.ID, follow)
}

func (s *Templates) followEdition(t models.Template, by id.UserID) repository.Enqueue {
	return func(ctx context.Context, tx pgx.Tx) error {
		return s.insert(ctx, tx, FollowEdition{t.Tenant, t.ID, t.Next, by})
	}
}

// dropContent has what a template held removed; zero is nothing.
func (s *Templates) dropContent(tenant id.TenantID, content models.SnapshotID) repository.Enqueue {
	return func(ctx context.Context, tx pgx.Tx) error {
		if content.IsZero() {
			return nil
		}
		return s.insert(ctx, tx, DropContent{tenant, content})
	}
}

// FollowEdition is the job that has an edition of a template taken and waits for it.
type FollowEdition struct {
	Tenant   id.TenantID       `json:"tenant"`
	Template models.TemplateID `json:"template"`
	Content  models.SnapshotID `json:"content"`
	By       id.UserID         `json:"by"`
}

// Kind implements river.JobArgs.
func (FollowEdition) Kind() string { return "follow_template_edition" }

// FollowEditionWorker works FollowEdition.
type FollowEditionWorker struct {
	river.WorkerDefaults[FollowEdition]
	Templates *Templates
}

// Work implements river.Worker. The request is the same each time and begins the work
// once. What nobody waits for any more is removed again.
func (w *FollowEditionWorker) Work(ctx context.Context, j *river.Job[FollowEdition]) error {
	s, in := w.Templates, j.Args
	t, err := s.repo.Template(ctx, in.Tenant, in.Template)
	if errors.Is(err, errs.ErrNotFound) {
		return s.forget(ctx, in.Tenant, in.Content)
	}
	if err != nil || t.Next != in.Content { // ended by an earlier run
		return err
	}
	kept, err := rpc.Call(ctx, s.tree.airtable, airtableapi.TakeSnapshot, airtableapi.SnapshotTake{Body: airtableapi.SnapshotTakeBody{
		ID: in.Content.String(), TenantID: in.Tenant.String(), UserID: in.By.String(), BaseID: t.Base, SkipRecords: t.SkipRecords,
	}})
	fault := faultIn(kept.Error)
	switch {
	case given(err):
		fault = faultOf(err)
	case err != nil:
		return err
	case kept.Status == airtableapi.SnapshotTaking:
		return river.JobSnooze(again)
	}
	_, err = s.repo.ChangeTemplate(ctx, in.Tenant, in.Template, func(t *models.Template) ([]events.Event, repository.Enqueue, error) {
		if t.Next != in.Content {
			return nil, nil, nil
		}
		if fault.Code != "" {
			t.Failed(fault, s.tree.now())
			return nil, s.dropContent(in.Tenant, in.Content), nil
		}
		before := t.Published(kept, s.tree.now())
		return []events.Event{templateEvent(ctx, workspaceapi.TemplatePublished, *t, []string{"edition"}, in.By)}, s.dropContent(in.Tenant, before), nil
	})
	if errors.Is(err, errs.ErrNotFound) { // deleted meanwhile
		return s.forget(ctx, in.Tenant, in.Content)
	}
	return err
}

// forget has airtable-gateway remove content, if it is there.
func (s *Snapshots) forget(ctx context.Context, tenant id.TenantID, content models.SnapshotID) error {
	_, err := rpc.Call(ctx, s.tree.airtable, airtableapi.DeleteSnapshot, airtableapi.SnapshotRef{ID: content.String(), TenantID: tenant.String()})
	if errors.Is(err, airtableapi.ErrSnapshotNotFound) {
		return nil
	}
	return err
}

// DropContent is the job that removes what a template held.
type DropContent struct {
	Tenant  id.TenantID       `json:"tenant"`
	Content models.SnapshotID `json:"content"`
}

// Kind implements river.JobArgs.
func (DropContent) Kind() string { return "drop_template_content" }

// DropContentWorker works DropContent.
type DropContentWorker struct {
	river.WorkerDefaults[DropContent]
	Templates *Templates
}

// Work implements river.Worker. Bases that are being made of the content come first.
func (w *DropContentWorker) Work(ctx context.Context, j *river.Job[DropContent]) error {
	s := w.Templates
	used, err := s.repo.InUse(ctx, j.Args.Tenant, j.Args.Content)
	if err == nil && !used {
		err = s.forget(ctx, j.Args.Tenant, j.Args.Content)
	}
	if used || errors.Is(err, airtableapi.ErrSnapshotInUse) {
		return river.JobSnooze(again)
	}
	return err
}

// restore has airtable-gateway begin what in says, and tells how far it is. What a
// template holds that comes with the product is brought first.
func (s *Snapshots) restore(ctx context.Context, n models.Restoration, in airtableapi.RestoreStartBody) (airtableapi.BaseRestore, error) {
	out, err := rpc.Call(ctx, s.tree.airtable, airtableapi.RestoreSnapshot, airtableapi.RestoreStart{Body: in})
	if !n.Seeded() || !errors.Is(err, airtableapi.ErrSnapshotNotFound) {
		return out, err
	}
	if err := s.fromSeed(ctx, n); err != nil {
		return out, err
	}
	return rpc.Call(ctx, s.tree.airtable, airtableapi.RestoreSnapshot, airtableapi.RestoreStart{Body: in})
}

// restored is the event of a restore that is done.
func restored(ctx context.Context, n models.Restoration) events.Event {
	if n.Template != "" {
		return workspaceapi.TemplateUsed.New(ctx, n.Tenant, n.ID.String(), 1, workspaceapi.TemplateUsage{
			RestoreID: n.ID.String(), TemplateID: n.Template, TenantID: n.Tenant.String(), BaseID: n.Base, WorkspaceID: n.Workspace.String(),
			ProjectID: n.Project.String(), ActorID: n.RequestedBy.String(),
		})
	}
	return workspaceapi.SnapshotRestored.New(ctx, n.Tenant, n.ID.String(), 1, workspaceapi.SnapshotChanged{
		SnapshotID: n.Snapshot.String(), TenantID: n.Tenant.String(), BaseID: n.Source, RestoredAs: restoredAs(n), ActorID: n.RequestedBy.String(),
	})
}

// fromSeed has airtable-gateway keep the content of a template that comes with the
// product, for one restore.
func (s *Snapshots) fromSeed(ctx context.Context, n models.Restoration) error {
	seed, found := s.gallery.Seed(n.Template)
	if !found {
		return airtableapi.ErrSnapshotNotFound
	}
	content, err := seed.Content(s.tree.now())
	if err != nil {
		return err
	}
	_, err = rpc.Call(ctx, s.tree.airtable, airtableapi.TakeSnapshot, airtableapi.SnapshotTake{Body: airtableapi.SnapshotTakeBody{
		ID: n.Snapshot.String(), TenantID: n.Tenant.String(), UserID: n.RequestedBy.String(), Content: content,
	}})
	return err
}
