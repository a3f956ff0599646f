// Package local is the base store that speaks Airtable's Web API without
// Airtable: an upstream.Upstream over this service's own PostgreSQL, and a typed
// way in for what runs in the same process (CreateBase, ImportRecords).
//
// It decides what a call means; package models holds the rules that need no
// database, package repository the SQL. Each call is one transaction: a batch is
// written whole or not at all, together with the events that tell of it.
//
// Served: bases, tables, fields, views, records with links, selects, people and
// attachments, computed fields, upsert, sorted and plain walks, filterByFormula,
// cellFormat=string, comments, webhooks.
package local

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/allowance"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/files"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/egress"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/seal"
)

// Store answers Airtable calls from the database. It is safe for concurrent use
// and any number of Stores may share a database.
type Store struct {
	repo *repository.Store
	now  func() time.Time
	ids  *models.IDs
	life time.Duration // of iterators

	box    *seal.Box
	egress egress.Guard
	news   chan struct{} // a webhook may be due

	files     *files.Keeper
	enqueue   repository.Enqueue
	fetchWait time.Duration
	allowance *allowance.Allowance

	mu      sync.Mutex
	schemas map[schemaKey]*models.Base
}

var _ upstream.Upstream = (*Store)(nil)

type schemaKey struct {
	tenant id.TenantID
	base   models.BaseID
}

// maxSchemas bounds the schemas that are kept in memory.
const maxSchemas = 1_000

// Options are what a Store is made of beside its database.
type Options struct {
	Now func() time.Time // the clock, time.Now outside of tests
	IDs *models.IDs      // nil: unguessable ones

	// IteratorLife is how long a walk may pause between two pages; 0 is
	// models.IteratorLife.
	IteratorLife time.Duration

	// Allowance says how many bases a tenant may have; nil: any number.
	Allowance *allowance.Allowance

	Box    *seal.Box    // seals the keys of webhooks
	Egress egress.Guard // says where webhooks may be pinged

	// Files keeps attachments, and Enqueue adds the jobs that a FetchWorker works.
	// Without them no attachment can be written.
	Files   *files.Keeper
	Enqueue repository.Enqueue
	// FetchWait is how long a write waits for the files that it names; 0: fetchWait.
	FetchWait time.Duration
}

// New returns the store in pool's database, which has this service's migrations.
func New(pool *pgxpool.Pool, o Options) *Store {
	if o.IteratorLife == 0 {
		o.IteratorLife = models.IteratorLife
	}
	if o.FetchWait == 0 {
		o.FetchWait = fetchWait
	}
	return &Store{
		repo: repository.NewStore(pool), now: o.Now, ids: o.IDs, life: o.IteratorLife, box: o.Box, egress: o.Egress,
		files: o.Files, enqueue: o.Enqueue, fetchWait: o.FetchWait, allowance: o.Allowance,
		news: make(chan struct{}, 1), schemas: map[schemaKey]*models.Base{},
	}
}

// NewID returns an id with the prefix, from the store's own source.
func (s *Store) NewID(prefix string) string { return s.ids.New(prefix) }

// Do answers c as Airtable would. What Airtable refuses is an Answer; an error
// means that the database did not answer, and nothing was written unless the
// connection broke while it committed.
func (s *Store) Do(ctx context.Context, c upstream.Call) (upstream.Answer, error) {
	body, err := s.answer(ctx, c)
	if errors.Is(err, models.ErrUnknownChoice) {
		// A choice was made since the schema was read: nothing was written, the
		// schema is newer now.
		body, err = s.answer(ctx, c)
	}
	status := http.StatusOK
	if refusal, ok := models.AsError(err); ok {
		status, body, err = refusal.Status, refusal.Body(), nil
	}
	if err != nil {
		return upstream.Answer{}, err
	}
	header := http.Header{"Content-Type": {"application/json; charset=utf-8"}}
	return upstream.Answer{Status: status, Header: header, Body: body}, nil
}

func (s *Store) answer(ctx context.Context, c upstream.Call) ([]byte, error) {
	switch c.Op {
	case upstream.ListBases:
		return s.listBases(ctx, c)
	case upstream.CreateBase:
		return s.createBase(ctx, c)
	case upstream.BaseSchema:
		return s.baseSchema(ctx, c)
	case upstream.CreateTable:
		return s.createTable(ctx, c)
	case upstream.UpdateTable:
		return s.updateTable(ctx, c)
	case upstream.CreateField:
		return s.createField(ctx, c)
	case upstream.UpdateField:
		return s.updateField(ctx, c)
	case upstream.ListViews:
		return s.listViews(ctx, c)
	case upstream.FetchView:
		return s.fetchView(ctx, c)
	case upstream.DeleteView:
		return s.deleteView(ctx, c)
	case upstream.ListRecords:
		return s.listRecords(ctx, c)
	case upstream.GetRecord:
		return s.getRecord(ctx, c)
	case upstream.CreateRecords:
		return s.createRecords(ctx, c)
	case upstream.UpdateRecords:
		return s.updateRecords(ctx, c)
	case upstream.DeleteRecords:
		return s.deleteRecords(ctx, c)
	case upstream.ListComments:
		return s.listComments(ctx, c)
	case upstream.CreateComment:
		return s.createComment(ctx, c)
	case upstream.UpdateComment:
		return s.updateComment(ctx, c)
	case upstream.DeleteComment:
		return s.deleteComment(ctx, c)
	case upstream.ListWebhooks:
		return s.listWebhooks(ctx, c)
	case upstream.CreateWebhook:
		return s.createWebhook(ctx, c)
	case upstream.DeleteWebhook:
		return s.deleteWebhook(ctx, c)
	case upstream.EnableWebhook:
		return s.enableWebhook(ctx, c)
	case upstream.RefreshWebhook:
		return s.refreshWebhook(ctx, c)
	case upstream.ListPayloads:
		return s.listPayloads(ctx, c)
	case upstream.UploadAttachment:
		return s.uploadAttachment(ctx, c)
	}
	return nil, models.ErrNoRoute
}

// schema returns the tenant's base, from memory if it is still the newest. What
// is not there, or another tenant's, is ErrModelNotFound.
func (s *Store) schema(ctx context.Context, tenant id.TenantID, base models.BaseID) (*models.Base, error) {
	if !models.IsID("app", string(base)) {
		return nil, models.ErrNoRoute
	}
	version, err := s.repo.SchemaVersion(ctx, tenant, base)
	if err != nil {
		return nil, missing(err)
	}
	key := schemaKey{tenant, base}
	s.mu.Lock()
	known := s.schemas[key]
	s.mu.Unlock()
	if known != nil && known.Version >= version {
		return known, nil
	}
	fresh, err := s.repo.Schema(ctx, tenant, base)
	if err != nil {
		return nil, missing(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.schemas) >= maxSchemas {
		for other := range s.schemas { // any one
			delete(s.schemas, other)
			break
		}
	}
	s.schemas[key] = fresh
	return fresh, nil
}

// table returns the base and the table that c is about.
func (s *Store) table(ctx context.Context, c upstream.Call) (*models.Base, *models.Table, error) {
	base, err := s.schema(ctx, c.Caller.Tenant, models.BaseID(c.Base))
	if err != nil {
		return nil, nil, err
	}
	table := base.Table(c.Table)
	if table == nil {
		return nil, nil, models.ErrModelNotFound
	}
	return base, table, nil
}

func missing(err error) error {
	if errors.Is(err, errs.ErrNotFound) {
		return models.ErrModelNotFound
	}
	return err
}

// clock is the time of a write: created times have whole seconds, changes
// milliseconds, as Airtable shows them.
func (s *Store) clock() time.Time { return s.now().UTC().Truncate(time.Millisecond) }
