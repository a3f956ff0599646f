// Package handlers serves the operations of airtableapi and the Airtable Web API.
package handlers

import (
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/files"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/services"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/watch"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/httpx"
)

// Deps are what the handlers translate for.
type Deps struct {
	Gateway     *services.Gateway
	Connections *services.Connections
	Demo        *services.Demo
	Usage       *services.Usage
	Views       *services.Views
	History     *services.History
	Snapshots   *services.Snapshots
	Files       *files.Keeper
	Watcher     *watch.Watcher
	APIURL      string // of connections that name none
}

// Register serves every operation of airtableapi on a.
func Register(a *httpx.API, d Deps) {
	b := bases{d.Gateway}
	httpx.Handle(a, airtableapi.ListBases, b.list)
	httpx.Handle(a, airtableapi.FetchBase, b.base)
	httpx.Handle(a, airtableapi.ListTables, b.tables)
	httpx.Handle(a, airtableapi.FetchTable, b.table)

	r := records{d.Gateway}
	httpx.Handle(a, airtableapi.ListRecords, r.list)
	httpx.Handle(a, airtableapi.CreateRecord, r.create)
	httpx.Handle(a, airtableapi.FetchRecord, r.record)
	httpx.Handle(a, airtableapi.UpdateRecord, r.update)
	httpx.Handle(a, airtableapi.DeleteRecord, r.delete)

	uncounted := d.Gateway.Uncounted()
	in := readers{bases{uncounted}, records{uncounted}}
	httpx.Handle(a, airtableapi.ReadTables, in.tables)
	httpx.Handle(a, airtableapi.ReadRecords, in.list)

	v := views{d.Views}
	httpx.Handle(a, airtableapi.ListViews, v.list)
	httpx.Handle(a, airtableapi.CreateView, v.create)
	httpx.Handle(a, airtableapi.FetchView, v.view)
	httpx.Handle(a, airtableapi.UpdateView, v.update)
	httpx.Handle(a, airtableapi.DeleteView, v.delete)

	httpx.Handle(a, airtableapi.ListHistory, history{d.History}.list)

	c := connections{d.Connections, d.APIURL}
	httpx.Handle(a, airtableapi.ListConnections, c.list)
	httpx.Handle(a, airtableapi.CreateConnection, c.create)
	httpx.Handle(a, airtableapi.FetchConnection, c.connection)
	httpx.Handle(a, airtableapi.UpdateConnection, c.update)
	httpx.Handle(a, airtableapi.DeleteConnection, c.delete)

	httpx.Handle(a, airtableapi.ListWatches, watches{d.Connections}.list)

	u := usage{d.Usage}
	httpx.Handle(a, airtableapi.ListUsage, u.list)
	httpx.Handle(a, airtableapi.FetchQuota, u.quota)
	httpx.Handle(a, airtableapi.SetQuota, u.setQuota)

	p := snapshots{d.Snapshots}
	httpx.Handle(a, airtableapi.TakeSnapshot, p.take)
	httpx.Handle(a, airtableapi.FetchSnapshot, p.snapshot)
	httpx.Handle(a, airtableapi.DeleteSnapshot, p.delete)
	httpx.Handle(a, airtableapi.RestoreSnapshot, p.restore)
	httpx.Handle(a, airtableapi.FetchRestore, p.restored)

	httpx.Handle(a, airtableapi.LoadDemo, demo{d.Demo}.load)

	httpx.Raw(a, airtableapi.Pings, pings{d.Watcher}.serve)
	httpx.Raw(a, airtableapi.Files, download{d.Files}.serve)
	httpx.Raw(a, airtableapi.AirtableSurface, surface{d.Gateway}.serve)
}
