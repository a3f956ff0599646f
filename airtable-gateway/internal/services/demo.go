package services

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/demo"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/auth"
)

// Demo gives tenants the demo base.
type Demo struct {
	connections *Connections
	store       *local.Store
}

// NewDemo returns a Demo that fills store.
func NewDemo(c *Connections, store *local.Store) *Demo { return &Demo{c, store} }

// DemoBase is what Load found or made.
type DemoBase struct {
	Connection models.ConnectionID
	Created    bool
	Tables     map[string]int // demo records by table
}

// Load makes the demo base of the caller's tenant, and its local connection if
// that is absent. A second call, also one at the same time, finds the first one's
// base; what an interrupted call left undone is completed. A record that is there
// already is left as it is.
func (d *Demo) Load(ctx context.Context, who auth.Principal) (DemoBase, error) {
	out := DemoBase{Tables: map[string]int{}}
	conn, err := d.connections.Local(ctx, who.TenantID)
	if err != nil {
		return out, err
	}
	out.Connection = conn.ID
	atlas, err := demo.Load()
	if err != nil {
		return out, err
	}
	caller := upstream.Caller{Tenant: who.TenantID, User: who.UserID}
	switch _, err = d.store.CreateBase(ctx, caller, atlas.Spec(conn.WorkspaceID())); {
	case err == nil:
		out.Created = true
	case !errors.Is(err, repository.ErrDuplicateID):
		return out, fmt.Errorf("create the demo base: %w", err)
	}
	for _, t := range atlas.Tables {
		if err := d.fill(ctx, caller, t); err != nil {
			return out, fmt.Errorf("fill demo table %s: %w", t.Name, err)
		}
		out.Tables[t.Name] = len(t.Rows)
	}
	return out, d.connections.repo.AddBase(ctx, conn, models.OfferedBase{
		Connection: conn.ID, ID: string(demo.BaseID), Name: atlas.Name, PermissionLevel: "create",
	})
}

// importPiece is how many records an import stores in one transaction.
const importPiece = 500

// fill imports the records that are missing, piece by piece. A piece of which one
// record is there has been imported before, whatever its owner did to it since.
func (d *Demo) fill(ctx context.Context, caller upstream.Caller, t demo.Table) error {
	records := t.Records()
	done, err := d.has(ctx, caller, t.Name, records[len(records)-1].ID)
	if err != nil || done {
		return err
	}
	for piece := range slices.Chunk(records, importPiece) {
		_, err := d.store.ImportRecords(ctx, caller, demo.BaseID, t.Name, piece, false)
		if err != nil && !errors.Is(err, repository.ErrDuplicateID) {
			return err
		}
	}
	return nil
}

func (d *Demo) has(ctx context.Context, caller upstream.Caller, table string, record models.RecordID) (bool, error) {
	answer, err := d.store.Do(ctx, upstream.Call{
		Op: upstream.GetRecord, Caller: caller, Method: "GET",
		Path: "/v0/" + string(demo.BaseID) + "/" + url.PathEscape(table) + "/" + string(record),
		Base: string(demo.BaseID), Table: table, Record: string(record),
	})
	return answer.Status == 200, err
}
