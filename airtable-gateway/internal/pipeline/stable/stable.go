// Package stable gives attachments of Airtable accounts links that do not expire:
// answers name addresses of ours in place of Airtable's, which die after two hours.
//
// What an answer tells of is noted before it is handed out, and copied by a job right
// after. A link that is used before is copied then: from where the file was seen
// last or, when that has expired, from where the record has it now. A copy stays
// when the attachment goes at Airtable, until its connection goes.
//
// The layer belongs below a cache and below what coalesces, announces and marks
// writes: answers are rewritten once, and since their links do not expire they may be
// kept for as long as one likes; those of a connection without the layer hold
// Airtable's links and may not be kept for two hours.
package stable

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"go.uber.org/zap"
	"golang.org/x/sync/singleflight"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/files"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/links"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/logging"
)

// Reach returns the account of a connection, without this layer, or errs.ErrNotFound.
type Reach func(ctx context.Context, tenant id.TenantID, connection models.ConnectionID) (upstream.Upstream, error)

// Options of Links.
type Options struct {
	Files *files.Keeper
	Repo  *repository.StableFiles
	Reach Reach
	Now   func() time.Time
}

// Links makes links and finds what they lead to. It is safe for concurrent use.
type Links struct {
	Options
	noted noted
	once  singleflight.Group
}

// New returns Links, and has the Keeper find by them.
func New(o Options) *Links {
	l := &Links{Options: o}
	o.Files.FindCopiesBy(l.find)
	return l
}

// Of puts the layer before up if the connection wants it.
func (l *Links) Of(up upstream.Upstream, conn models.Connection) upstream.Upstream {
	if !conn.Settings.StableAttachments {
		return up
	}
	return layer{up, l, conn.Tenant, conn.ID}
}

type layer struct {
	upstream.Upstream
	links  *Links
	tenant id.TenantID
	conn   models.ConnectionID
}

// telling are the operations whose answers tell of attachments; in comments if true.
var telling = map[upstream.Op]bool{
	upstream.ListRecords: false, upstream.GetRecord: false, upstream.CreateRecords: false, upstream.UpdateRecords: false,
	upstream.UploadAttachment: false, upstream.ListPayloads: false,
	upstream.ListComments: true, upstream.CreateComment: true, upstream.UpdateComment: true,
}

// Do makes the call with addresses of ours turned back, and answers with addresses
// of ours.
func (l layer) Do(ctx context.Context, c upstream.Call) (upstream.Answer, error) {
	var err error
	if c.Body, err = l.outgoing(ctx, c); err != nil {
		return upstream.Answer{}, fmt.Errorf("%w: %w", upstream.ErrNotSent, err)
	}
	answer, err := l.Upstream.Do(ctx, c)
	inComment, tells := telling[c.Op]
	if err != nil || !tells || answer.Status != http.StatusOK || !bytes.Contains(answer.Body, []byte(`"att`)) {
		return answer, err
	}
	body, err := l.incoming(ctx, c, answer.Body, inComment)
	if err != nil {
		// What was answered counts: Airtable's own links are better than no answer.
		logging.From(ctx).Warn("attachments keep the links of Airtable", zap.Error(err))
		return answer, nil
	}
	answer.Header, answer.Body = v0.Headers(answer.Header, body), body
	return answer, nil
}

// incoming notes the attachments of an answer and puts our links in.
func (l layer) incoming(ctx context.Context, c upstream.Call, body []byte, inComment bool) ([]byte, error) {
	found := attachments(body, place{c.Table, c.Record})
	var seen []repository.StableFile
	var changes []change
	for _, a := range found {
		if a.size > models.MaxFetchedFile {
			continue // more than is copied
		}
		for variant, at := range a.urls {
			f := l.seen(c, a, variant, text(at.of(body)))
			f.InComment = inComment
			seen = append(seen, f)
			changes = append(changes, change{at, models.Marshal(l.links.url(f))})
		}
	}
	if ok, err := l.links.note(ctx, seen); err != nil || !ok {
		return body, err
	}
	return apply(body, changes), nil
}

func (l layer) seen(c upstream.Call, a attachment, v links.Variant, source string) repository.StableFile {
	f := repository.StableFile{
		StableKey: repository.StableKey{Tenant: l.tenant, Connection: l.conn, Attachment: a.id, Variant: string(v)},
		Base:      c.Base, Table: a.table, Record: a.record, Filename: a.filename, Source: source, SeenAt: l.links.Now(),
	}
	if v == links.File { // what it tells of is not the thumbnails
		f.Type, f.SourceSize = a.kind, a.size
	}
	return f
}

func (l *Links) url(f repository.StableFile) string {
	return l.Files.Book().URL(links.Link{
		Kind: links.OfConnection, Variant: links.Variant(f.Variant), Tenant: f.Tenant, Connection: f.Connection, Attachment: string(f.Attachment),
	}, f.Filename)
}

// note stores what was seen, unless this process did lately. It is false if the
// connection is gone.
func (l *Links) note(ctx context.Context, seen []repository.StableFile) (bool, error) {
	byKey := func(a, b repository.StableFile) int {
		return cmp.Or(cmp.Compare(a.Attachment, b.Attachment), cmp.Compare(a.Variant, b.Variant))
	}
	slices.SortStableFunc(seen, byKey)
	seen = slices.CompactFunc(seen, func(a, b repository.StableFile) bool { return a.StableKey == b.StableKey })
	seen = slices.DeleteFunc(seen, func(f repository.StableFile) bool { return l.noted.lately(f, l.Now()) })
	if len(seen) == 0 {
		return true, nil
	}
	ok, err := l.Repo.Note(ctx, seen, copyJobs)
	if err == nil && ok {
		l.noted.add(seen, l.Now())
	}
	return ok, err
}

// outgoing turns addresses of ours in what a client writes into ones that Airtable
// can fetch, or into the id of an attachment that the record has. Objects with an id
// pass as they are.
func (l layer) outgoing(ctx context.Context, c upstream.Call) ([]byte, error) {
	if c.Op != upstream.CreateRecords && c.Op != upstream.UpdateRecords || !bytes.Contains(c.Body, []byte(l.links.Files.Book().Base())) {
		return c.Body, nil
	}
	var changes []change
	for _, o := range objects(c.Body, place{c.Table, c.Record}) {
		link, ours := l.links.Files.Book().Recognize(o.text(c.Body, "url"), l.tenant)
		if _, hasID := o.members["id"]; hasID || !ours || link.Kind != links.OfConnection {
			continue
		}
		f, err := l.links.Repo.StableFile(ctx, keyOf(link))
		if errors.Is(err, errs.ErrNotFound) {
			continue // Airtable finds out that it leads nowhere
		}
		if err != nil {
			return nil, err
		}
		filename := o.text(c.Body, "filename")
		if f.Connection == l.conn && f.Variant == "" && o.record != "" && f.Record == o.record && !f.InComment && (filename == "" || filename == f.Filename) {
			changes = append(changes, change{o.whole, models.Marshal(map[string]models.AttachmentID{"id": f.Attachment})})
			continue
		}
		if f, err = l.links.fresh(ctx, f); err != nil {
			continue // it is gone at Airtable: our own address leads to the copy
		}
		changes = append(changes, change{o.members["url"], models.Marshal(f.Source)})
	}
	return apply(c.Body, changes), nil
}

func keyOf(l links.Link) repository.StableKey {
	return repository.StableKey{Tenant: l.Tenant, Connection: l.Connection, Attachment: models.AttachmentID(l.Attachment), Variant: string(l.Variant)}
}

// sourceLife is how long an address of Airtable's is believed to open: less than the
// two hours that it does.
const sourceLife = 100 * time.Minute

// fresh is f with an address at Airtable that opens.
func (l *Links) fresh(ctx context.Context, f repository.StableFile) (repository.StableFile, error) {
	if l.Now().Sub(f.SeenAt) < sourceLife {
		return f, nil
	}
	return l.again(ctx, f)
}

// mostPages bounds the comments that are gone through for an attachment.
const mostPages = 20

// again finds where the record, or a comment on it, has the file now, or
// files.ErrNotThere.
func (l *Links) again(ctx context.Context, f repository.StableFile) (repository.StableFile, error) {
	if f.Table == "" || f.Record == "" {
		return f, fmt.Errorf("%w: nobody knows its record", files.ErrNotThere)
	}
	up, err := l.Reach(ctx, f.Tenant, f.Connection)
	if errors.Is(err, errs.ErrNotFound) {
		return f, files.ErrNotThere
	}
	if err != nil {
		return f, err
	}
	path := v0.Prefix + "/" + f.Base + "/" + url.PathEscape(f.Table) + "/" + f.Record
	if f.InComment {
		path += "/comments"
	}
	c, ok := v0.Parse(http.MethodGet, path)
	if !ok {
		return f, files.ErrNotThere
	}
	c.Caller, c.Header = upstream.Caller{Tenant: f.Tenant}, http.Header{}
	for range mostPages {
		answer, err := up.Do(ctx, c)
		if err == nil {
			err = judge(answer)
		}
		if err != nil {
			return f, err
		}
		if now, ok := l.in(answer.Body, c, f); ok {
			_, err := l.Repo.Note(ctx, []repository.StableFile{now}, func([]repository.StableKey) []river.JobArgs { return nil })
			return now, err
		}
		offset, more := nextPage(answer.Body)
		if !f.InComment || !more {
			break
		}
		c.RawQuery = url.Values{"offset": {offset}}.Encode()
	}
	return f, files.ErrNotThere
}

func nextPage(body []byte) (string, bool) {
	members, err := v0.Members(body)
	if err != nil {
		return "", false
	}
	for _, m := range members {
		if offset := text(m.Value); m.Name == "offset" && offset != "" {
			return offset, true
		}
	}
	return "", false
}

// judge tells an answer that may be another one later from one that will not.
func judge(a upstream.Answer) error {
	switch a.Status {
	case http.StatusOK:
		return nil
	case http.StatusNotFound, http.StatusForbidden, http.StatusUnprocessableEntity:
		return fmt.Errorf("%w: airtable answers %d", files.ErrNotThere, a.Status)
	}
	return fmt.Errorf("airtable answers %d", a.Status)
}

// in finds f in an answer.
func (l *Links) in(body []byte, c upstream.Call, f repository.StableFile) (repository.StableFile, bool) {
	for _, a := range attachments(body, place{c.Table, c.Record}) {
		at, ok := a.urls[links.Variant(f.Variant)]
		if a.id != f.Attachment || !ok {
			continue
		}
		f.Source, f.SeenAt = text(at.of(body)), l.Now()
		return f, true
	}
	return f, false
}

// copyLimit bounds how long a link may take that is used before its copy is there.
const copyLimit = 30 * time.Minute

// find follows a link, by copying the file if that was not done yet.
func (l *Links) find(ctx context.Context, link links.Link) (files.Found, error) {
	key := keyOf(link)
	f, err := l.Repo.StableFile(ctx, key)
	if err == nil && f.Sum == "" {
		f, err = l.copyOnce(ctx, key)
	}
	if errors.Is(err, errs.ErrNotFound) {
		return files.Found{}, files.ErrNotThere
	}
	if err != nil {
		return files.Found{}, err
	}
	return files.Found{Sum: f.Sum, Type: f.Type, Filename: f.Filename}, nil
}

// copyOnce makes the copy that all wait for who ask for it meanwhile.
func (l *Links) copyOnce(ctx context.Context, key repository.StableKey) (repository.StableFile, error) {
	made, err, _ := l.once.Do(fmt.Sprint(key), func() (any, error) {
		// Others may wait for it too, whoever asked first.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), copyLimit)
		defer cancel()
		// The copy before this one may have ended since the caller looked.
		f, err := l.Repo.StableFile(ctx, key)
		if err != nil || f.Sum != "" {
			return f, err
		}
		return l.copy(ctx, f)
	})
	if err != nil {
		return repository.StableFile{}, err
	}
	return made.(repository.StableFile), nil
}

// copy makes our copy of the file.
func (l *Links) copy(ctx context.Context, f repository.StableFile) (repository.StableFile, error) {
	f, err := l.fresh(ctx, f)
	if err != nil {
		return f, err
	}
	file, err := l.Files.Fetch(ctx, f.Tenant, f.Source, f.Filename)
	if err != nil && files.Permanent(err) { // it may have died before its time
		if f, err = l.again(ctx, f); err == nil {
			file, err = l.Files.Fetch(ctx, f.Tenant, f.Source, f.Filename)
		}
	}
	if err != nil {
		return f, err
	}
	f.Sum = file.Sum
	if f.Type == "" {
		f.Type = file.Type
	}
	return f, l.Repo.Copied(ctx, f.StableKey, f.Sum, f.Type)
}

// noted are the files that this process has stored lately: lists are read over and
// over, and tell of the same files.
type noted struct {
	mu       sync.Mutex
	now, old map[repository.StableKey]int64 // their sizes
	turned   time.Time
}

const (
	// noteEvery is how old the address that is stored may become while the file is seen
	// again and again; far less than sourceLife.
	noteEvery = 15 * time.Minute
	mostNoted = 50_000
)

func (n *noted) lately(f repository.StableFile, at time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.turn(at)
	size, ok := n.now[f.StableKey]
	if !ok {
		size, ok = n.old[f.StableKey]
	}
	return ok && size == f.SourceSize
}

func (n *noted) add(seen []repository.StableFile, at time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.turn(at)
	for _, f := range seen {
		n.now[f.StableKey] = f.SourceSize
	}
}

// turn forgets what is older than one to two times noteEvery.
func (n *noted) turn(at time.Time) {
	age := at.Sub(n.turned)
	switch {
	case n.now == nil || age >= 2*noteEvery:
		n.now, n.old, n.turned = map[repository.StableKey]int64{}, nil, at
	case age >= noteEvery || len(n.now) >= mostNoted:
		n.now, n.old, n.turned = map[repository.StableKey]int64{}, n.now, at
	}
}
