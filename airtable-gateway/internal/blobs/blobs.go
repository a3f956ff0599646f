// Package blobs stores bytes by their content: in a local directory, or in a bucket
// of S3. The same bytes of a tenant are stored once; tenants share nothing.
package blobs

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	_ "gocloud.dev/blob/s3blob" // buckets at s3://
	"gocloud.dev/gcerrors"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/allowance"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// inMemory is how many bytes of one file are held at most. Larger ones are written
// under a name of their own until their sum is known.
const inMemory = 1 << 20

// incoming is where larger files arrive.
const incoming = "incoming/"

// grace is how long bytes stay that nothing refers to: far longer than it takes from
// storing them to referring to them.
const grace = 24 * time.Hour

// ErrTooLarge is returned by Put for more bytes than were allowed.
var ErrTooLarge = errors.New("more bytes than allowed")

// ErrGone is returned by Open for bytes that are not there.
var ErrGone = errors.New("no such bytes")

// Store keeps bytes. It is safe for concurrent use, and any number of Stores may
// share a bucket and a database.
type Store struct {
	bucket    *blob.Bucket
	repo      *repository.Files
	now       func() time.Time
	allowance *allowance.Allowance
	collected prometheus.Counter
	freed     prometheus.Counter
}

// Open opens the bucket at the address: file:///path, a directory, which is made if
// it is not there, or s3://bucket with gocloud's parameters (region, endpoint,
// use_path_style…) and AWS's variables for credentials. What a tenant may have there is
// up to within.
func Open(ctx context.Context, address string, repo *repository.Files, within *allowance.Allowance, now func() time.Time,
	metrics prometheus.Registerer,
) (*Store, error) {
	bucket, err := open(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("open the store of files: %w", err)
	}
	s := &Store{
		bucket: bucket, repo: repo, now: now, allowance: within,
		collected: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "airtable_blobs_collected_total", Help: "Stored files that nothing referred to any more and that were removed."}),
		freed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "airtable_blobs_collected_bytes_total", Help: "The bytes of those."}),
	}
	metrics.MustRegister(s.collected, s.freed)
	return s, nil
}

func open(ctx context.Context, address string) (*blob.Bucket, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "file" {
		return blob.OpenBucket(ctx, address)
	}
	dir := u.Path
	if !filepath.IsAbs(dir) || u.Host != "" || u.RawQuery != "" {
		return nil, fmt.Errorf("%s: want file:///path", address)
	}
	const private = 0o700
	if err := os.MkdirAll(dir, private); err != nil {
		return nil, err
	}
	// Temporary files beside the final ones: only within a file system is a rename atomic.
	return fileblob.OpenBucket(dir, &fileblob.Options{NoTempDir: true, DirFileMode: private, Metadata: fileblob.MetadataDontWrite})
}

// Close gives the bucket back.
func (s *Store) Close() error { return s.bucket.Close() }

// Stored is what Put has stored.
type Stored struct {
	Sum  string // SHA-256, hexadecimal
	Size int64
	Head []byte // the first bytes, at most 512
}

const headSize = 512

func key(tenant id.TenantID, sum string) string { return tenant.String() + "/" + sum[:2] + "/" + sum }

// Put stores what r holds, limit bytes at most, whole or not at all. Nothing may
// refer to it that is not written within a day. Bytes that the tenant did not have yet
// and that its plan does not allow are tenantapi.ErrLimitReached.
func (s *Store) Put(ctx context.Context, tenant id.TenantID, r io.Reader, limit int64) (Stored, error) {
	return s.put(ctx, tenant, r, limit, s.admit)
}

// PutFree is Put of what is made of a file that the tenant has. It counts, but is never
// refused.
func (s *Store) PutFree(ctx context.Context, tenant id.TenantID, r io.Reader, limit int64) (Stored, error) {
	return s.put(ctx, tenant, r, limit, func(context.Context, id.TenantID, Stored) (allowance.Hold, error) { return allowance.Hold{}, nil })
}

// admission sets the bytes aside that are to be stored.
type admission func(ctx context.Context, tenant id.TenantID, b Stored) (allowance.Hold, error)

func (s *Store) admit(ctx context.Context, tenant id.TenantID, b Stored) (allowance.Hold, error) {
	if s.allowance == nil {
		return allowance.Hold{}, nil
	}
	known, err := s.repo.HasBlob(ctx, tenant, b.Sum)
	if err != nil || known {
		return allowance.Hold{}, err
	}
	return s.allowance.File(ctx, tenant, b.Size)
}

func (s *Store) put(ctx context.Context, tenant id.TenantID, r io.Reader, limit int64, admit admission) (Stored, error) {
	r = &limited{r, limit}
	first := make([]byte, inMemory)
	n, err := io.ReadFull(r, first)
	first = first[:n]
	head := first[:min(n, headSize):min(n, headSize)]
	switch {
	case err == nil:
		return s.putLarge(ctx, tenant, head, io.MultiReader(bytes.NewReader(first), r), admit)
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return Stored{}, fmt.Errorf("store bytes: %w", err)
	}
	sum := sha256.Sum256(first)
	out := Stored{Sum: hex.EncodeToString(sum[:]), Size: int64(n), Head: bytes.Clone(head)}
	return out, s.settle(ctx, tenant, out, admit, func(to string) error { return s.bucket.WriteAll(ctx, to, first, nil) })
}

// putLarge writes to a place of its own first.
func (s *Store) putLarge(ctx context.Context, tenant id.TenantID, head []byte, r io.Reader, admit admission) (Stored, error) {
	out := Stored{Head: bytes.Clone(head)}
	from := incoming + rand.Text()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // a writer whose context ended leaves nothing behind
	w, err := s.bucket.NewWriter(ctx, from, &blob.WriterOptions{ContentType: "application/octet-stream"})
	if err != nil {
		return out, fmt.Errorf("store bytes: %w", err)
	}
	hash := sha256.New()
	if out.Size, err = io.Copy(io.MultiWriter(w, hash), r); err != nil {
		cancel()
		_ = w.Close()
		return out, fmt.Errorf("store bytes: %w", err)
	}
	if err := w.Close(); err != nil {
		return out, fmt.Errorf("store bytes: %w", err)
	}
	defer func() { _ = s.bucket.Delete(context.WithoutCancel(ctx), from) }() // else Collect does
	out.Sum = hex.EncodeToString(hash.Sum(nil))
	return out, s.settle(ctx, tenant, out, admit, func(to string) error { return s.bucket.Copy(ctx, to, from, nil) })
}

// settle notes that the bytes are used, and has them written unless they are there.
// The order matters: once they are noted the collector lets them be.
func (s *Store) settle(ctx context.Context, tenant id.TenantID, b Stored, admit admission, write func(to string) error) error {
	hold, err := admit(ctx, tenant, b)
	if err != nil {
		return err
	}
	defer hold.Close(ctx)
	if err := s.repo.UseBlob(ctx, tenant, b.Sum, b.Size, s.now()); err != nil {
		return err
	}
	there, err := s.bucket.Exists(ctx, key(tenant, b.Sum))
	if err == nil && !there {
		err = write(key(tenant, b.Sum))
	}
	if err != nil {
		return fmt.Errorf("store bytes: %w", err)
	}
	return nil
}

// Use keeps bytes that are there from being collected for a day, or returns ErrGone.
func (s *Store) Use(ctx context.Context, tenant id.TenantID, sum string, size int64) error {
	if err := s.repo.UseBlob(ctx, tenant, sum, size, s.now()); err != nil {
		return err
	}
	there, err := s.bucket.Exists(ctx, key(tenant, sum))
	if err == nil && !there {
		err = ErrGone
	}
	return err
}

// Open returns the bytes, which can be read from any place, or ErrGone. It must be
// closed.
func (s *Store) Open(ctx context.Context, tenant id.TenantID, sum string) (io.ReadSeekCloser, error) {
	r, err := s.bucket.NewReader(ctx, key(tenant, sum), nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("open bytes: %w", err)
	}
	return r, nil
}

// collectedAtOnce bounds how many bytes' names are held at a time.
const collectedAtOnce = 500

// Collect removes all bytes that nothing has referred to for a day, and what
// interrupted writes left behind. It returns how many it removed. Running it twice,
// or in two places, does no harm.
func (s *Store) Collect(ctx context.Context) (int, error) {
	before := s.now().Add(-grace)
	removed := 0
	for {
		unused, err := s.repo.UnusedBlobs(ctx, before, collectedAtOnce)
		if err != nil {
			return removed, err
		}
		kept := 0
		for _, b := range unused {
			gone, err := s.repo.ForgetBlob(ctx, b, before, func() error { return s.erase(ctx, key(b.Tenant, b.Sum)) })
			if err != nil {
				return removed, err
			}
			if !gone { // somebody was faster
				kept++
				continue
			}
			removed++
			s.collected.Inc()
			s.freed.Add(float64(b.Size))
		}
		if len(unused) < collectedAtOnce || kept == len(unused) {
			return removed, s.sweep(ctx, before)
		}
	}
}

// EraseAll removes all bytes of the tenant, which nothing refers to any more, and returns
// how many it removed that were noted. Running it twice, or in two places, does no harm.
func (s *Store) EraseAll(ctx context.Context, tenant id.TenantID) (int64, error) {
	removed, after := int64(0), ""
	for {
		list, err := s.repo.BlobsOf(ctx, tenant, after, collectedAtOnce)
		if err != nil {
			return removed, err
		}
		if len(list) == 0 {
			return removed, s.eraseUnder(ctx, tenant.String()+"/")
		}
		for _, b := range list {
			n, err := s.eraseBlob(ctx, b)
			if removed += n; err != nil {
				return removed, err
			}
			after = b.Sum
		}
	}
}

// eraseBlob removes bytes however short ago they were used.
func (s *Store) eraseBlob(ctx context.Context, b repository.Blob) (int64, error) {
	gone, err := s.repo.ForgetBlob(ctx, b, s.now().Add(grace), func() error { return s.erase(ctx, key(b.Tenant, b.Sum)) })
	if err != nil {
		return 0, err
	}
	if gone {
		return 1, nil
	}
	known, err := s.repo.HasBlob(ctx, b.Tenant, b.Sum)
	if err == nil && known {
		err = fmt.Errorf("erase bytes: something refers to %s", b.Sum)
	}
	return 0, err
}

// eraseUnder removes what is stored under the prefix.
func (s *Store) eraseUnder(ctx context.Context, prefix string) error {
	list := s.bucket.List(&blob.ListOptions{Prefix: prefix})
	for {
		o, err := list.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list stored bytes: %w", err)
		}
		if err := s.erase(ctx, o.Key); err != nil {
			return err
		}
	}
}

func (s *Store) erase(ctx context.Context, key string) error {
	if err := s.bucket.Delete(ctx, key); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return fmt.Errorf("erase bytes: %w", err)
	}
	return nil
}

// sweep removes files that began to arrive before then and never did.
func (s *Store) sweep(ctx context.Context, before time.Time) error {
	list := s.bucket.List(&blob.ListOptions{Prefix: incoming})
	for {
		o, err := list.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list what is arriving: %w", err)
		}
		if o.ModTime.Before(before) {
			if err := s.erase(ctx, o.Key); err != nil {
				return err
			}
		}
	}
}

// limited fails where io.LimitReader would end.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, ErrTooLarge
	}
	return n, err
}
