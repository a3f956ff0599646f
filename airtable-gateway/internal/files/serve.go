package files

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/blobs"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/links"
)

// Download answers GET and HEAD for the link whose address ends with rest. An error
// is returned before anything is written: ErrNotThere also for what is no link,
// ErrExpired, ErrNotYet, or one of the database or the store.
func (k *Keeper) Download(w http.ResponseWriter, r *http.Request, rest string) error {
	l, err := k.book.Read(rest)
	if err != nil {
		return ErrNotThere
	}
	found, err := k.find(r.Context(), l)
	if err != nil {
		return err
	}
	content, err := k.blobs.Open(r.Context(), l.Tenant, found.Sum)
	if errors.Is(err, blobs.ErrGone) {
		return fmt.Errorf("%w: %w", ErrNotThere, err)
	}
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }()
	k.describe(w.Header(), l, found)
	http.ServeContent(w, r, "", time.Time{}, content)
	return nil
}

// csp lets nothing run that a file may hold, and puts what is shown of it into an
// origin of its own.
const csp = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src 'self'; sandbox; frame-ancestors *"

// describe writes the headers. A stranger's file is served beside the API: none may
// be taken for a page of it.
func (k *Keeper) describe(h http.Header, l links.Link, f Found) {
	kind := f.Type
	disposition := "attachment"
	if shownInline(kind) {
		disposition = "inline"
	}
	if kind == "" {
		kind = unknownType
	}
	if strings.HasPrefix(kind, "text/") {
		kind += "; charset=utf-8"
	}
	h.Set("Content-Type", kind)
	h.Set("Content-Disposition", mime.FormatMediaType(disposition, map[string]string{"filename": f.Filename}))
	h.Set("Content-Security-Policy", csp)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("ETag", `"`+f.Sum+`"`)
	h.Set("Cache-Control", k.caching(l))
}

// keptCopy is how long a copy that does not expire may be kept without asking.
const keptCopy = 24 * time.Hour

func (k *Keeper) caching(l links.Link) string {
	left := keptCopy
	if !l.Expires.IsZero() {
		left = l.Expires.Sub(k.now())
	}
	return fmt.Sprintf("private, max-age=%d", int(left.Seconds()))
}

// shownInline lists what browsers may show by themselves: nothing that can hold a
// script.
func shownInline(kind string) bool {
	switch kind {
	case "image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp", "text/plain":
		return true
	}
	return strings.HasPrefix(kind, "audio/") || strings.HasPrefix(kind, "video/")
}

// ServeHTTP is Download with its errors as plain statuses, for the emulator.
func (k *Keeper) ServeHTTP(w http.ResponseWriter, r *http.Request, rest string) {
	err := k.Download(w, r, rest)
	switch {
	case err == nil:
	case errors.Is(err, ErrExpired):
		http.Error(w, "The link has expired.", http.StatusGone)
	case errors.Is(err, ErrNotYet):
		w.Header().Set("Retry-After", "2")
		http.Error(w, "The file is not there yet.", http.StatusServiceUnavailable)
	case errors.Is(err, ErrNotThere), errors.Is(err, context.Canceled):
		http.Error(w, "Not found.", http.StatusNotFound)
	default:
		http.Error(w, "Internal error.", http.StatusInternalServerError)
	}
}
