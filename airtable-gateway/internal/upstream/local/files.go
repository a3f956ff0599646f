package local

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/files"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/links"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/logging"
)

// fetchWait is how long a write waits for the files that it names. Airtable never
// waits; most files are here in less, and then the answer tells their size and type,
// and a failure is told at once. What takes longer is fetched by a job.
const fetchWait = 5 * time.Second

// fetchesAtOnce bounds the downloads of one call.
const fetchesAtOnce = 4

// fetched is what became of a file that a write names.
type fetched struct {
	file   models.Attachment // without an id
	failed bool
	later  bool // a job goes on
}

// fetchFiles gets the files of the job, each once, before its transaction begins.
func (s *Store) fetchFiles(ctx context.Context, j *job) error {
	refs := j.newFiles()
	if len(refs) == 0 {
		return nil
	}
	if err := s.checkExist(ctx, j); err != nil { // nothing is fetched for a call that must fail
		return err
	}
	if err := j.refuseIDsOfNew(); err != nil {
		return err
	}
	j.fetched = make(map[models.FileRef]fetched, len(refs))
	limited, cancel := context.WithTimeout(ctx, s.fetchWait)
	defer cancel()
	var mu sync.Mutex
	var all errgroup.Group
	all.SetLimit(fetchesAtOnce)
	for _, ref := range refs {
		all.Go(func() error {
			got, err := s.fetch(limited, j.tenant(), ref)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			j.fetched[ref] = got
			return ctx.Err()
		})
	}
	return all.Wait()
}

// fetch returns tenantapi.ErrLimitReached for a file that the tenant's plan has no room for.
func (s *Store) fetch(ctx context.Context, tenant id.TenantID, ref models.FileRef) (fetched, error) {
	if s.files == nil {
		return fetched{failed: true}, nil
	}
	file, err := s.files.Fetch(ctx, tenant, ref.URL, ref.Filename)
	switch {
	case err == nil:
		return fetched{file: file}, nil
	case errors.Is(err, tenantapi.ErrLimitReached):
		return fetched{}, err
	case files.Permanent(err):
		logging.From(ctx).Info("an attachment cannot be fetched", zap.Error(err))
		return fetched{failed: true}, nil
	}
	return fetched{later: true}, nil
}

// newFiles are the files that the job's items name by URL.
func (j *job) newFiles() []models.FileRef {
	var out []models.FileRef
	for _, it := range j.items {
		for _, c := range it.writes {
			for _, ref := range c.Files {
				if ref.URL != "" && !slices.Contains(out, ref) {
					out = append(out, ref)
				}
			}
		}
	}
	return out
}

// refuseIDsOfNew refuses the id of an attachment in a record that is created, as
// Airtable does.
func (j *job) refuseIDsOfNew() error {
	for _, it := range j.items {
		for _, c := range it.writes {
			isNew := it.create || it.outcome != nil && it.outcome.old == nil
			if isNew && slices.ContainsFunc(c.Files, func(ref models.FileRef) bool { return ref.ID != "" }) {
				return models.InvalidAttachment(c.Field.Name)
			}
		}
	}
	return nil
}

// resolveFiles finds the attachments that the job names by id: anywhere in the base.
//
// unconfirmed: whether Airtable takes the id of an attachment of another cell.
func (w *writing) resolveFiles(ctx context.Context) error {
	if err := w.refuseIDsOfNew(); err != nil {
		return err
	}
	var ids []models.AttachmentID
	for _, it := range w.items {
		for _, c := range it.writes {
			for _, ref := range c.Files {
				if ref.ID != "" {
					ids = append(ids, ref.ID)
				}
			}
		}
	}
	var err error
	if w.cellFiles, err = w.tx.CellFiles(ctx, w.tenant(), w.base.ID, ids); err != nil {
		return err
	}
	for _, it := range w.items {
		for _, c := range it.writes {
			for _, ref := range c.Files {
				if ref.ID != "" && len(w.cellFiles[ref.ID]) == 0 {
					return models.InvalidAttachment(c.Field.Name)
				}
			}
		}
	}
	return nil
}

// attachments are what a write makes of the cell.
func (w *writing) attachments(now any, c models.CellWrite) any {
	if c.Edit != nil {
		return models.StoredAttachments(c.Edit(models.Attachments(now)))
	}
	var out []models.Attachment
	seen := map[models.AttachmentID]bool{}
	for _, ref := range c.Files {
		if ref.ID != "" {
			if !seen[ref.ID] {
				out = append(out, w.cellFiles[ref.ID][0].Attachment)
			}
			seen[ref.ID] = true
			continue
		}
		got := w.fetched[ref]
		if got.failed {
			continue
		}
		file := got.file
		file.ID = w.newIDs.Attachment()
		if got.later {
			if file.Filename = ref.Filename; file.Filename == "" {
				file.Filename = models.FilenameOf(ref.URL)
			}
			w.sources[file.ID] = ref.URL
		}
		out = append(out, file)
	}
	return models.StoredAttachments(out)
}

// saveFiles notes which attachments stand in which cells from now on, and has those
// fetched that are not here yet.
func (w *writing) saveFiles(ctx context.Context) error {
	var dropped, put []repository.CellFile
	for _, d := range w.order {
		if d.gone {
			continue // the notes go with the record
		}
		for _, f := range d.table.Fields {
			if f.Type != models.MultipleAttachments {
				continue
			}
			was := map[models.AttachmentID]models.Attachment{}
			if d.old != nil {
				for _, a := range models.Attachments(d.old.Cells[f.ID]) {
					was[a.ID] = a
				}
			}
			for _, a := range models.Attachments(d.rec.Cells[f.ID]) {
				old, known := was[a.ID]
				delete(was, a.ID)
				if !known || !reflect.DeepEqual(old, a) {
					put = append(put, w.cellFile(d, f, a))
				}
			}
			for _, a := range was {
				dropped = append(dropped, w.cellFile(d, f, a))
			}
		}
	}
	if err := w.tx.DropCellFiles(ctx, w.tenant(), dropped); err != nil {
		return err
	}
	if err := w.tx.PutCellFiles(ctx, w.tenant(), put); err != nil {
		return err
	}
	for fileID := range w.sources {
		args := FetchAttachment{Tenant: w.tenant(), User: w.caller.User, Base: w.base.ID, Attachment: fileID}
		if err := w.tx.Enqueue(ctx, w.enqueue, args); err != nil {
			return err
		}
	}
	return nil
}

func (w *writing) cellFile(d *draft, f *models.Field, a models.Attachment) repository.CellFile {
	out := repository.CellFile{Attachment: a, Base: w.base.ID, Table: d.table.ID, Record: d.rec.ID, Field: f.ID}
	if a.Sum != "" {
		return out
	}
	if out.Source = w.sources[a.ID]; out.Source == "" && len(w.cellFiles[a.ID]) > 0 {
		out.Source = w.cellFiles[a.ID][0].Source // kept, and still on its way
	}
	return out
}

// partial reports whether a file of the job could not be fetched.
func (j *job) partial() bool {
	for _, got := range j.fetched {
		if got.failed {
			return true
		}
	}
	return false
}

// FetchAttachment is the job that fetches an attachment whose write did not wait for it.
type FetchAttachment struct {
	Tenant     id.TenantID         `json:"tenant"`
	User       id.UserID           `json:"user,omitzero"`
	Base       models.BaseID       `json:"base"`
	Attachment models.AttachmentID `json:"attachment"`
}

// Kind implements river.JobArgs.
func (FetchAttachment) Kind() string { return "fetch_attachment" }

// fetchTries is how often a file is tried before its attachment is given up: within
// about twenty minutes.
const fetchTries = 6

// InsertOpts implements river.JobArgsWithInsertOpts.
func (FetchAttachment) InsertOpts() river.InsertOpts {
	return river.InsertOpts{MaxAttempts: fetchTries}
}

// FetchWorker works FetchAttachment.
type FetchWorker struct {
	river.WorkerDefaults[FetchAttachment]
	Store *Store
}

// Timeout implements river.Worker: a file may have a gigabyte.
func (*FetchWorker) Timeout(*river.Job[FetchAttachment]) time.Duration { return time.Hour }

// Work implements river.Worker.
func (w *FetchWorker) Work(ctx context.Context, j *river.Job[FetchAttachment]) error {
	return w.Store.Arrive(ctx, j.Args, j.Attempt >= j.MaxAttempts)
}

// Arrive fetches the attachment and puts it into the cells that still have it. One
// that cannot be fetched, or could not by the last try, is taken out of them.
func (s *Store) Arrive(ctx context.Context, args FetchAttachment, last bool) error {
	found, err := s.repo.CellFiles(ctx, args.Tenant, args.Base, []models.AttachmentID{args.Attachment})
	cells := found[args.Attachment]
	if err != nil || len(cells) == 0 || cells[0].Sum != "" {
		return err
	}
	file, err := s.files.Fetch(ctx, args.Tenant, cells[0].Source, cells[0].Filename)
	if err != nil && !last && !files.Permanent(err) {
		return err
	}
	arrived := err == nil
	if !arrived {
		logging.From(ctx).Info("an attachment is given up", zap.String("attachment", string(args.Attachment)), zap.Error(err))
	}
	for _, cell := range cells {
		err := s.editFiles(ctx, upstream.Caller{Tenant: args.Tenant, User: args.User}, cell, func(now []models.Attachment) []models.Attachment {
			i := slices.IndexFunc(now, func(a models.Attachment) bool { return a.ID == args.Attachment })
			switch {
			case i < 0:
			case !arrived:
				return slices.Delete(slices.Clone(now), i, i+1)
			default:
				file.ID, file.Filename = now[i].ID, now[i].Filename
				now[i] = file
			}
			return now
		})
		if err != nil && !errors.Is(err, models.ErrRecordNotFound) {
			return err
		}
	}
	return nil
}

// editFiles changes one cell of attachments as any other write does, by what is in
// it when the record is locked. A field or table that is gone has no cells.
func (s *Store) editFiles(ctx context.Context, who upstream.Caller, cell repository.CellFile, edit func([]models.Attachment) []models.Attachment) error {
	_, err := s.editCell(ctx, who, cell, edit)
	return err
}

func (s *Store) editCell(ctx context.Context, who upstream.Caller, cell repository.CellFile, edit func([]models.Attachment) []models.Attachment) (*job, error) {
	base, err := s.schema(ctx, who.Tenant, cell.Base)
	if err != nil {
		return nil, err
	}
	table := base.Table(string(cell.Table))
	if table == nil || table.Field(string(cell.Field)) == nil {
		return nil, models.ErrRecordNotFound
	}
	write := models.CellWrite{Field: table.Field(string(cell.Field)), Written: models.Written{Edit: edit}}
	j := &job{
		caller: who, base: base, table: table, single: true,
		items: []item{{id: cell.Record, writes: []models.CellWrite{write}}},
	}
	return j, s.commit(ctx, j)
}

// uploadAttachment appends the file of the call to a cell.
func (s *Store) uploadAttachment(ctx context.Context, c upstream.Call) ([]byte, error) {
	base, err := s.schema(ctx, c.Caller.Tenant, models.BaseID(c.Base))
	if err != nil {
		return nil, err
	}
	table, field, err := s.uploadPlace(ctx, c, base)
	if err != nil {
		return nil, err
	}
	up, err := models.ParseUpload(c.Body)
	if err != nil {
		return nil, err
	}
	content, err := decodeUpload(up.File)
	if err != nil {
		return nil, err
	}
	if s.files == nil {
		return nil, models.ErrNoRoute
	}
	file, err := s.files.Keep(ctx, c.Caller.Tenant, content, models.MaxUploadedFile, up.Type, up.Filename)
	if err != nil {
		return nil, err
	}
	file.ID = s.ids.Attachment()
	cell := repository.CellFile{Base: base.ID, Table: table.ID, Record: models.RecordID(c.Record), Field: field.ID}
	j, err := s.editCell(ctx, c.Caller, cell, func(now []models.Attachment) []models.Attachment { return append(now, file) })
	if err != nil {
		return nil, err
	}
	p := &printer{fields: []*models.Field{field}, output: models.Output{ByFieldID: true}, files: s.files, tenant: c.Caller.Tenant}
	return p.record(nil, j.items[0].outcome.rec)
}

// uploadPlace finds the record's table, which the path does not name, and the field.
func (s *Store) uploadPlace(ctx context.Context, c upstream.Call, base *models.Base) (*models.Table, *models.Field, error) {
	ids := make([]models.TableID, len(base.Tables))
	for i, t := range base.Tables {
		ids[i] = t.ID
	}
	tableID, err := s.repo.RecordTable(ctx, c.Caller.Tenant, ids, models.RecordID(c.Record))
	if err != nil {
		return nil, nil, err
	}
	table := base.Table(string(tableID))
	if tableID == "" || table == nil {
		return nil, nil, models.ErrRecordNotFound
	}
	field := table.Field(c.Field)
	switch {
	case field == nil:
		return nil, nil, models.UnknownField(c.Field)
	case field.Type != models.MultipleAttachments:
		return nil, nil, models.InvalidValue(field.Name)
	}
	return table, field, nil
}

// decodeUpload reads base64 as clients write it: in lines, with or without padding.
func decodeUpload(text string) (*strings.Reader, error) {
	text = strings.TrimRight(strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' || r == ' ' || r == '\t' {
			return -1
		}
		return r
	}, text), "=")
	if base64.RawStdEncoding.DecodedLen(len(text)) > models.MaxUploadedFile {
		return nil, models.ErrUploadTooLarge
	}
	raw, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil, models.ErrUploadBroken
	}
	return strings.NewReader(string(raw)), nil
}

// attachment appends an attachment as Airtable shows it. One that is still on its way
// has neither size nor type.
func (p *printer) attachment(out []byte, a models.Attachment) []byte {
	out = appendString(append(out, `{"id":`...), string(a.ID))
	if p.files != nil {
		out = appendString(append(out, `,"url":`...), p.files.Link(p.tenant, a, links.File))
	}
	out = appendString(append(out, `,"filename":`...), a.Filename)
	if a.Sum == "" {
		return append(out, '}')
	}
	out = fmt.Appendf(out, `,"size":%d,"type":`, a.Size)
	out = appendString(out, a.Type)
	if a.Width > 0 {
		out = fmt.Appendf(out, `,"width":%d,"height":%d`, a.Width, a.Height)
	}
	if p.files == nil {
		return append(out, '}')
	}
	for i, t := range p.files.Thumbnails(p.tenant, a) {
		if i == 0 {
			out = append(out, `,"thumbnails":{`...)
		} else {
			out = append(out, ',')
		}
		out = append(appendString(out, t.Name), `:{"url":`...)
		out = fmt.Appendf(appendString(out, t.URL), `,"width":%d,"height":%d}`, t.Width, t.Height)
		if t.Name == string(links.Full) {
			out = append(out, '}')
		}
	}
	return append(out, '}')
}

// value is appendValue for values that may hold attachments, which are shown with links.
func (p *printer) value(out []byte, v any) []byte {
	switch v := v.(type) {
	case models.Attachment:
		return p.attachment(out, v)
	case []models.Attachment:
		return appendList(out, v, p.attachment)
	case []any:
		return appendList(out, v, p.value)
	}
	return appendValue(out, v)
}

func appendList[T any](out []byte, list []T, one func([]byte, T) []byte) []byte {
	out = append(out, '[')
	for i, item := range list {
		if i > 0 {
			out = append(out, ',')
		}
		out = one(out, item)
	}
	return append(out, ']')
}

// link is the address of an attachment in text.
func (p *printer) link() func(models.Attachment) string {
	if p.files == nil {
		return nil
	}
	return func(a models.Attachment) string { return p.files.Link(p.tenant, a, links.File) }
}
