// Package airtable is the upstream that is the real Airtable Web API, or anything
// that speaks it, over HTTP.
package airtable

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
)

// DefaultURL is the API's root, without /v0.
const DefaultURL = "https://api.airtable.com"

// contentURL takes the uploads that DefaultURL does not.
const contentURL = "https://content.airtable.com"

// answerLimit bounds what is read of one answer. A full page of the largest cells
// that Airtable allows stays below it.
const answerLimit = 64 << 20

// Client makes calls for any number of connections. They share its pool of
// connections. The zero value is not usable: see New.
type Client struct {
	http *http.Client
}

// New returns a Client whose calls end after timeout at the latest.
func New(timeout time.Duration) *Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	return &Client{http: &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           256,
			MaxIdleConnsPerHost:    64,
			IdleConnTimeout:        90 * time.Second,
			TLSHandshakeTimeout:    5 * time.Second,
			ExpectContinueTimeout:  time.Second,
			MaxResponseHeaderBytes: 64 << 10,
		},
		// The address of a connection is checked against a list; what the peer
		// redirects to is not.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close drops the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// At is the API at base (without /v0), called with a token.
func (c *Client) At(base, token string) *API {
	return &API{client: c, base: strings.TrimSuffix(base, "/"), token: token}
}

// API is one Airtable account's view of the API.
type API struct {
	client      *Client
	base, token string
}

var _ upstream.Upstream = (*API)(nil)

// Do sends the call with path, query and body byte for byte as they came in, under
// this API's token. Airtable's own errors are answers. A Go error wraps
// upstream.ErrNotSent when the request certainly did not reach the other side.
func (a *API) Do(ctx context.Context, c upstream.Call) (upstream.Answer, error) {
	var sent bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { sent = true },
	})
	req, err := a.request(ctx, c)
	if err != nil {
		return upstream.Answer{}, fmt.Errorf("%w: %w", upstream.ErrNotSent, err)
	}
	resp, err := a.client.http.Do(req)
	if err != nil {
		if !sent {
			err = fmt.Errorf("%w: %w", upstream.ErrNotSent, err)
		}
		return upstream.Answer{}, fmt.Errorf("call %s: %w", c.Op, err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := read(resp)
	if err != nil {
		return upstream.Answer{}, fmt.Errorf("call %s: %w", c.Op, err)
	}
	return answer, nil
}

func (a *API) request(ctx context.Context, c upstream.Call) (*http.Request, error) {
	target := a.host(c) + c.Path
	if c.RawQuery != "" {
		target += "?" + c.RawQuery
	}
	var body io.Reader = http.NoBody
	if len(c.Body) > 0 {
		body = bytes.NewReader(c.Body)
	}
	req, err := http.NewRequestWithContext(ctx, c.Method, target, body)
	if err != nil {
		return nil, err
	}
	for name, values := range c.Header {
		if forwarded(name) {
			req.Header[name] = values
		}
	}
	if len(c.Body) > 0 && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "pyairtable-gateway")
	}
	return req, nil
}

// host is where the call goes: Airtable takes uploads on a host of their own.
func (a *API) host(c upstream.Call) string {
	if a.base == DefaultURL && strings.HasSuffix(c.Path, "/uploadAttachment") {
		return contentURL
	}
	return a.base
}

// forwarded lists what a client's header may tell Airtable. Everything else, from
// cookies and forwarding headers to what concerns only the hop to this service, stays here;
// the transport negotiates compression for itself.
func forwarded(name string) bool {
	switch strings.ToLower(name) {
	case "accept", "content-type", "user-agent", "x-api-version", "x-airtable-application-id",
		"x-airtable-user-agent", "x-airtable-client-secret":
		return true
	}
	return false
}

// kept lists what of Airtable's headers reaches the client. CORS, security and
// cookie headers are the front's own affair, and lengths and encodings change on
// the way.
func kept(name string) bool {
	lower := strings.ToLower(name)
	switch lower {
	case "content-type", "retry-after", "cache-control", "last-modified":
		return true
	}
	return strings.HasPrefix(lower, "airtable-") || strings.HasPrefix(lower, "x-airtable-")
}

var (
	errTooLarge = errors.New("the answer is larger than 64 MiB")
	errRedirect = errors.New("the upstream redirects")
	errNotJSON  = errors.New("the upstream answered a success that is not JSON")
)

func read(resp *http.Response) (upstream.Answer, error) {
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		return upstream.Answer{}, fmt.Errorf("%w to %s", errRedirect, hostOf(resp.Header.Get("Location")))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit+1))
	if err != nil {
		return upstream.Answer{}, fmt.Errorf("read the answer: %w", err)
	}
	if len(body) > answerLimit {
		return upstream.Answer{}, errTooLarge
	}
	// A captive portal's or a proxy's page with status 200 would crash airtable.js.
	if resp.StatusCode < 300 && len(body) > 0 && !isJSON(resp.Header.Get("Content-Type")) {
		return upstream.Answer{}, errNotJSON
	}
	header := make(http.Header, 2)
	for name, values := range resp.Header {
		if kept(name) {
			header[name] = values
		}
	}
	return upstream.Answer{Status: resp.StatusCode, Header: header, Body: body}, nil
}

func isJSON(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}

func hostOf(location string) string {
	u, err := url.Parse(location)
	if err != nil {
		return "?"
	}
	return u.Host
}
