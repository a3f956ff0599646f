package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/allowance"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/blobs"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/snapfile"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// Restore does what a running restore asks for, in one transaction, and returns how it
// is then. workspace is what a new base is put into. One that has ended is nothing to
// do, and so is one that is not there.
func (s *Snapshots) Restore(ctx context.Context, tenant id.TenantID, key models.RestoreID, workspace string) (models.BaseRestore, error) {
	r, err := s.repo.Restore(ctx, tenant, key)
	if errors.Is(err, errs.ErrNotFound) {
		return models.BaseRestore{}, nil
	}
	if err != nil {
		return r, err
	}
	if r.Status == airtableapi.RestoreRunning {
		if err := s.restore(ctx, &r, workspace); err != nil {
			return r, err
		}
	}
	if r.Source != "" {
		return r, s.forget(ctx, r)
	}
	return r, nil
}

// Fail ends a running restore that came to nothing.
func (s *Snapshots) Fail(ctx context.Context, r models.BaseRestore, why models.Fault) error {
	if err := s.repo.FailRestore(ctx, r.Tenant, r.ID, why, s.now()); err != nil || r.Source == "" {
		return err
	}
	return s.forget(ctx, r)
}

// forget removes the snapshot that a copy was made of.
func (s *Snapshots) forget(ctx context.Context, r models.BaseRestore) error {
	if err := s.repo.DeleteSnapshot(ctx, r.Tenant, r.Snapshot); err != nil && !errors.Is(err, errs.ErrNotFound) {
		return err
	}
	return nil
}

func (s *Snapshots) restore(ctx context.Context, r *models.BaseRestore, workspace string) error {
	if r.Source != "" {
		if err := s.takeForCopy(ctx, *r); err != nil {
			return err
		}
	}
	snap, err := s.repo.Snapshot(ctx, r.Tenant, r.Snapshot)
	if err != nil {
		return err
	}
	job := restoring{Snapshots: s, r: r, snap: snap, caller: upstream.Caller{Tenant: r.Tenant, User: r.RequestedBy}}
	switch r.Kind {
	case airtableapi.RestoreBase, airtableapi.CopyBase:
		err = job.newBase(ctx, workspace)
	case airtableapi.RestoreTable:
		err = job.newTable(ctx)
	default:
		err = job.back(ctx)
	}
	if err != nil {
		return classify(err)
	}
	if r.Records >= manyRecords {
		return s.store.repo.Analyze(ctx)
	}
	return nil
}

// takeForCopy takes the snapshot that a copy is made of, unless an earlier run did.
func (s *Snapshots) takeForCopy(ctx context.Context, r models.BaseRestore) error {
	snap, err := s.repo.CreateSnapshot(ctx, models.BaseSnapshot{
		Tenant: r.Tenant, ID: r.Snapshot, Base: r.Source, Status: airtableapi.SnapshotTaking, Comments: r.Comments,
		RequestedBy: r.RequestedBy, CreatedAt: s.now(),
	}, nil)
	if err != nil || snap.Status == airtableapi.SnapshotReady {
		return err
	}
	return s.take(ctx, snap, !r.SkipRecords)
}

// classify names the faults that another try would meet again.
func classify(err error) error {
	refusal, refused := models.AsError(err)
	switch {
	case errors.Is(err, snapfile.ErrBroken), errors.Is(err, repository.ErrBlobGone), errors.Is(err, blobs.ErrGone):
		return airtableapi.ErrSnapshotUnusable.Because(err)
	case errors.Is(err, repository.ErrDuplicateID):
		return airtableapi.ErrRestoreImpossible.Because(err)
	case refused:
		return airtableapi.ErrRestoreImpossible.Saying("%s", refusal.Message).Because(err)
	}
	return err
}

// restoring is one run of a restore.
type restoring struct {
	*Snapshots
	r      *models.BaseRestore
	snap   models.BaseSnapshot
	caller upstream.Caller
}

// content has fn read the snapshot from its beginning.
func (j *restoring) content(ctx context.Context, fn func(in *snapfile.Reader) error) error {
	file, err := j.store.files.Open(ctx, j.r.Tenant, j.snap.Sum)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	in, err := snapfile.NewReader(file)
	if err != nil {
		return err
	}
	return fn(in)
}

// tables has fn called for the rows of a table, or of all if table is "", some at a
// time, and notes the progress.
func (j *restoring) tables(ctx context.Context, in *snapfile.Reader, table models.TableID, fn func(rows []snapfile.Row) error) error {
	var rows []snapfile.Row
	var n int64
	flush := func() error {
		if len(rows) == 0 {
			return nil
		}
		before := n
		n += int64(len(rows))
		if n/noteEvery > before/noteEvery {
			if err := j.repo.NoteRestored(ctx, j.r.Tenant, j.r.ID, n); err != nil {
				return err
			}
		}
		err := fn(rows)
		rows = rows[:0]
		return err
	}
	for {
		row, err := in.Next()
		if errors.Is(err, io.EOF) {
			err = flush()
			j.r.Records = n
			return err
		}
		if err != nil {
			return err
		}
		if table != "" && row.Table != table {
			continue
		}
		if len(rows) == rowsAtOnce || len(rows) > 0 && rows[0].Table != row.Table {
			if err := flush(); err != nil {
				return err
			}
		}
		rows = append(rows, row)
	}
}

// newBase makes a base of the whole snapshot. It takes over what was set aside when the
// restore was asked for, or by an earlier run.
func (j *restoring) newBase(ctx context.Context, workspace string) error {
	hold, err := j.HoldBase(ctx, *j.r)
	if err != nil {
		return err
	}
	defer hold.Close(ctx)
	return j.store.repo.Write(ctx, j.r.Tenant, func(tx *repository.Tx) error {
		return j.content(ctx, func(in *snapfile.Reader) error {
			p := newPlan(in.Header(), models.NewRenaming(j.r.ID))
			base, err := p.base(j.r.Base, j.r.Name)
			if err != nil {
				return err
			}
			base.Workspace, j.r.Name = workspace, base.Name
			if err := tx.InsertBase(ctx, j.r.Tenant, base, j.store.clock(), j.r.RequestedBy); err != nil {
				return err
			}
			for i, t := range base.Tables {
				if err := tx.InsertTable(ctx, j.r.Tenant, base.ID, i, t); err != nil {
					return err
				}
			}
			err = j.load(ctx, tx, in, p, "", func(to *load, row snapfile.Row) error {
				to.edges = append(to.edges, p.edgesOf(row, linkCells(row)...)...)
				return nil
			})
			if err != nil {
				return err
			}
			if err := hold.Renew(ctx); err != nil { // it may have taken its time
				return err
			}
			return j.finish(ctx, tx)
		})
	})
}

// HoldBase sets aside the base that a restore makes, or returns tenantapi.ErrLimitReached.
// The same again is the same hold.
func (s *Snapshots) HoldBase(ctx context.Context, r models.BaseRestore) (allowance.Hold, error) {
	return s.store.allowance.Base(ctx, r.Tenant, r.ID.String())
}

// finish ends the restore with the transaction.
func (j *restoring) finish(ctx context.Context, tx *repository.Tx) error {
	j.r.Status, j.r.FinishedAt = airtableapi.RestoreDone, j.now()
	err := tx.FinishRestore(ctx, *j.r)
	if err != nil {
		j.r.Status = airtableapi.RestoreRunning
	}
	return err
}

// load stores the rows of a table, or of all, in new tables; link adds their links.
func (j *restoring) load(ctx context.Context, tx *repository.Tx, in *snapfile.Reader, p *plan, table models.TableID, link func(*load, snapfile.Row) error) error {
	if j.r.SkipRecords {
		return nil
	}
	for _, t := range p.head.Tables {
		if table == "" || t.ID == table {
			if err := tx.RaiseNumber(ctx, j.r.Tenant, models.TableID(p.names.Of(string(t.ID))), t.LastNumber); err != nil {
				return err
			}
		}
	}
	return j.tables(ctx, in, table, func(rows []snapfile.Row) error {
		var l load
		for _, row := range rows {
			if j.r.Fresh {
				row = j.anew(row)
			}
			if err := p.add(&l, j.r.Base, row); err != nil {
				return err
			}
			if err := link(&l, row); err != nil {
				return err
			}
		}
		last := rows[len(rows)-1].Number // the header may know less, if somebody wrote it
		return j.store.storeLoad(ctx, tx, j.caller, models.TableID(p.names.Of(string(rows[0].Table))), l, last)
	})
}

// anew is the row as the requester would have made it just now.
func (j *restoring) anew(row snapfile.Row) snapfile.Row {
	row.CreatedAt, row.CreatedBy, row.Version = j.now(), j.r.RequestedBy.String(), 1
	row.ModifiedAt, row.ModifiedBy, row.Touched, row.Comments = time.Time{}, "", nil, nil
	return row
}

func (s *Store) storeLoad(ctx context.Context, tx *repository.Tx, who upstream.Caller, table models.TableID, l load, last int64) error {
	if err := tx.InsertRows(ctx, who.Tenant, table, l.rows); err != nil {
		return err
	}
	if err := tx.RaiseNumber(ctx, who.Tenant, table, last); err != nil {
		return err
	}
	if err := tx.PutEdges(ctx, who.Tenant, l.edges); err != nil {
		return err
	}
	if err := tx.PutCellFiles(ctx, who.Tenant, l.files); err != nil {
		return err
	}
	for _, f := range l.files {
		if f.Sum != "" {
			continue
		}
		args := FetchAttachment{Tenant: who.Tenant, User: who.User, Base: f.Base, Attachment: f.ID}
		if err := tx.Enqueue(ctx, s.enqueue, args); err != nil {
			return err
		}
	}
	return tx.PutComments(ctx, who.Tenant, l.comments)
}

// newTable makes a table of the snapshot one more of the base that it was taken of.
// Its links lead to the records that are still there, from new fields at the other end.
// No record can come or go there meanwhile.
func (j *restoring) newTable(ctx context.Context) error {
	call := upstream.Call{Caller: j.caller, Base: string(j.r.Base)}
	err := j.store.changeSchema(ctx, call, func(tx *repository.Tx, base *models.Base) error {
		return j.content(ctx, func(in *snapfile.Reader) error {
			p := newPlan(in.Header(), models.NewRenaming(j.r.ID))
			t, found := p.headOf(j.r.Table)
			if !found {
				return airtableapi.ErrNotInSnapshot
			}
			made, mirrors, err := p.newTable(base, t, j.r.Name)
			if err != nil {
				return err
			}
			if err := j.insertTable(ctx, tx, base, made, mirrors); err != nil {
				return err
			}
			j.r.DroppedLinks = 0
			if err := j.load(ctx, tx, in, p, t.ID, j.linker(ctx, tx, p, made)); err != nil {
				return err
			}
			j.r.NewTable, j.r.Name = made.ID, made.Name
			return j.finish(ctx, tx)
		})
	})
	return noBaseOf(err)
}

func (j *restoring) insertTable(ctx context.Context, tx *repository.Tx, base *models.Base, made *models.Table, mirrors []*models.Field) error {
	if err := tx.InsertTable(ctx, j.r.Tenant, base.ID, len(base.Tables)-1, made); err != nil {
		return err
	}
	var others []models.TableID
	for _, f := range mirrors {
		if err := tx.InsertField(ctx, j.r.Tenant, len(base.Table(string(f.Table)).Fields)-1, f); err != nil {
			return err
		}
		others = append(others, f.Table)
	}
	return tx.LockTables(ctx, j.r.Tenant, others)
}

// linker adds the links of a row of the new table: both ends of those to other tables.
func (j *restoring) linker(ctx context.Context, tx *repository.Tx, p *plan, made *models.Table) func(*load, snapfile.Row) error {
	return func(to *load, row snapfile.Row) error {
		for _, key := range linkCells(row) {
			f := made.Field(p.names.Of(string(key)))
			if f == nil {
				continue
			}
			if f.Options.LinkedTable == made.ID {
				to.edges = append(to.edges, p.edgesOf(row, key)...)
				continue
			}
			there, err := tx.ExistingIDs(ctx, j.r.Tenant, f.Options.LinkedTable, row.Links[key])
			if err != nil {
				return err
			}
			record := models.RecordID(p.names.Fresh(string(row.ID)))
			for i, target := range row.Links[key] {
				if !there[target] {
					j.r.DroppedLinks++
					continue
				}
				to.edges = append(to.edges,
					repository.Edge{Field: f.ID, Record: record, Target: target, Position: i},
					repository.Edge{Field: f.Options.Inverse, Record: target, Target: record, Position: int(row.Number)})
			}
		}
		return nil
	}
}

func noBaseOf(err error) error {
	if errors.Is(err, models.ErrModelNotFound) {
		return airtableapi.ErrBaseNotFound
	}
	return err
}

// back makes a table's records, or one of them, what they were.
func (j *restoring) back(ctx context.Context) error {
	var told bool
	err := j.store.repo.Write(ctx, j.r.Tenant, func(tx *repository.Tx) error {
		base, err := tx.Schema(ctx, j.r.Tenant, j.r.Base)
		if err != nil {
			return noBase(missing(err))
		}
		table := base.Table(string(j.r.Table))
		if table == nil || table.ID != j.r.Table {
			return airtableapi.ErrTableNotFound
		}
		j.r.DroppedLinks = 0
		b := &goingBack{restoring: j, tx: tx, base: base, table: table}
		if err := tx.LockTables(ctx, j.r.Tenant, b.tablesToLock()); err != nil {
			return err
		}
		if j.r.Kind == airtableapi.RestoreRecord {
			err = b.record(ctx)
		} else {
			err = b.contents(ctx)
		}
		if err != nil {
			return err
		}
		told = b.told
		return j.finish(ctx, tx)
	})
	if err == nil {
		j.store.spread(watch{told: told})
	}
	return err
}

// goingBack writes records of a table as a client would who knew how they were.
type goingBack struct {
	*restoring
	tx     *repository.Tx
	base   *models.Base
	table  *models.Table
	fields []*models.Field // that the snapshot knows too, and that are stored
	told   bool
}

func (b *goingBack) tablesToLock() []models.TableID {
	out := []models.TableID{b.table.ID}
	for _, f := range b.table.LinkFields() {
		out = append(out, f.Options.LinkedTable)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// know finds the fields that can be put back: those of the snapshot that are there and
// of the same type. A field that was made since keeps its cells.
func (b *goingBack) know(head snapfile.Header) error {
	t, found := newPlan(head, models.NewRenaming(b.r.ID)).headOf(b.r.Table)
	if !found {
		return airtableapi.ErrNotInSnapshot
	}
	b.fields = nil
	for _, was := range t.Fields {
		f := b.table.Field(string(was.ID))
		if f != nil && f.ID == was.ID && f.Type == was.Type && (!f.Type.Computed() || !f.Type.Creatable()) {
			b.fields = append(b.fields, f)
		}
	}
	return nil
}

func (b *goingBack) record(ctx context.Context) error {
	return b.content(ctx, func(in *snapfile.Reader) error {
		if err := b.know(in.Header()); err != nil {
			return err
		}
		for {
			row, err := in.Next()
			if errors.Is(err, io.EOF) {
				return airtableapi.ErrNotInSnapshot
			}
			if err != nil {
				return err
			}
			if row.Table == b.r.Table && row.ID == b.r.Record {
				b.r.Records = 1
				return b.put(ctx, []snapfile.Row{row}, true)
			}
		}
	})
}

// contents removes what is too much, brings back what is missing, and then puts back
// all cells: links may lead to records that come later.
func (b *goingBack) contents(ctx context.Context) error {
	var known []models.RecordID // a million of them take some 40 MB
	err := b.rows(ctx, func(rows []snapfile.Row) error {
		for _, row := range rows {
			known = append(known, row.ID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(known)
	if err := b.removeOthers(ctx, known); err != nil {
		return err
	}
	if err := b.rows(ctx, func(rows []snapfile.Row) error { return b.bring(ctx, rows) }); err != nil {
		return err
	}
	return b.rows(ctx, func(rows []snapfile.Row) error { return b.put(ctx, rows, false) })
}

func (b *goingBack) rows(ctx context.Context, fn func([]snapfile.Row) error) error {
	return b.content(ctx, func(in *snapfile.Reader) error {
		if err := b.know(in.Header()); err != nil {
			return err
		}
		return b.tables(ctx, in, b.r.Table, fn)
	})
}

func (b *goingBack) removeOthers(ctx context.Context, known []models.RecordID) error {
	for after := int64(0); ; {
		ids, last, err := b.tx.IDsAfter(ctx, b.r.Tenant, b.table.ID, after, rowsAtOnce)
		if err != nil || len(ids) == 0 {
			return err
		}
		after = last
		var items []item
		for _, key := range ids {
			if _, found := slices.BinarySearch(known, key); !found {
				items = append(items, item{id: key})
			}
		}
		if len(items) > 0 {
			w := b.writing(items, nil)
			if err := w.remove(ctx); err != nil {
				return err
			}
			b.told = b.told || w.watch.told
		}
	}
}

func (b *goingBack) writing(items []item, sources map[models.AttachmentID]string) *writing {
	w := b.store.newWriting(b.tx, &job{caller: b.caller, base: b.base, table: b.table, items: items})
	if sources != nil {
		w.sources = sources
	}
	return w
}

func (b *goingBack) write(ctx context.Context, items []item, sources map[models.AttachmentID]string) error {
	if len(items) == 0 {
		return nil
	}
	w := b.writing(items, sources)
	if err := w.run(ctx); err != nil {
		return err
	}
	err := w.tellWatchers(ctx)
	b.told = b.told || w.watch.told
	return err
}

// bring brings back the records that are gone, without their links.
func (b *goingBack) bring(ctx context.Context, rows []snapfile.Row) error {
	there, err := b.there(ctx, rows)
	if err != nil {
		return err
	}
	var gone []snapfile.Row
	for _, row := range rows {
		if !there[row.ID] {
			row.Links = nil
			gone = append(gone, row)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return b.put(ctx, gone, true)
}

func (b *goingBack) there(ctx context.Context, rows []snapfile.Row) (map[models.RecordID]bool, error) {
	ids := make([]models.RecordID, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	return b.tx.ExistingIDs(ctx, b.r.Tenant, b.table.ID, ids)
}

// put writes the cells of the rows into their records, and makes those that are gone
// if it may.
func (b *goingBack) put(ctx context.Context, rows []snapfile.Row, create bool) error {
	there, err := b.there(ctx, rows)
	if err != nil {
		return err
	}
	seeds, err := b.seeds(ctx, rows, there)
	if err != nil {
		return err
	}
	targets, err := b.targets(ctx, rows)
	if err != nil {
		return err
	}
	var items []item
	var comments []models.Comment
	sources := map[models.AttachmentID]string{}
	for _, row := range rows {
		it := item{id: row.ID}
		if !there[row.ID] {
			if !create {
				return fmt.Errorf("record %s went away under its table's lock", row.ID)
			}
			it = item{create: true, chosen: seeds[row.ID]}
			for _, c := range row.Comments {
				comments = append(comments, commentOf(b.table.ID, row.ID, c))
			}
		}
		if it.writes, err = b.writes(row, targets, sources); err != nil {
			return err
		}
		items = append(items, it)
	}
	if err := b.write(ctx, items, sources); err != nil {
		return err
	}
	return b.tx.PutComments(ctx, b.r.Tenant, comments)
}

// seeds say how the records come back that are gone: as old as they were, in their
// place, with a version above all that was told of them.
func (b *goingBack) seeds(ctx context.Context, rows []snapfile.Row, there map[models.RecordID]bool) (map[models.RecordID]seed, error) {
	var ids []models.RecordID
	var numbers []int64
	for _, row := range rows {
		if !there[row.ID] {
			ids, numbers = append(ids, row.ID), append(numbers, row.Number)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	versions, err := b.tx.LastVersions(ctx, b.r.Tenant, b.table.ID, ids)
	if err != nil {
		return nil, err
	}
	taken, err := b.tx.TakenNumbers(ctx, b.r.Tenant, b.table.ID, numbers)
	if err != nil {
		return nil, err
	}
	out := make(map[models.RecordID]seed, len(ids))
	for _, row := range rows {
		if there[row.ID] {
			continue
		}
		was := storedRow(row)
		was.Version = max(was.Version, versions[row.ID]) + 1
		if taken[row.Number] {
			was.Number = 0 // at the end then
		}
		if len(row.Touched) > 0 {
			was.Touched = models.Marshal(row.Touched)
		}
		out[row.ID] = seed{id: row.ID, at: row.CreatedAt, was: &was}
	}
	return out, nil
}

// targets finds which of the linked records are there, by link field.
func (b *goingBack) targets(ctx context.Context, rows []snapfile.Row) (map[models.FieldID]map[models.RecordID]bool, error) {
	out := map[models.FieldID]map[models.RecordID]bool{}
	for _, f := range b.fields {
		if f.Type != models.MultipleRecordLinks {
			continue
		}
		var ids []models.RecordID
		for _, row := range rows {
			ids = append(ids, row.Links[f.ID]...)
		}
		if len(ids) == 0 {
			continue
		}
		var err error
		if out[f.ID], err = b.tx.ExistingIDs(ctx, b.r.Tenant, f.Options.LinkedTable, ids); err != nil {
			return nil, err
		}
		if f.Options.LinkedTable == b.table.ID {
			for _, row := range rows { // that come back just now
				out[f.ID][row.ID] = true
			}
		}
	}
	return out, nil
}

func (b *goingBack) writes(row snapfile.Row, targets map[models.FieldID]map[models.RecordID]bool, sources map[models.AttachmentID]string) ([]models.CellWrite, error) {
	var out []models.CellWrite
	for _, f := range b.fields {
		c := models.CellWrite{Field: f}
		raw, filled := row.Cells[f.ID]
		switch {
		case f.Type == models.MultipleRecordLinks:
			for _, to := range row.Links[f.ID] {
				if targets[f.ID][to] {
					c.Links = append(c.Links, models.LinkRef{ID: to})
				} else {
					b.r.DroppedLinks++
				}
			}
		case f.Type == models.MultipleAttachments:
			list, err := b.filesOf(row, raw, sources)
			if err != nil {
				return nil, err
			}
			c.Edit = func([]models.Attachment) []models.Attachment { return list }
		case filled:
			if err := json.Unmarshal(raw, &c.Value); err != nil {
				return nil, fmt.Errorf("a cell of %s: %w: %w", row.ID, snapfile.ErrBroken, err)
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// filesOf are the attachments of a cell. One that was on its way is sent for again.
func (b *goingBack) filesOf(row snapfile.Row, raw json.RawMessage, sources map[models.AttachmentID]string) ([]models.Attachment, error) {
	if raw == nil {
		return nil, nil
	}
	all, err := attachmentsIn(raw)
	if err != nil {
		return nil, err
	}
	var out []models.Attachment
	for _, a := range all {
		source := row.Sources[a.ID]
		if a.Sum == "" && source == "" {
			continue
		}
		if a.Sum == "" {
			sources[a.ID] = source
		}
		out = append(out, a)
	}
	return out, nil
}
