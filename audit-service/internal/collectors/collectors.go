// Package collectors delivers entries of audit logs to syslog and HTTP collectors, at
// addresses that tenants name: the guard decides which of them may be asked.
package collectors

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"time"

	"github.com/pyairtable/pyairtable/audit-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/api/auditapi"
	"github.com/pyairtable/pyairtable/pkg/egress"
)

const (
	httpTimeout = 20 * time.Second
	answerMost  = 64 << 10
	// closeWait is how long a syslog collector may take to close a connection that was
	// ended: when it does, it has read everything. One that keeps it open counts as one
	// that has, since the protocol knows no acknowledgement.
	closeWait = 2 * time.Second
)

// Collectors are those that the guard lets be asked.
type Collectors struct {
	guard  egress.Guard
	client *http.Client
	roots  *tls.Config
	host   string
}

// New returns collectors behind the guard. roots is the TLS configuration of syslog
// connections; nil is the system's.
func New(guard egress.Guard, roots *tls.Config) *Collectors {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "-"
	}
	return &Collectors{guard: guard, client: guard.Client(egress.Options{Timeout: httpTimeout}), roots: roots, host: host}
}

var errScheme = errors.New("want https, http, syslog+tls or syslog+tcp")

// Check returns why nothing can be delivered to the URL, or nil.
func (c *Collectors) Check(u *url.URL) error {
	if !models.IsSyslog(u) {
		return c.guard.CheckURL(u.String())
	}
	if u.Hostname() == "" || u.Port() == "" || u.User != nil || u.Path != "" && u.Path != "/" {
		return errScheme
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && !c.guard.Admits(addr) {
		return egress.ErrRefused
	}
	return nil
}

// Deliver sends the events and returns nil when the collector has taken them all.
func (c *Collectors) Deliver(ctx context.Context, s models.Sink, token string, list []models.Event) error {
	u, err := url.Parse(s.URL)
	if err != nil {
		return fmt.Errorf("parse url: %w", err)
	}
	if models.IsSyslog(u) {
		return c.syslog(ctx, u, s.Format, list)
	}
	return c.post(ctx, s, token, list)
}

// post sends the events as lines. Any 2xx says that they were taken.
func (c *Collectors) post(ctx context.Context, s models.Sink, token string, list []models.Event) error {
	var body bytes.Buffer
	for _, e := range list {
		line, err := e.Render(s.Format)
		if err != nil {
			return err
		}
		body.Write(line)
		body.WriteByte('\n')
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, &body)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	if s.Format == auditapi.FormatOCSF {
		req.Header.Set("Content-Type", "application/x-ndjson")
	}
	req.Header.Set("User-Agent", "PyAirtable-Audit/1")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return fmt.Errorf("ask collector: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, answerMost)) // so that the connection can be used again
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("the collector answered %d", resp.StatusCode)
	}
	return nil
}

// syslog sends the events over a connection of their own and ends it in order.
func (c *Collectors) syslog(ctx context.Context, u *url.URL, format string, list []models.Event) error {
	conn, err := c.dial(ctx, u)
	if err != nil {
		return fmt.Errorf("connect to collector: %w", err)
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	var out bytes.Buffer
	for _, e := range list {
		body, err := e.Render(format)
		if err != nil {
			return err
		}
		out.Write(e.Syslog(c.host, body))
	}
	if _, err := conn.Write(out.Bytes()); err != nil {
		return fmt.Errorf("send to collector: %w", err)
	}
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		return nil
	}
	if err := half.CloseWrite(); err != nil {
		return fmt.Errorf("end connection to collector: %w", err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(closeWait)); err != nil {
		return fmt.Errorf("wait for collector: %w", err)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(conn, answerMost))
	var timeout net.Error
	if err != nil && !(errors.As(err, &timeout) && timeout.Timeout() && ctx.Err() == nil) {
		return fmt.Errorf("wait for collector: %w", err)
	}
	return nil
}

func (c *Collectors) dial(ctx context.Context, u *url.URL) (net.Conn, error) {
	dialer := c.guard.Dialer()
	if u.Scheme == models.SyslogTCP {
		return dialer.DialContext(ctx, "tcp", u.Host)
	}
	return (&tls.Dialer{NetDialer: dialer, Config: c.roots}).DialContext(ctx, "tcp", u.Host)
}
