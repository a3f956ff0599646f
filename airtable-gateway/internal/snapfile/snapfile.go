// Package snapfile reads and writes what a snapshot of a base is kept as:
// docs/snapshots.md describes it. It knows nothing of where snapshots are kept or
// what is done with them, and holds one line of one at a time.
package snapfile

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
)

// What the first line says of itself.
const (
	Format  = "pyairtable-snapshot"
	Version = 1
)

// maxLine bounds a line: a record's cells and comments, or the schema.
const maxLine = 256 << 20

// ErrBroken is returned for what is no snapshot, or not the whole of one.
var ErrBroken = errors.New("not a whole snapshot")

// Header is the first line: the schema.
type Header struct {
	Format  string    `json:"format"`
	Version int       `json:"version"`
	TakenAt time.Time `json:"taken_at"`
	Base    Base      `json:"base"`
	Tables  []Table   `json:"tables"`
}

// Base is what the base is called.
type Base struct {
	ID   models.BaseID `json:"id,omitempty"`
	Name string        `json:"name"`
}

// Table is a table with its fields and views in their order.
type Table struct {
	ID          models.TableID `json:"id"`
	Name        string         `json:"name"`
	Description string         `json:"description,omitempty"`
	Primary     models.FieldID `json:"primary_field_id"`
	LastNumber  int64          `json:"last_number"` // that a record had so far
	Fields      []Field        `json:"fields"`
	Views       []View         `json:"views"`
}

// Field is a field. Options are in Airtable's form.
type Field struct {
	ID          models.FieldID   `json:"id"`
	Name        string           `json:"name"`
	Description string           `json:"description,omitempty"`
	Type        models.FieldType `json:"type"`
	Options     json.RawMessage  `json:"options,omitempty"`
}

// View is a view.
type View struct {
	ID          models.ViewID    `json:"id"`
	Name        string           `json:"name"`
	Type        models.ViewType  `json:"type"`
	Position    int              `json:"position"`
	Description string           `json:"description,omitempty"`
	Filter      string           `json:"filter,omitempty"`
	Sort        []Sort           `json:"sort,omitempty"`
	Order       []models.FieldID `json:"field_order,omitempty"`
	Hidden      []models.FieldID `json:"hidden_field_ids,omitempty"`
}

// Sort is one key of a view's order.
type Sort struct {
	Field string `json:"field_id"`
	Desc  bool   `json:"desc,omitempty"`
}

// Row is a record. Cells are in the base store's form, without links.
type Row struct {
	Table      models.TableID                       `json:"table"`
	ID         models.RecordID                      `json:"id"`
	Number     int64                                `json:"number"`
	CreatedAt  time.Time                            `json:"created_at"`
	CreatedBy  string                               `json:"created_by,omitempty"`
	Version    int64                                `json:"version"`
	ModifiedAt time.Time                            `json:"modified_at,omitzero"`
	ModifiedBy string                               `json:"modified_by,omitempty"`
	Touched    map[models.FieldID]json.RawMessage   `json:"touched,omitempty"`
	Cells      map[models.FieldID]json.RawMessage   `json:"cells"`
	Links      map[models.FieldID][]models.RecordID `json:"links,omitempty"`
	Sources    map[models.AttachmentID]string       `json:"sources,omitempty"` // of files that were still to be fetched
	Comments   []Comment                            `json:"comments,omitempty"`
}

// Comment is a comment of a record.
type Comment struct {
	ID        models.CommentID `json:"id"`
	Author    string           `json:"author"`
	Text      string           `json:"text"`
	Parent    models.CommentID `json:"parent,omitempty"`
	Version   int64            `json:"version"`
	CreatedAt time.Time        `json:"created_at"`
	UpdatedAt time.Time        `json:"updated_at,omitzero"`
}

// line is every line but the first.
type line struct {
	Record *Row `json:"record,omitempty"`
	End    *end `json:"end,omitempty"`
}

// end is the last line: without it something is missing.
type end struct {
	Records int64 `json:"records"`
}

// Writer writes a snapshot, compressed.
type Writer struct {
	zip     *gzip.Writer
	enc     *json.Encoder
	records int64
}

// NewWriter begins a snapshot.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	zip, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return nil, fmt.Errorf("write snapshot: %w", err)
	}
	out := &Writer{zip: zip, enc: json.NewEncoder(zip)}
	out.enc.SetEscapeHTML(false)
	h.Format, h.Version = Format, Version
	return out, out.write(h)
}

// Row appends a record. The records of a table come by ascending number.
func (w *Writer) Row(r Row) error {
	w.records++
	return w.write(line{Record: &r})
}

// Records is how many there were.
func (w *Writer) Records() int64 { return w.records }

// Close ends the snapshot; it does not close what is written to.
func (w *Writer) Close() error {
	if err := w.write(line{End: &end{w.records}}); err != nil {
		return err
	}
	if err := w.zip.Close(); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

func (w *Writer) write(v any) error {
	if err := w.enc.Encode(v); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

// Reader reads a snapshot.
type Reader struct {
	in      *bufio.Reader
	header  Header
	records int64
}

// NewReader reads the header of what a Writer wrote.
func NewReader(r io.Reader) (*Reader, error) {
	zip, err := gzip.NewReader(bufio.NewReader(r))
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w: %w", ErrBroken, err)
	}
	return NewPlainReader(zip)
}

// NewPlainReader is NewReader for what is not compressed.
func NewPlainReader(r io.Reader) (*Reader, error) {
	const buffer = 64 << 10
	out := &Reader{in: bufio.NewReaderSize(r, buffer)}
	if err := out.read(&out.header); err != nil {
		return nil, err
	}
	return out, out.header.check()
}

// Header is the schema.
func (r *Reader) Header() Header { return r.header }

// Next returns the next record, or io.EOF behind the last one of a whole snapshot.
func (r *Reader) Next() (Row, error) {
	var l line
	if err := r.read(&l); err != nil {
		return Row{}, err
	}
	switch {
	case l.Record != nil && l.End == nil:
		r.records++
		return *l.Record, l.Record.check()
	case l.End != nil && l.Record == nil && l.End.Records == r.records:
		return Row{}, io.EOF
	}
	return Row{}, fmt.Errorf("read snapshot: %w", ErrBroken)
}

func (r *Reader) read(v any) error {
	var whole []byte
	for {
		piece, err := r.in.ReadSlice('\n')
		whole = append(whole, piece...)
		if len(whole) > maxLine {
			return fmt.Errorf("read snapshot: a line is too long: %w", ErrBroken)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if errors.Is(err, io.EOF) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) {
			// Without err in it: the end of a whole snapshot alone is io.EOF.
			return fmt.Errorf("read snapshot: it ends early: %w", ErrBroken)
		}
		if err != nil {
			return fmt.Errorf("read snapshot: %w", err)
		}
		break
	}
	dec := json.NewDecoder(bytes.NewReader(whole))
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("read snapshot: %w: %w", ErrBroken, err)
	}
	return nil
}

// check refuses ids that are none, and names of what is not there.
func (h Header) check() error {
	if h.Format != Format || h.Version != Version {
		return fmt.Errorf("read snapshot: format %q, version %d: %w", h.Format, h.Version, ErrBroken)
	}
	ok := len(h.Tables) > 0 && len(h.Tables) <= models.MaxTables
	ids := map[string]bool{}
	fresh := func(prefix, key string) {
		ok = ok && models.IsID(prefix, key) && !ids[key]
		ids[key] = true
	}
	for _, t := range h.Tables {
		fresh("tbl", string(t.ID))
		ok = ok && len(t.Fields) <= models.MaxFields && len(t.Views) <= models.MaxViews &&
			slices.ContainsFunc(t.Fields, func(f Field) bool { return f.ID == t.Primary })
		for _, f := range t.Fields {
			fresh("fld", string(f.ID))
			ok = ok && f.Type.Known()
		}
		for _, v := range t.Views {
			fresh("viw", string(v.ID))
		}
	}
	if !ok {
		return fmt.Errorf("read snapshot: the schema: %w", ErrBroken)
	}
	return nil
}

func (r *Row) check() error {
	ok := models.IsID("rec", string(r.ID)) && r.Number > 0
	for _, list := range r.Links {
		for _, to := range list {
			ok = ok && models.IsID("rec", string(to))
		}
	}
	for _, c := range r.Comments {
		ok = ok && models.IsID("com", string(c.ID))
	}
	if !ok {
		return fmt.Errorf("read snapshot: record %.70q: %w", r.ID, ErrBroken)
	}
	return nil
}
