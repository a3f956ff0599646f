// Package apidocs serves one OpenAPI document of all services, made of their own, and a
// page to read and try it that needs nothing from elsewhere.
package apidocs

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/pkg/api"
)

//go:embed docs.html
var page []byte

// scriptHash lets the browser run the page's own script and no other.
var scriptHash = func() string {
	_, rest, _ := bytes.Cut(page, []byte("<script>"))
	script, _, _ := bytes.Cut(rest, []byte("</script>"))
	sum := sha256.Sum256(script)
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}()

const (
	refreshEvery = 30 * time.Second
	retryEvery   = time.Second // until every service has been heard
	fetchTime    = 3 * time.Second
	documentMost = 8 << 20
)

// Docs is the merged document, kept fresh by Run.
type Docs struct {
	services  []api.Service
	addresses map[string][]string
	log       *zap.Logger
	client    *http.Client
	parts     map[string]part // by service; only Run touches it
	current   atomic.Pointer[document]
	html      document
}

type part struct {
	etag string // hash of the bytes
	doc  map[string]any
}

// document is what is sent, in both codings.
type document struct {
	plain, zipped []byte
	etag          string
}

// New returns the documents of the services, empty until Run has fetched them.
func New(services []api.Service, addresses map[string][]string, log *zap.Logger) *Docs {
	d := &Docs{
		services: services, addresses: addresses, log: log, parts: map[string]part{},
		client: &http.Client{Timeout: fetchTime},
		html:   newDocument(page),
	}
	d.publish()
	return d
}

func newDocument(b []byte) document {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write(b) // a bytes.Buffer takes everything
	_ = w.Close()
	sum := sha256.Sum256(b)
	return document{plain: b, zipped: z.Bytes(), etag: `"` + hex.EncodeToString(sum[:8]) + `"`}
}

// Run fetches the services' documents until ctx ends. A service that is away keeps the
// last document that was had of it.
func (d *Docs) Run(ctx context.Context) error {
	for {
		complete := d.refresh(ctx)
		wait := refreshEvery
		if !complete {
			wait = retryEvery
		}
		select {
		case <-ctx.Done():
			d.client.CloseIdleConnections()
			return nil
		case <-time.After(wait):
		}
	}
}

// refresh returns whether there is a document of every service that offers something.
func (d *Docs) refresh(ctx context.Context) bool {
	changed, complete := false, true
	for _, s := range d.services {
		if len(s.Ops) == 0 {
			continue
		}
		p, err := d.fetch(ctx, s)
		if err != nil {
			if _, known := d.parts[s.Name]; !known {
				complete = false
			}
			d.log.Debug("no openapi document", zap.String("of", s.Name), zap.Error(err))
			continue
		}
		if d.parts[s.Name].etag != p.etag {
			d.parts[s.Name] = p
			changed = true
		}
	}
	if changed {
		d.publish()
	}
	return complete
}

func (d *Docs) fetch(ctx context.Context, s api.Service) (part, error) {
	var last error
	for _, base := range d.addresses[s.Name] {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/openapi.json", nil)
		if err != nil {
			return part{}, err
		}
		p, err := d.read(req)
		if err == nil {
			return p, nil
		}
		last = err
	}
	return part{}, fmt.Errorf("fetch openapi document of %s: %w", s.Name, last)
}

func (d *Docs) read(req *http.Request) (part, error) {
	resp, err := d.client.Do(req)
	if err != nil {
		return part{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return part{}, fmt.Errorf("status %d", resp.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, documentMost))
	if err != nil {
		return part{}, err
	}
	sum := sha256.Sum256(b)
	p := part{etag: string(sum[:])}
	return p, json.Unmarshal(b, &p.doc)
}

func (d *Docs) publish() {
	docs := make([]Source, 0, len(d.parts))
	for _, s := range d.services {
		if p, ok := d.parts[s.Name]; ok {
			docs = append(docs, Source{Service: s, Doc: p.doc})
		}
	}
	b, err := json.Marshal(Merge(docs))
	if err != nil {
		d.log.Error("merge openapi documents", zap.Error(err))
		return
	}
	doc := newDocument(b)
	d.current.Store(&doc)
}

// Register serves /openapi.json and /docs.
func (d *Docs) Register(e *gin.Engine) {
	e.GET("/openapi.json", func(c *gin.Context) {
		// Clients of any origin may read what the API is.
		c.Header("Access-Control-Allow-Origin", "*")
		d.current.Load().send(c, "application/json")
	})
	e.GET("/docs", func(c *gin.Context) {
		// The page's own style and script, calls to wherever it was served from, nothing else.
		c.Header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src '"+scriptHash+"'; connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
		c.Header("X-Frame-Options", "DENY")
		c.Header("Referrer-Policy", "no-referrer")
		d.html.send(c, "text/html; charset=utf-8")
	})
	e.GET("/", func(c *gin.Context) { c.Redirect(http.StatusFound, "/docs") })
}

func (d *document) send(c *gin.Context, kind string) {
	c.Header("ETag", d.etag)
	c.Header("Cache-Control", "no-cache")
	c.Header("Vary", "Accept-Encoding")
	c.Header("X-Content-Type-Options", "nosniff")
	if strings.Contains(c.GetHeader("If-None-Match"), d.etag) {
		c.Status(http.StatusNotModified)
		return
	}
	if strings.Contains(c.GetHeader("Accept-Encoding"), "gzip") {
		c.Header("Content-Encoding", "gzip")
		c.Data(http.StatusOK, kind, d.zipped)
		return
	}
	c.Data(http.StatusOK, kind, d.plain)
}
