package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"time"
)

// journey is a request that net/http carries, kept in its context.
type journey struct {
	w       *progressWriter
	f       *Forward
	res     Result
	in      *http.Request
	timer   *time.Timer
	timeout atomic.Bool
}

type journeyKey struct{}

// handOver lets ReverseProxy and Transport carry the request: upgrades, bodies that are
// long or of unknown length, trailers, Expect.
func (s *Service) handOver(w http.ResponseWriter, r *http.Request, f *Forward) (res Result) {
	s.HandOvers.Add(1)
	if f.BodyLimit > 0 && r.ContentLength > f.BodyLimit {
		return Result{Err: ErrTooLarge}
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	j := &journey{w: &progressWriter{ResponseWriter: w}, f: f, in: r}
	j.timer = time.AfterFunc(f.Timeout, func() { j.timeout.Store(true); cancel() })
	defer j.timer.Stop()
	out := r.WithContext(context.WithValue(ctx, journeyKey{}, j))
	if r.Body != nil && r.Body != http.NoBody {
		body := r.Body
		if f.BodyLimit > 0 {
			body = http.MaxBytesReader(w, body, f.BodyLimit)
		}
		out.Body = &progressBody{ReadCloser: body, rc: http.NewResponseController(w), j: j}
	}
	defer func() {
		j.res.Bytes = j.w.bytes.Load()
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler { //nolint:errorlint // a panic's value, compared as net/http does
				panic(p)
			}
			j.res.Err = j.cause(ErrUpstream)
		}
		res = j.res
	}()
	s.slow.ServeHTTP(j.w, out)
	return j.res
}

// cause is what ended the journey, err if nothing better is known.
func (j *journey) cause(err error) error {
	switch {
	case j.timeout.Load():
		return ErrTimeout
	case j.in.Context().Err() != nil:
		return ErrClientGone
	}
	return err
}

func (s *Service) newHandOver() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			j := p.In.Context().Value(journeyKey{}).(*journey)
			rewrite(p.Out, p.In, j.f)
		},
		Transport:  (*carrier)(s),
		BufferPool: bufferPool{},
		ModifyResponse: func(res *http.Response) error {
			j := res.Request.Context().Value(journeyKey{}).(*journey)
			j.timer.Stop()
			for k := range res.Header {
				if ours(k) {
					delete(res.Header, k)
				}
			}
			if j.f.Decorate != nil {
				j.f.Decorate.Decorate(res.Header)
			}
			j.res.Status, j.res.Started = res.StatusCode, true
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, r *http.Request, err error) {
			j := r.Context().Value(journeyKey{}).(*journey)
			j.res.Err = j.cause(err)
		},
	}
}

// rewrite makes of the client's request the one that goes to the service.
func rewrite(out, in *http.Request, f *Forward) {
	out.URL.Scheme = "http"
	out.Host = ""
	// The client's own bytes, as the fast path sends them; "opaque" ones are sent as they are.
	// (Not one that begins with "//", which would be taken for an authority.)
	if t := target(in); strings.HasPrefix(t, "/") && !strings.HasPrefix(t, "//") {
		out.URL.Opaque, out.URL.RawQuery, out.URL.ForceQuery = t, "", false
	}
	for k := range out.Header {
		if forged(k) || k == "Authorization" || k == "Traceparent" {
			delete(out.Header, k)
		}
	}
	f.each(func(k, v string) { out.Header[k] = []string{v} })
}

// carrier is the service as a RoundTripper with a choice of addresses.
type carrier Service

func (t *carrier) RoundTrip(r *http.Request) (*http.Response, error) {
	s := (*Service)(t)
	j := r.Context().Value(journeyKey{}).(*journey)
	var tried []*Address
	last := ErrOpen
	for {
		at, ok := s.pick(time.Now(), tried)
		if !ok {
			return nil, last
		}
		j.res.Addr = at.Host
		out := *r
		u := *r.URL
		out.URL, u.Host = &u, at.Host
		if r.Body != nil {
			out.Body = openBody{r.Body}
		}
		res, err := s.transport.RoundTrip(&out)
		if err == nil {
			at.ok()
			res.Request = r
			return res, nil
		}
		last = t.ended(at, j, err)
		var op *net.OpError
		dialed := errors.As(err, &op) && op.Op == "dial"
		if !dialed || len(s.addresses) == 1 || r.Context().Err() != nil || !s.budget.spend() {
			return nil, last
		}
		tried = append(tried, at.Address)
		s.Retries.Add(1)
	}
}

// openBody outlives a failed attempt, as Transport closes the body of each.
type openBody struct{ io.Reader }

func (openBody) Close() error { return nil }

// ended settles a failed attempt and names its cause.
func (t *carrier) ended(at attempt, j *journey, err error) error {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		at.void()
		return ErrTooLarge
	case j.timeout.Load():
		at.failed()
		return ErrTimeout
	case j.in.Context().Err() != nil:
		at.void()
		return ErrClientGone
	case errors.Is(err, errBodyRead):
		at.void()
		return bodyError(err)
	}
	at.failed()
	return broken(err)
}

var errBodyRead = errors.New("read the request's body")

// progressBody is the client's body: slow is allowed, silent is not. While it moves, the
// service's time has not begun.
type progressBody struct {
	io.ReadCloser
	rc      *http.ResponseController
	j       *journey
	touched time.Time
}

func (b *progressBody) Read(p []byte) (int, error) {
	if now := time.Now(); now.Sub(b.touched) > touchEvery {
		b.touched = now
		_ = b.rc.SetReadDeadline(now.Add(bodyPatience))
		if !b.j.timeout.Load() {
			b.j.timer.Reset(b.j.f.Timeout + bodyPatience)
		}
	}
	n, err := b.ReadCloser.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		_ = b.rc.SetReadDeadline(time.Time{})
		if !b.j.timeout.Load() {
			b.j.timer.Reset(b.j.f.Timeout)
		}
	case err != nil:
		err = errors.Join(errBodyRead, err)
	}
	return n, err
}

// Close leaves the body to the server: a dial that failed must not cost it.
func (b *progressBody) Close() error { return nil }

// progressWriter moves the write deadline on with the answer, so that only a client that
// has stopped reading is cut off.
type progressWriter struct {
	http.ResponseWriter
	bytes   atomic.Int64
	touched time.Time
}

func (w *progressWriter) Write(p []byte) (int, error) {
	if now := time.Now(); now.Sub(w.touched) > touchEvery {
		w.touched = now
		_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(now.Add(writePatience))
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes.Add(int64(n))
	return n, err
}

// WriteHeader passes interim answers to the server itself: Gin's writer would keep them.
func (w *progressWriter) WriteHeader(code int) {
	if interim(code) {
		innermost(w.ResponseWriter).WriteHeader(code)
		return
	}
	untyped(w.Header())
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap is for http.ResponseController.
func (w *progressWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

type bufferPool struct{}

func (bufferPool) Get() []byte  { return *copies.Get().(*[]byte) }
func (bufferPool) Put(b []byte) { copies.Put(&b) }
