package models

import (
	"encoding/json"
	"net/url"
	"strings"
)

// AttachmentID names a file in a cell: att…
type AttachmentID string

// Attachment returns the id of a new attachment.
func (s *IDs) Attachment() AttachmentID { return AttachmentID(s.New("att")) }

// Attachment is a file in a cell. Its bytes never change; its links do, and are made
// when it is shown.
type Attachment struct {
	ID            AttachmentID
	Filename      string
	Size          int64
	Type          string
	Width, Height int    // of a picture; 0 for others
	Sum           string // SHA-256 of the bytes, hexadecimal; "" until they are fetched
}

// Airtable's limits of files.
const (
	MaxFetchedFile  = 1 << 30 // by URL
	MaxUploadedFile = 5 << 20 // by the upload endpoint
	maxCellFiles    = 1_000   // unconfirmed: Airtable names no limit
	maxFilename     = 255     // unconfirmed: longer ones are cut
	maxFileURL      = 8_192
)

// FileRef is one element of what a client writes into a cell of attachments: a file
// to fetch, one that is there already, or one that came with the call.
type FileRef struct {
	ID       AttachmentID
	URL      string
	Filename string
}

// MarshalJSON writes the attachment as Airtable shows it, without links: for events
// and whatever else outlives a link.
func (a Attachment) MarshalJSON() ([]byte, error) { return Marshal(a.shown()), nil }

func (a Attachment) shown() any {
	return struct {
		ID       AttachmentID `json:"id"`
		Filename string       `json:"filename"`
		Size     int64        `json:"size,omitempty"`
		Type     string       `json:"type,omitempty"`
		Width    int          `json:"width,omitempty"`
		Height   int          `json:"height,omitempty"`
	}{a.ID, a.Filename, a.Size, a.Type, a.Width, a.Height}
}

// stored is the attachment in stored form, as JSON decodes it.
func (a Attachment) stored() map[string]any {
	m := map[string]any{"id": string(a.ID), "filename": a.Filename}
	if a.Sum == "" {
		return m
	}
	m["sum"], m["size"], m["type"] = a.Sum, float64(a.Size), a.Type
	if a.Width > 0 {
		m["width"], m["height"] = float64(a.Width), float64(a.Height)
	}
	return m
}

// StoredAttachments is a cell in stored form; nil for an empty list.
func StoredAttachments(list []Attachment) any {
	if len(list) == 0 {
		return nil
	}
	out := make([]any, len(list))
	for i, a := range list {
		out[i] = a.stored()
	}
	return out
}

// Attachments reads a cell in stored form.
func Attachments(stored any) []Attachment {
	list, _ := stored.([]any)
	out := make([]Attachment, 0, len(list))
	for _, item := range list {
		m, ok := item.(map[string]any)
		if !ok {
			continue
		}
		text := func(key string) string { s, _ := m[key].(string); return s }
		number := func(key string) int64 { n, _ := float(m[key]); return int64(n) }
		out = append(out, Attachment{
			ID: AttachmentID(text("id")), Filename: text("filename"), Sum: text("sum"), Type: text("type"),
			Size: number("size"), Width: int(number("width")), Height: int(number("height")),
		})
	}
	return out
}

func readAttachments(f *Field, r *Record) (any, error) {
	if list := Attachments(r.Cells[f.ID]); len(list) > 0 {
		return list, nil
	}
	return nil, nil
}

// textAttachments shows `name (url)`, or only names where there is nobody to hand a
// link to: sorting, filtering, the titles of records.
func textAttachments(_ *Field, v any, d Display) string {
	list, _ := v.([]Attachment)
	if one, ok := v.(Attachment); ok { // looked up
		list = []Attachment{one}
	}
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = a.Filename
		if d.Link != nil {
			texts[i] += " (" + d.Link(a) + ")"
		}
	}
	return strings.Join(texts, ", ")
}

// writeAttachments reads [{"url":…,"filename":…},{"id":…}]. Beside an id other keys
// are ignored, since clients send back what they read.
//
// unconfirmed: with typecast a URL, several with commas between them, and a list of
// them stand for files to fetch.
func writeAttachments(f *Field, v any, typecast bool) (Written, error) {
	list, ok := v.([]any)
	if s, isText := v.(string); isText && typecast {
		list, ok = splitLinks(s), true
	}
	if !ok {
		return Written{}, InvalidValue(f.Name)
	}
	if len(list) > maxCellFiles {
		return Written{}, InvalidAttachment(f.Name)
	}
	var w Written
	for _, item := range list {
		if s, isText := item.(string); isText && typecast {
			item = map[string]any{"url": s}
		}
		ref, ok := fileRef(item)
		if !ok {
			return Written{}, InvalidAttachment(f.Name)
		}
		w.Files = append(w.Files, ref)
	}
	return w, nil
}

func fileRef(item any) (FileRef, bool) {
	m, ok := item.(map[string]any)
	if !ok {
		return FileRef{}, false
	}
	if m["id"] != nil {
		s, _ := m["id"].(string)
		return FileRef{ID: AttachmentID(s)}, IsID("att", s)
	}
	address, _ := m["url"].(string)
	name, isText := m["filename"].(string)
	if !isText && m["filename"] != nil || !fetchable(address) {
		return FileRef{}, false
	}
	return FileRef{URL: address, Filename: CleanFilename(name)}, true
}

func fetchable(address string) bool {
	u, err := url.Parse(address)
	return err == nil && len(address) <= maxFileURL && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// CleanFilename is name as a file may be called: one line, no path, not too long; ""
// if nothing is left of it.
func CleanFilename(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == '/' || r == '\\' {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(strings.TrimSpace(name), "_"))
	if len(name) > maxFilename {
		name = strings.ToValidUTF8(name[:maxFilename], "")
	}
	if strings.Trim(name, ".") == "" {
		return ""
	}
	return name
}

// FilenameOf is what a file is called that was fetched from the address and has no
// other name: the last segment of its path.
func FilenameOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return unnamedFile
	}
	if name := CleanFilename(u.Path[strings.LastIndexByte(u.Path, '/')+1:]); name != "" {
		return name
	}
	return unnamedFile
}

// unnamedFile is what a file is called whose address has no path.
const unnamedFile = "attachment"

// Upload is the body of a call that brings a file with it.
type Upload struct {
	Type, Filename string
	File           string // base64
}

// ParseUpload reads {"contentType":…,"filename":…,"file":…}; all three must be there.
func ParseUpload(body []byte) (Upload, error) {
	in, err := DecodeObject(body)
	if err != nil {
		return Upload{}, err
	}
	var u Upload
	for key, into := range map[string]*string{"contentType": &u.Type, "filename": &u.Filename, "file": &u.File} {
		var ok bool
		if *into, ok = in[key].(string); !ok {
			return Upload{}, ErrInvalidRequest
		}
	}
	if u.Filename = CleanFilename(u.Filename); u.Filename == "" || u.Type == "" {
		return Upload{}, ErrInvalidRequest
	}
	return u, nil
}

// PartialSuccess is the "details" of an answer whose files could not all be fetched.
//
// unconfirmed: the spelling of both words.
var PartialSuccess = json.RawMessage(`{"message":"partialSuccess","reasons":["attachmentsFailedUploading"]}`)
