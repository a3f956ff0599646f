// Package files is what attachments of both kinds of connections have in common:
// fetching and keeping their bytes, and handing them out under links that open
// without a token.
package files

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/blobs"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/fetch"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/links"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pictures"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// Keeper keeps files. It is safe for concurrent use.
type Keeper struct {
	blobs   *blobs.Store
	fetch   *fetch.Client
	repo    *repository.Files
	book    *links.Book
	now     func() time.Time
	copies  Finder
	decodes chan struct{}
	making  singleflight.Group
}

// Parts are what a Keeper is made of.
type Parts struct {
	Blobs *blobs.Store
	Fetch *fetch.Client
	Repo  *repository.Files
	Book  *links.Book
	Now   func() time.Time
}

// New returns a Keeper.
func New(p Parts) *Keeper {
	// A picture may take 256 MB while it is shrunk: one at a time.
	return &Keeper{blobs: p.Blobs, fetch: p.Fetch, repo: p.Repo, book: p.Book, now: p.Now, decodes: make(chan struct{}, 1)}
}

// Found is what a link leads to.
type Found struct {
	Sum, Type, Filename string
}

// Finder finds what a link of kind OfConnection leads to. It returns ErrNotThere, or
// ErrNotYet.
type Finder func(ctx context.Context, l links.Link) (Found, error)

// FindCopiesBy has links of kind OfConnection found by f; without it there are none.
// It is called before the Keeper is used.
func (k *Keeper) FindCopiesBy(f Finder) { k.copies = f }

// Book makes the links.
func (k *Keeper) Book() *links.Book { return k.book }

// Why a link leads to nothing.
var (
	ErrNotThere = errors.New("nothing is there")
	ErrExpired  = errors.New("the link has expired")
	ErrNotYet   = errors.New("the file is not there yet")
)

// Keep stores what r holds as a file, limit bytes at most. The answer has no id.
func (k *Keeper) Keep(ctx context.Context, tenant id.TenantID, r io.Reader, limit int64, declared, filename string) (models.Attachment, error) {
	stored, err := k.blobs.Put(ctx, tenant, r, limit)
	if err != nil {
		return models.Attachment{}, err
	}
	a := models.Attachment{Filename: filename, Size: stored.Size, Sum: stored.Sum, Type: typeOf(stored.Head, declared, filename)}
	return a, k.measure(ctx, tenant, &a)
}

// measure finds out how large a picture is. One that cannot be read is a file like
// any other.
func (k *Keeper) measure(ctx context.Context, tenant id.TenantID, a *models.Attachment) error {
	if !pictures.Types[a.Type] {
		return nil
	}
	r, err := k.blobs.Open(ctx, tenant, a.Sum)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	if size, err := pictures.Measure(r); err == nil {
		a.Width, a.Height = size.Width, size.Height
	}
	return nil
}

// unknownType is the media type of what tells nothing about itself.
const unknownType = "application/octet-stream"

// typeOf decides on a media type: what the bytes say of pictures, else what was
// declared, else what the name or the bytes suggest. What claims to be a picture of
// a kind that is recognized and is none has no type.
func typeOf(head []byte, declared, filename string) string {
	sniffed, _, _ := strings.Cut(http.DetectContentType(head), ";")
	if pictures.Types[sniffed] {
		return sniffed
	}
	kind, _, err := mime.ParseMediaType(declared)
	if err != nil || kind == unknownType || !strings.Contains(kind, "/") {
		kind, _, _ = strings.Cut(mime.TypeByExtension(strings.ToLower(path.Ext(filename))), ";")
	}
	switch {
	case pictures.Types[kind]:
		return unknownType
	case kind == "":
		return sniffed
	}
	return kind
}

// Fetch downloads the file at the address and keeps it, under the filename or, if
// that is "", the one that the address suggests. The answer has no id. An address of
// our own is not called: it means the file that it leads to. Errors for which
// Permanent is true are not worth another try.
func (k *Keeper) Fetch(ctx context.Context, tenant id.TenantID, address, filename string) (models.Attachment, error) {
	if l, ours := k.book.Recognize(address, tenant); ours {
		return k.again(ctx, l, filename)
	}
	answer, err := k.fetch.Get(ctx, address, models.MaxFetchedFile)
	if err != nil {
		return models.Attachment{}, err
	}
	defer func() { _ = answer.Body.Close() }()
	if filename == "" {
		filename = answer.Name
	}
	if filename == "" {
		filename = models.FilenameOf(address)
	}
	return k.Keep(ctx, tenant, answer.Body, models.MaxFetchedFile, answer.Type, filename)
}

// Permanent reports whether fetching again would end the same.
func Permanent(err error) bool {
	return fetch.Permanent(err) || errors.Is(err, blobs.ErrTooLarge) || errors.Is(err, ErrNotThere) || errors.Is(err, ErrExpired)
}

// again is the file that a link of ours leads to.
func (k *Keeper) again(ctx context.Context, l links.Link, filename string) (models.Attachment, error) {
	found, err := k.find(ctx, l)
	if err != nil {
		return models.Attachment{}, err
	}
	r, err := k.blobs.Open(ctx, l.Tenant, found.Sum)
	if err != nil {
		return models.Attachment{}, err
	}
	defer func() { _ = r.Close() }()
	size, err := r.Seek(0, io.SeekEnd)
	if err != nil {
		return models.Attachment{}, fmt.Errorf("measure file: %w", err)
	}
	if filename == "" {
		filename = found.Filename
	}
	if err := k.blobs.Use(ctx, l.Tenant, found.Sum, size); err != nil {
		return models.Attachment{}, err
	}
	a := models.Attachment{Filename: filename, Size: size, Sum: found.Sum, Type: found.Type}
	return a, k.measure(ctx, l.Tenant, &a)
}

// find follows a link.
func (k *Keeper) find(ctx context.Context, l links.Link) (Found, error) {
	if !l.Expires.IsZero() && !k.now().Before(l.Expires) {
		return Found{}, ErrExpired
	}
	switch {
	case l.Kind == links.OfConnection && k.copies != nil:
		return k.copies(ctx, l)
	case l.Kind != links.OfStore:
		return Found{}, ErrNotThere
	}
	a, err := k.repo.Attachment(ctx, l.Tenant, models.AttachmentID(l.Attachment))
	switch {
	case errors.Is(err, errs.ErrNotFound):
		return Found{}, ErrNotThere
	case err != nil:
		return Found{}, err
	case a.Sum == "":
		return Found{}, ErrNotYet
	}
	found := Found{Sum: a.Sum, Type: a.Type, Filename: a.Filename}
	square, isThumb := squares[l.Variant]
	size := pictures.Size{Width: a.Width, Height: a.Height}
	switch {
	case !isThumb, size.Fit(square) == size:
		return found, nil
	case !size.Readable():
		return Found{}, ErrNotThere
	}
	return k.thumbnail(ctx, l.Tenant, found, l.Variant)
}

// squares are what thumbnails fit into.
var squares = map[links.Variant]int{links.Small: 36, links.Large: 512, links.Full: 3000}

// thumbnail finds a small picture, or makes it: once, whoever asks for it meanwhile.
func (k *Keeper) thumbnail(ctx context.Context, tenant id.TenantID, of Found, variant links.Variant) (Found, error) {
	known, err := k.repo.Thumbnail(ctx, tenant, of.Sum, string(variant))
	if errors.Is(err, errs.ErrNotFound) {
		made, makeErr, _ := k.making.Do(tenant.String()+of.Sum+string(variant), func() (any, error) {
			return k.shrink(ctx, tenant, of.Sum, variant)
		})
		if makeErr != nil {
			return Found{}, makeErr
		}
		known, err = made.(repository.Thumbnail), nil
	}
	if err != nil {
		return Found{}, err
	}
	name := strings.TrimSuffix(of.Filename, path.Ext(of.Filename))
	if known.Type == "image/jpeg" {
		return Found{Sum: known.Sum, Type: known.Type, Filename: name + ".jpg"}, nil
	}
	return Found{Sum: known.Sum, Type: known.Type, Filename: name + ".png"}, nil
}

// mostThumbnail bounds a thumbnail's bytes: 3000 x 3000 pixels that do not compress.
const mostThumbnail = 64 << 20

func (k *Keeper) shrink(ctx context.Context, tenant id.TenantID, sum string, variant links.Variant) (repository.Thumbnail, error) {
	select {
	case k.decodes <- struct{}{}:
		defer func() { <-k.decodes }()
	case <-ctx.Done():
		return repository.Thumbnail{}, ctx.Err()
	}
	r, err := k.blobs.Open(ctx, tenant, sum)
	if err != nil {
		return repository.Thumbnail{}, err
	}
	defer func() { _ = r.Close() }()
	var small bytes.Buffer
	kind, err := pictures.Shrink(&small, r, squares[variant])
	if errors.Is(err, pictures.ErrUnreadable) {
		return repository.Thumbnail{}, fmt.Errorf("%w: %w", ErrNotThere, err)
	}
	if err != nil {
		return repository.Thumbnail{}, err
	}
	stored, err := k.blobs.PutFree(ctx, tenant, &small, mostThumbnail)
	if err != nil {
		return repository.Thumbnail{}, err
	}
	t := repository.Thumbnail{Sum: stored.Sum, Type: kind}
	return t, k.repo.PutThumbnail(ctx, tenant, sum, string(variant), t)
}

// Lifetime is how long links to attachments of the base store open, as Airtable's do.
const Lifetime = 2 * time.Hour

// window is how long an attachment keeps one address, so that browsers and proxies
// have a use for what they kept: links live Lifetime at least and this longer at most.
const window = 15 * time.Minute

// Link is the address of an attachment of the base store, or of a picture of it.
func (k *Keeper) Link(tenant id.TenantID, a models.Attachment, v links.Variant) string {
	return k.book.URL(links.Link{
		Kind: links.OfStore, Variant: v, Tenant: tenant, Attachment: string(a.ID),
		Expires: k.now().Truncate(window).Add(window + Lifetime),
	}, a.Filename)
}

// Thumbnail is a small picture of an attachment, as it is shown.
type Thumbnail struct {
	Name string
	URL  string
	pictures.Size
}

// Thumbnails are the small pictures of a, if it is a picture that can be made small.
//
// unconfirmed: what Airtable calls full has its real size here, 3000 x 3000 there.
func (k *Keeper) Thumbnails(tenant id.TenantID, a models.Attachment) []Thumbnail {
	size := pictures.Size{Width: a.Width, Height: a.Height}
	if !size.Readable() {
		return nil
	}
	var out []Thumbnail
	for _, v := range []links.Variant{links.Small, links.Large, links.Full} {
		out = append(out, Thumbnail{string(v), k.Link(tenant, a, v), size.Fit(squares[v])})
	}
	return out
}
