// Package fetch downloads files from addresses that strangers name, through the guard
// of package egress. It bounds size, redirects and how long nothing may come.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/egress"
)

// Airtable follows so many redirects.
const mostRedirects = 3

// DefaultStall is how long nothing may come before a download ends.
const DefaultStall = 30 * time.Second

// Errors that no repetition makes good; so is egress.ErrRefused.
var (
	ErrTooLarge = errors.New("the file is too large")
	ErrRefused  = errors.New("the other side refused")
)

// Permanent reports whether fetching again would end the same.
func Permanent(err error) bool {
	var dns *net.DNSError
	return errors.Is(err, egress.ErrRefused) || errors.Is(err, egress.ErrURL) || errors.Is(err, ErrTooLarge) ||
		errors.Is(err, ErrRefused) || errors.As(err, &dns) && dns.IsNotFound
}

// Client fetches; it is safe for concurrent use.
type Client struct {
	guard egress.Guard
	http  *http.Client
	stall time.Duration
}

// New returns a Client that asks whom the guard admits, and ends a download that
// brings nothing for the time of stall.
func New(guard egress.Guard, stall time.Duration) *Client {
	return &Client{guard: guard, stall: stall, http: guard.Client(egress.Options{Redirects: mostRedirects})}
}

// Close drops the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Answer is a file on its way. Body ends with ErrTooLarge when it becomes larger
// than was allowed, and must be closed.
type Answer struct {
	Body io.ReadCloser
	Type string // as the server says; "" if it does not
	Name string // as the server says; "" if it does not
}

// Get asks for the address. What answers neither a file nor a fault of its own is
// ErrRefused.
func (c *Client) Get(ctx context.Context, address string, limit int64) (Answer, error) {
	if err := c.guard.CheckURL(address); err != nil {
		return Answer{}, fmt.Errorf("fetch: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	body := &watched{left: limit, stall: c.stall, cancel: cancel}
	body.timer = time.AfterFunc(c.stall, func() { cancel(fmt.Errorf("nothing came for %s", c.stall)) })
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		body.stop()
		return Answer{}, fmt.Errorf("fetch: %w: %w", egress.ErrURL, err)
	}
	req.Header.Set("User-Agent", "pyairtable-attachments")
	resp, err := c.http.Do(req) //nolint:bodyclose // it is closed through watched
	if err != nil {
		body.stop()
		return Answer{}, fmt.Errorf("fetch: %w", err)
	}
	body.from = resp.Body
	if err := judge(resp, limit); err != nil {
		_ = body.Close()
		return Answer{}, fmt.Errorf("fetch: %w", err)
	}
	a := Answer{Body: body}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil {
		a.Type = kind
	}
	if _, params, err := mime.ParseMediaType(resp.Header.Get("Content-Disposition")); err == nil {
		a.Name = models.CleanFilename(params["filename"])
	}
	return a, nil
}

// judge decides by the head of an answer. Faults of the server, and its wish to be
// asked later, may pass.
func judge(resp *http.Response, limit int64) error {
	switch status := resp.StatusCode; {
	case status >= http.StatusInternalServerError, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return fmt.Errorf("status %d", status)
	case status != http.StatusOK: // a redirect too many among them
		return fmt.Errorf("%w: status %d", ErrRefused, status)
	case resp.ContentLength > limit:
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, resp.ContentLength)
	}
	return nil
}

// watched is a body that must keep coming and must not become too large.
type watched struct {
	from   io.ReadCloser
	left   int64
	stall  time.Duration
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

func (w *watched) Read(p []byte) (int, error) {
	w.timer.Reset(w.stall)
	n, err := w.from.Read(p)
	if w.left -= int64(n); w.left < 0 {
		return 0, ErrTooLarge
	}
	return n, err
}

func (w *watched) stop() {
	w.timer.Stop()
	w.cancel(nil)
}

func (w *watched) Close() error {
	w.stop()
	return w.from.Close()
}
