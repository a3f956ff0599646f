package services

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

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
// base; what an interrupted call left undone is completed. Tables that hold any
// record are left as they are.
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

func (d *Demo) fill(ctx context.Context, caller upstream.Caller, t demo.Table) error {
	empty, err := d.empty(ctx, caller, t.Name)
	if err != nil || !empty {
		return err
	}
	err = d.store.ImportRecords(ctx, caller, demo.BaseID, t.Name, t.Records())
	if errors.Is(err, repository.ErrDuplicateID) { // another call was faster
		return nil
	}
	return err
}

func (d *Demo) empty(ctx context.Context, caller upstream.Caller, table string) (bool, error) {
	answer, err := d.store.Do(ctx, upstream.Call{
		Op: upstream.ListRecords, Caller: caller, Method: "GET", RawQuery: "pageSize=1",
		Path: "/v0/" + string(demo.BaseID) + "/" + url.PathEscape(table), Base: string(demo.BaseID), Table: table,
	})
	if err != nil || answer.Status != 200 {
		return false, errors.Join(err, fmt.Errorf("list: status %d", answer.Status))
	}
	var page struct {
		Records []json.RawMessage `json:"records"`
	}
	if err := json.Unmarshal(answer.Body, &page); err != nil {
		return false, err
	}
	return len(page.Records) == 0, nil
}
