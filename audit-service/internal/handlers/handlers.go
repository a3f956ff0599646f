// Package handlers serves the operations of auditapi.
package handlers

import (
	"context"
	"errors"

	"github.com/pyairtable/pyairtable/audit-service/internal/repository"
	"github.com/pyairtable/pyairtable/audit-service/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api/auditapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/catalog"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/httpx"
	"github.com/pyairtable/pyairtable/pkg/permit"
)

// Deps are what the handlers translate for.
type Deps struct {
	Reader     *services.Reader
	Notary     *services.Notary
	Keeper     *services.Keeper
	Exporter   *services.Exporter
	Repository *repository.Repository
	Permits    permit.Checker
}

// Register serves every operation of auditapi on a.
func Register(a *httpx.API, d Deps) {
	by := readers{d.Permits}
	e := entries{d.Reader, by}
	httpx.Handle(a, auditapi.ListEntries, e.list)
	httpx.Handle(a, auditapi.GetEntry, e.entry)
	httpx.Handle(a, auditapi.ListHistory, e.history)
	httpx.Handle(a, auditapi.ListUnowned, e.unowned)

	p := proofs{d.Notary, by}
	httpx.Handle(a, auditapi.GetHead, p.head)
	httpx.Handle(a, auditapi.ProveInclusion, p.inclusion)
	httpx.Handle(a, auditapi.ProveConsistency, p.consistency)
	httpx.Handle(a, auditapi.Verify, p.verify)
	httpx.Handle(a, auditapi.ListKeys, p.keys)

	k := keeping{d.Keeper, d.Repository}
	httpx.Handle(a, auditapi.GetSettings, k.settings)
	httpx.Handle(a, auditapi.SetSettings, k.setSettings)
	httpx.Handle(a, auditapi.CreateSink, k.createSink)
	httpx.Handle(a, auditapi.ListSinks, k.sinks)
	httpx.Handle(a, auditapi.UpdateSink, k.updateSink)
	httpx.Handle(a, auditapi.DeleteSink, k.deleteSink)

	httpx.Raw(a, auditapi.Export, export{d.Exporter, by}.serve)
}

// Listen records every event of every service, of whatever type.
func Listen(c *events.Consumer, r *services.Recorder, batch int) {
	c.OnBatches(events.Batches{Streams: catalog.Streams(), Size: batch, Apply: r.Record})
}

// readers are those who may read the log of their tenant: owners and admins, about whom
// nobody is asked, and who has a role for it.
type readers struct{ permits permit.Checker }

func (r readers) admit(ctx context.Context, who auth.Principal) error {
	if who.IsAdmin() {
		return nil
	}
	err := r.permits.Check(ctx, who, permissionapi.ReadAudit, permit.Tenant(who.TenantID))
	if errors.Is(err, errs.ErrForbidden) || errors.Is(err, errs.ErrNotFound) {
		return auditapi.ErrAdminsOnly
	}
	return err
}

// admins refuses who may not decide what becomes of the log of his tenant.
func admins(who auth.Principal) error {
	if !who.IsAdmin() {
		return auditapi.ErrAdminsOnly
	}
	return nil
}
