package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/snapfile"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// Snapshots takes snapshots of bases and restores them. Take and Restore are the work
// of jobs: run again after they were interrupted they begin anew, and once done they do
// nothing.
type Snapshots struct {
	store *Store
	repo  *repository.Snapshots
}

// NewSnapshots returns the snapshots of store's bases.
func NewSnapshots(store *Store, repo *repository.Snapshots) *Snapshots {
	return &Snapshots{store, repo}
}

const (
	// rowsAtOnce is how many records are held at a time.
	rowsAtOnce = 500
	// noteEvery is after how many records the progress is noted.
	noteEvery = 10_000
	// maxContent bounds what a snapshot is kept as.
	maxContent = 256 << 30
)

// Take reads the base of a snapshot that is to be taken, as it is now, into the store of
// files. One that was abandoned meanwhile is nothing to do.
func (s *Snapshots) Take(ctx context.Context, tenant id.TenantID, key models.SnapshotID) error {
	snap, err := s.repo.Snapshot(ctx, tenant, key)
	if errors.Is(err, errs.ErrNotFound) || err == nil && snap.Status != airtableapi.SnapshotTaking {
		return nil
	}
	if err != nil {
		return err
	}
	return s.take(ctx, snap, !snap.SkipRecords)
}

func (s *Snapshots) take(ctx context.Context, snap models.BaseSnapshot, withRecords bool) error {
	err := s.repo.Freeze(ctx, snap.Tenant, func(f *repository.Frozen) error {
		base, err := f.Schema(ctx, snap.Tenant, snap.Base)
		if err != nil {
			return noBase(missing(err))
		}
		snap.BaseName, snap.TakenAt = base.Name, s.now()
		t := taking{Snapshots: s, frozen: f, snap: &snap, base: base}
		if withRecords {
			if err := f.KeepFiles(ctx, snap.ID, base.ID); err != nil {
				return err
			}
		}
		return s.keep(ctx, &snap, func(w io.Writer) error { return t.write(ctx, w, withRecords) })
	})
	if err == nil {
		err = s.repo.CompleteSnapshot(ctx, snap)
	}
	if errors.Is(err, errs.ErrNotFound) && errs.From(err).Code == errs.ErrNotFound.Code {
		return nil // abandoned
	}
	return err
}

func (s *Snapshots) now() time.Time { return s.store.now().UTC().Truncate(time.Microsecond) }

// keep stores what write writes.
func (s *Snapshots) keep(ctx context.Context, snap *models.BaseSnapshot, write func(io.Writer) error) error {
	out, in := io.Pipe()
	var both errgroup.Group
	both.Go(func() error {
		err := write(in)
		_ = in.CloseWithError(err) // never fails
		return err
	})
	stored, err := s.store.files.Store(ctx, snap.Tenant, out, maxContent)
	_ = out.CloseWithError(err) // a writer that nobody reads must not wait
	if writeErr := both.Wait(); writeErr != nil && !errors.Is(writeErr, io.ErrClosedPipe) {
		return writeErr
	}
	snap.Sum, snap.Size = stored.Sum, stored.Size
	return err
}

// taking is a base on its way into a snapshot.
type taking struct {
	*Snapshots
	frozen *repository.Frozen
	snap   *models.BaseSnapshot
	base   *models.Base
}

func (t *taking) write(ctx context.Context, to io.Writer, withRecords bool) error {
	head, err := t.header(ctx, withRecords)
	if err != nil {
		return err
	}
	w, err := snapfile.NewWriter(to, head)
	if err != nil {
		return err
	}
	t.snap.Tables = nil
	for _, table := range t.base.Tables {
		before := w.Records()
		if withRecords {
			if err := t.table(ctx, w, table); err != nil {
				return err
			}
		}
		t.snap.Tables = append(t.snap.Tables, models.SnapshotTable{ID: table.ID, Name: table.Name, Records: w.Records() - before})
	}
	t.snap.Records = w.Records()
	return w.Close()
}

func (t *taking) header(ctx context.Context, withRecords bool) (snapfile.Header, error) {
	var ids []models.TableID
	if withRecords { // without them numbers begin anew
		for _, table := range t.base.Tables {
			ids = append(ids, table.ID)
		}
	}
	last, err := t.frozen.LastNumbers(ctx, ids)
	if err != nil {
		return snapfile.Header{}, err
	}
	h := snapfile.Header{TakenAt: t.snap.TakenAt, Base: snapfile.Base{ID: t.base.ID, Name: t.base.Name}}
	for _, table := range t.base.Tables {
		h.Tables = append(h.Tables, headOf(table, last[table.ID]))
	}
	return h, nil
}

func headOf(t *models.Table, last int64) snapfile.Table {
	out := snapfile.Table{ID: t.ID, Name: t.Name, Description: t.Description, Primary: t.Primary, LastNumber: last}
	for _, f := range t.Fields {
		out.Fields = append(out.Fields, snapfile.Field{
			ID: f.ID, Name: f.Name, Description: f.Description, Type: f.Type, Options: models.Marshal(f.WireOptions()),
		})
	}
	for _, v := range t.Views {
		view := snapfile.View{
			ID: v.ID, Name: v.Name, Type: v.Type, Position: v.Position, Description: v.Description,
			Filter: v.Filter, Order: v.Order, Hidden: v.Hidden,
		}
		for _, by := range v.Sort {
			view.Sort = append(view.Sort, snapfile.Sort(by))
		}
		out.Views = append(out.Views, view)
	}
	return out
}

func (t *taking) table(ctx context.Context, w *snapfile.Writer, table *models.Table) error {
	var links []models.FieldID
	for _, f := range table.LinkFields() {
		links = append(links, f.ID)
	}
	for after := int64(0); ; {
		rows, err := t.frozen.Rows(ctx, table.ID, after, rowsAtOnce)
		if err != nil || len(rows) == 0 {
			return err
		}
		if err := t.rows(ctx, w, table, links, rows); err != nil {
			return err
		}
		after = rows[len(rows)-1].Number
		if n := w.Records(); n/noteEvery > (n-int64(len(rows)))/noteEvery {
			if err := t.repo.NoteRecords(ctx, t.snap.Tenant, t.snap.ID, n); err != nil {
				return err
			}
		}
	}
}

func (t *taking) rows(ctx context.Context, w *snapfile.Writer, table *models.Table, links []models.FieldID, rows []repository.StoredRow) error {
	ids := make([]models.RecordID, len(rows))
	out, at := make([]snapfile.Row, len(rows)), make(map[models.RecordID]*snapfile.Row, len(rows))
	for i, r := range rows {
		row, err := rowOf(table.ID, r)
		if err != nil {
			return err
		}
		ids[i], out[i] = r.ID, row
		at[r.ID] = &out[i]
	}
	edges, err := t.frozen.Edges(ctx, t.snap.Tenant, links, ids)
	if err != nil {
		return err
	}
	for _, e := range edges {
		row := at[e.Record]
		if row.Links == nil {
			row.Links = map[models.FieldID][]models.RecordID{}
		}
		row.Links[e.Field] = append(row.Links[e.Field], e.Target)
	}
	if err := t.addSources(ctx, table, ids, at); err != nil {
		return err
	}
	if t.snap.Comments {
		comments, err := t.frozen.CommentsOf(ctx, table.ID, ids)
		if err != nil {
			return err
		}
		for _, c := range comments {
			at[c.Record].Comments = append(at[c.Record].Comments, snapfile.Comment{
				ID: c.ID, Author: c.Author.String(), Text: c.Text, Parent: c.Parent, Version: c.Version, CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt,
			})
		}
	}
	for _, row := range out {
		if err := w.Row(row); err != nil {
			return err
		}
	}
	return nil
}

// addSources notes where files are to be fetched that are not here yet.
func (t *taking) addSources(ctx context.Context, table *models.Table, ids []models.RecordID, at map[models.RecordID]*snapfile.Row) error {
	files, err := t.frozen.Sources(ctx, table.ID, ids)
	for _, f := range files {
		row := at[f.Record]
		if row.Sources == nil {
			row.Sources = map[models.AttachmentID]string{}
		}
		row.Sources[f.ID] = f.Source
	}
	return err
}

func rowOf(table models.TableID, r repository.StoredRow) (snapfile.Row, error) {
	out := snapfile.Row{
		Table: table, ID: r.ID, Number: r.Number, CreatedAt: r.CreatedAt, CreatedBy: userText(r.CreatedBy), Version: r.Version,
		ModifiedBy: userText(r.ModifiedBy),
	}
	if r.ModifiedAt != nil {
		out.ModifiedAt = *r.ModifiedAt
	}
	if err := json.Unmarshal(r.Cells, &out.Cells); err != nil {
		return out, fmt.Errorf("cells of %s: %w", r.ID, err)
	}
	if r.Touched != nil {
		if err := json.Unmarshal(r.Touched, &out.Touched); err != nil {
			return out, fmt.Errorf("changes of %s: %w", r.ID, err)
		}
	}
	return out, nil
}

func userText(u *id.UserID) string {
	if u == nil {
		return ""
	}
	return u.String()
}

// userOf reads who did something: nobody if it is not known any more.
func userOf(text string) *id.UserID {
	u, err := id.Parse[id.User](text)
	if err != nil {
		return nil
	}
	return &u
}

// Bring makes a snapshot of content, which is in the form of one, not compressed. It
// returns airtableapi.ErrSnapshotUnusable for what is none. No file can come with it.
func (s *Snapshots) Bring(ctx context.Context, snap models.BaseSnapshot, content string) (models.BaseSnapshot, error) {
	in, err := snapfile.NewPlainReader(strings.NewReader(content))
	if err != nil {
		return snap, airtableapi.ErrSnapshotUnusable.Because(err)
	}
	head := in.Header()
	if _, err := newPlan(head, models.NewRenaming(models.RestoreID{})).base("", ""); err != nil {
		return snap, airtableapi.ErrSnapshotUnusable.Because(err)
	}
	snap.BaseName, snap.TakenAt, snap.Status = head.Base.Name, s.now(), airtableapi.SnapshotReady
	for _, t := range head.Tables {
		snap.Tables = append(snap.Tables, models.SnapshotTable{ID: t.ID, Name: t.Name})
	}
	err = s.keep(ctx, &snap, func(to io.Writer) error {
		w, err := snapfile.NewWriter(to, head)
		if err != nil {
			return err
		}
		for {
			row, err := in.Next()
			if errors.Is(err, io.EOF) {
				snap.Records = w.Records()
				return w.Close()
			}
			if err == nil {
				err = count(&snap, row)
			}
			if err != nil {
				return err
			}
			if err := w.Row(row); err != nil {
				return err
			}
		}
	})
	if errors.Is(err, snapfile.ErrBroken) {
		return snap, airtableapi.ErrSnapshotUnusable.Because(err)
	}
	return snap, err
}

// count counts a record of its table, and refuses one of none.
func count(snap *models.BaseSnapshot, row snapfile.Row) error {
	for i := range snap.Tables {
		if snap.Tables[i].ID == row.Table {
			snap.Tables[i].Records++
			return nil
		}
	}
	return fmt.Errorf("a record of no table: %w", snapfile.ErrBroken)
}
