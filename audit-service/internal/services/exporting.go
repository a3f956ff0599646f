package services

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/pyairtable/pyairtable/audit-service/internal/models"
	"github.com/pyairtable/pyairtable/audit-service/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/api/auditapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/events"
)

// Exporter writes whole logs.
type Exporter struct {
	repo   *repository.Repository
	notary *Notary
}

// NewExporter writes what is in repo.
func NewExporter(repo *repository.Repository, notary *Notary) *Exporter {
	return &Exporter{repo, notary}
}

// Export is one that has begun: the log as it was then.
type Export struct {
	head models.Head
	walk *walk
}

// Begin prepares an export of who's log from an entry on, and records that it was asked
// for. It returns errs.ErrNotFound if nothing was ever recorded.
func (x *Exporter) Begin(ctx context.Context, who auth.Principal, format string, from int64) (*Export, error) {
	log := models.LogOf(who.TenantID)
	head, err := x.notary.Head(ctx, log)
	if err != nil {
		return nil, err
	}
	w, err := x.notary.walk(ctx, log, from)
	if err != nil {
		return nil, err
	}
	// Up to the head that was just signed, whatever came since.
	w.size = head.Size
	if w.from > w.size {
		return nil, auditapi.ErrBadSize
	}
	e := auditapi.Exported.New(ctx, who.TenantID, who.TenantID.String(), 0, auditapi.ExportedData{
		TenantID: who.TenantID.String(), Format: format, From: w.from, Size: w.size, ActorID: who.UserID.String()})
	return &Export{head, w}, x.repo.Emit(ctx, []events.Event{e})
}

// NDJSON writes the export in the form that auditapi.ExportLine describes.
func (x *Export) NDJSON(ctx context.Context, out io.Writer) error {
	w := x.walk
	start := auditapi.ExportStart{
		Format: auditapi.ExportFormat, Tenant: w.log, From: w.from, Size: w.size, Chain: w.start[:], Peaks: [][]byte{},
	}
	for _, p := range w.peaks.Peaks {
		start.Peaks = append(start.Peaks, p[:])
	}
	lines := json.NewEncoder(out)
	if err := lines.Encode(auditapi.ExportLine{Start: &start}); err != nil {
		return err
	}
	err := w.run(ctx, func(list []Opened) error {
		for i := range list {
			o := &list[i]
			canonical, err := o.Canonical()
			if err != nil {
				return err
			}
			line := auditapi.ExportEntry{Canonical: canonical, Leaf: o.Leaf[:], Chain: o.Chain[:], Own: o.Own, Other: o.Other}
			if err := lines.Encode(auditapi.ExportLine{Entry: &line}); err != nil {
				return err
			}
		}
		return nil
	}, func(h models.Head) error {
		wire := h.Wire()
		return lines.Encode(auditapi.ExportLine{Head: &wire})
	})
	if err != nil {
		return err
	}
	wire := x.head.Wire()
	return lines.Encode(auditapi.ExportLine{Head: &wire, End: &struct{}{}})
}

// CSV writes the entries as a table, for people; it does not verify.
func (x *Export) CSV(ctx context.Context, out io.Writer) error {
	table := csv.NewWriter(out)
	_ = table.Write([]string{ // errors stay until Flush
		"seq", "event_id", "at", "recorded_at", "action", "source", "object", "version", "result", "user_id", "actor",
		"session_id", "token_id", "ip", "agent", "request_id", "facts", "data", "before", "after", "erased",
	})
	err := x.walk.run(ctx, func(list []Opened) error {
		for i := range list {
			e := Tell(&list[i])
			_ = table.Write(guarded(
				strconv.FormatInt(e.Seq, 10), e.EventID, e.At.UTC().Format(time.RFC3339Nano), e.RecordedAt.UTC().Format(time.RFC3339Nano),
				e.Action, e.Source, e.Object, strconv.FormatInt(e.Version, 10), e.Result, e.User, e.Actor,
				e.Session, e.Token, e.IP, e.Agent, e.Request, e.Facts, string(e.Data), string(e.Before), string(e.After), strconv.FormatBool(e.Erased),
			))
		}
		table.Flush()
		return table.Error()
	}, func(models.Head) error { return nil })
	if err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	table.Flush()
	return table.Error()
}

// guarded keeps spreadsheets from taking a client's text, such as the name of its
// program, for a formula.
func guarded(cells ...string) []string {
	for i, c := range cells {
		if c != "" && (c[0] == '=' || c[0] == '+' || c[0] == '-' || c[0] == '@' || c[0] == '\t' || c[0] == '\r') {
			cells[i] = "'" + c
		}
	}
	return cells
}
