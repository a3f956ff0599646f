package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// unwatched is how long a service may take, at least, before the gateway begins to look
	// whether the client is still there. Most answers come sooner, and watching is not free.
	// A busy connection's deadline moves on only when less than that is left of it.
	unwatched     = 20 * time.Millisecond
	unwatchedMost = 60 * time.Millisecond

	bodyMost      = 64 << 10 // request bodies up to this size are read before a connection is taken
	bodyUsual     = 4 << 10  // most are of this size: each client's is in memory while its answer is awaited
	interimMost   = 8        // 1xx answers passed on before the service is taken for broken
	writePatience = 60 * time.Second
	bodyPatience  = 30 * time.Second
	touchEvery    = time.Second // deadlines move at most this often
)

// Forward is what the gateway adds to one request, and how long and how often it tries.
type Forward struct {
	Authorization  string // whole header value; empty sends none
	RequestID      string
	Traceparent    string
	ForwardedFor   string
	ForwardedHost  string
	ForwardedProto string

	Timeout    time.Duration // until the answer's head; the body may take as long as it moves
	Replayable bool          // the request may be sent twice though its method is not idempotent
	BodyLimit  int64         // bytes; 0 means no limit

	Decorate Decorator // may be nil

	// Scratch is memory for the answer's headers, kept from one request for the next. It may
	// be used again when the server has taken the headers, which it copies.
	Scratch []string
}

// Decorator sets the gateway's own headers on the final answer, just before it is sent.
type Decorator interface{ Decorate(h http.Header) }

// Result is what became of a request.
type Result struct {
	Status  int   // of the answer; 0 if none was begun
	Bytes   int64 // of the answer's body
	Addr    string
	Started bool // the answer was begun; with Err set it is incomplete and the connection must be cut
	Err     error
}

// Serve sends r to an address of the service and its answer to w, which must be the
// server's own ResponseWriter with no header set. If it returns an error and the answer
// was begun, the caller must abort the connection by panic(http.ErrAbortHandler), so that
// the client sees that the answer is cut off.
func (s *Service) Serve(w http.ResponseWriter, r *http.Request, f *Forward) Result {
	s.budget.earn()
	if !plainRequest(r) {
		return s.handOver(w, r, f)
	}
	if f.BodyLimit > 0 && r.ContentLength > f.BodyLimit {
		return Result{Err: ErrTooLarge}
	}
	e := exchange{s: s, w: w, r: r, f: f}
	if r.ContentLength > 0 {
		pool := &bodies
		if r.ContentLength <= bodyUsual {
			pool = &usualBodies
		}
		buf := pool.Get().(*[]byte)
		defer pool.Put(buf)
		e.body = (*buf)[:r.ContentLength]
		if err := readBody(w, r, e.body); err != nil {
			return Result{Err: err}
		}
	}
	return e.run()
}

// plainRequest says whether the request can travel on the handler's goroutine.
func plainRequest(r *http.Request) bool {
	if r.ContentLength < 0 || r.ContentLength > bodyMost || len(r.TransferEncoding) > 0 || len(r.Trailer) > 0 || r.Method == http.MethodConnect {
		return false
	}
	h := r.Header
	return len(h["Upgrade"]) == 0 && len(h["Expect"]) == 0 && len(h["Te"]) == 0
}

var (
	bodies      = sync.Pool{New: func() any { b := make([]byte, bodyMost); return &b }}
	usualBodies = sync.Pool{New: func() any { b := make([]byte, bodyUsual); return &b }}
	copies      = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}
)

// readBody fills body from the client, who must keep sending. The read deadline is lifted
// afterwards: the server watches the connection for its end while the handler works.
func readBody(w http.ResponseWriter, r *http.Request, body []byte) error {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(bodyPatience))
	_, err := io.ReadFull(r.Body, body)
	if err == nil {
		// The read that saw the end released the server's watch over the connection.
		_ = rc.SetReadDeadline(time.Time{})
		return nil
	}
	return bodyError(err)
}

func bodyError(err error) error {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return ErrTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrBodySlow
	}
	return fmt.Errorf("%w: %w", ErrBody, err)
}

// exchange is one request on its way, over one or more attempts.
type exchange struct {
	s     *Service
	w     http.ResponseWriter
	r     *http.Request
	f     *Forward
	body  []byte
	tried []*Address
	res   Result

	deadline time.Time // of the answer's head
}

// verdict is how an attempt ended, as far as the next step goes.
type verdict int

const (
	done   verdict = iota // answered, or broken beyond repair
	unsent                // no byte of the request left: any other address may have it
	stale                 // a reused connection was closed under the request
	lost                  // sent, and no byte of an answer came
	passed                // answered, by a service that cannot serve it: another address may
)

func (e *exchange) run() Result {
	now := time.Now()
	deadline := now.Add(e.f.Timeout)
	again := e.repeatable()
	last := ErrOpen
	for {
		at, ok := e.s.pick(now, e.tried)
		if !ok {
			return Result{Err: last}
		}
		e.res.Addr = at.Host
		v, err := e.attempt(at, deadline, now, false)
		if v == stale && again {
			// The service closed a connection that had been idle: no sign of trouble.
			e.s.Stale.Add(1)
			v, err = e.attempt(at, deadline, time.Now(), true)
		}
		switch {
		case v == done:
			e.settle(at, err)
			e.res.Err = err
			return e.res
		case errors.Is(err, ErrClientGone):
			at.void()
			return Result{Addr: at.Host, Err: err}
		}
		if v == passed {
			at.ok()
		} else {
			at.failed()
		}
		last = err
		now = time.Now()
		if v != unsent && !again || len(e.s.addresses) == 1 || !now.Before(deadline) || !e.s.budget.spend() {
			return Result{Addr: at.Host, Err: last}
		}
		e.tried = append(e.tried, at.Address)
		e.s.Retries.Add(1)
	}
}

// settle tells the address's breaker about an attempt that got as far as an answer.
func (e *exchange) settle(at attempt, err error) {
	switch {
	case err == nil:
		at.ok()
	case errors.Is(err, ErrUpstream), errors.Is(err, ErrTimeout):
		at.failed()
	default:
		at.void()
	}
}

// repeatable says whether sending the request twice does no harm: a safe method, or an
// operation that promises so for requests with an Idempotency-Key.
func (e *exchange) repeatable() bool {
	switch e.r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	return e.f.Replayable && e.r.Header.Get("Idempotency-Key") != ""
}

// attempt sends the request over one connection and, if an answer comes, passes it on.
func (e *exchange) attempt(at attempt, deadline, now time.Time, fresh bool) (verdict, error) {
	ctx := e.r.Context()
	c, err := at.pool.take(ctx, now, !e.repeatable(), fresh)
	if err != nil {
		if ctx.Err() != nil {
			return unsent, ErrClientGone
		}
		return unsent, fmt.Errorf("%w: %w", ErrUpstream, err)
	}
	e.deadline = deadline
	c.begin()
	c.expect(now, deadline)
	v, keep, err := e.over(c, at)
	if !c.end() {
		keep = false
	}
	if err != nil && ctx.Err() != nil {
		err = ErrClientGone
	}
	if keep {
		at.pool.put(c)
	} else {
		_ = c.Close()
	}
	return v, err
}

// over runs the request over c. keep says whether the connection is good for another.
func (e *exchange) over(c *conn, at attempt) (v verdict, keep bool, err error) {
	c.out = appendRequest(c.out[:0], e.r, e.f, at.Host)
	n, err := e.send(c)
	if err != nil && n == 0 && c.reused {
		return unsentOrStale(e, c), false, broken(err)
	}
	// A failed write is no end yet: a service that refuses a body answers, then closes.
	head, err2 := e.awaitHead(c)
	if err2 != nil {
		switch {
		case c.got:
			return done, false, broken(err2)
		case c.reused && !timedOut(err2):
			return stale, false, broken(err2)
		}
		return lost, false, broken(err2)
	}
	sent := err == nil && c.failed == nil
	h := e.w.Header()
	if head > 0 {
		b, _ := c.br.Peek(head)
		if p, ok := e.f.parsePlain(b, e.r.Method, h); ok {
			if v, retry := e.elsewhere(p.status); retry {
				clear(h)
				return v, false, fmt.Errorf("%w: status %d", ErrUpstream, p.status)
			}
			_, _ = c.br.Discard(head)
			err = e.passPlain(c, p, h)
			return done, err == nil && sent, err
		}
		clear(h)
	}
	return e.passParsed(c, sent)
}

// unsentOrStale: no byte of the request was taken by the kernel, so none can have arrived.
func unsentOrStale(e *exchange, c *conn) verdict {
	if e.r.Context().Err() == nil && c.reused {
		return stale
	}
	return unsent
}

// send writes the request. What fits into the socket's buffer, which the answered requests
// before it have left empty, cannot block and needs no deadline.
func (e *exchange) send(c *conn) (int, error) {
	if len(c.out)+len(e.body) <= writeBuffer {
		c.out = append(c.out, e.body...)
		if c.raw != nil {
			c.wait = c.out // awaitHead sends it
			return len(c.out), nil
		}
		return c.Write(c.out)
	}
	_ = c.SetWriteDeadline(e.deadline)
	e.wait(c) // who is watched gets all the time at once: patient grants it once
	n, err := (&net.Buffers{c.out, e.body}).WriteTo(c.Conn)
	if err == nil {
		err = c.SetWriteDeadline(time.Time{})
	}
	return int(n), err
}

// awaitHead waits for a whole head and returns its size, or 0 if it is one that only
// net/http can read.
func (e *exchange) awaitHead(c *conn) (int, error) {
	seen := 0
	for {
		if _, err := c.br.Peek(seen + 1); err != nil {
			if !e.patient(c, err) {
				return 0, err
			}
			continue
		}
		n := c.br.Buffered()
		b, _ := c.br.Peek(n)
		if end := endOfHead(b, seen); end > 0 {
			return end, nil
		}
		if n == c.br.Size() || strings.Contains(string(b[max(0, seen-1):]), "\n\n") {
			return 0, nil
		}
		seen = n
	}
}

// patient turns to watching the client when the unwatched time is over. It returns false
// if err is another one.
func (e *exchange) patient(c *conn, err error) bool {
	if !timedOut(err) || c.stop != nil || !time.Now().Before(e.deadline) {
		return false
	}
	e.wait(c)
	return e.r.Context().Err() == nil
}

// wait lets the service take all the time of the route, and watches the client from now on.
func (e *exchange) wait(c *conn) {
	c.readBy(e.deadline)
	c.watch(e.r.Context())
	if e.r.Context().Err() != nil { // a deadline set after the abort has undone it
		c.abort()
	}
}

// elsewhere says whether an answer of this status should be thrown away in favour of
// another address's.
func (e *exchange) elsewhere(status int) (verdict, bool) {
	switch status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	default:
		return done, false
	}
	if len(e.s.addresses) <= len(e.tried)+1 || !e.repeatable() {
		return done, false
	}
	now := time.Now()
	for _, a := range e.s.addresses {
		if !contains(e.tried, a) && a.Host != e.res.Addr && a.breaker.state(now) == Closed {
			return passed, true
		}
	}
	return done, false
}

func contains(list []*Address, a *Address) bool {
	for _, x := range list {
		if x == a {
			return true
		}
	}
	return false
}

// passPlain passes on an answer whose body's length is known.
func (e *exchange) passPlain(c *conn, p plainHead, h http.Header) error {
	c.unlimited()
	e.begin(p.status, h)
	return e.copyKnown(c, p.length, h)
}

// copyKnown copies a body of known length. What has arrived of it already is usually all
// there is; a longer one travels in as few and large pieces as the service sends it in.
func (e *exchange) copyKnown(c *conn, left int64, h http.Header) error {
	if n := int64(c.br.Buffered()); n >= left {
		b, _ := c.br.Peek(int(left))
		if err := e.write(b); err != nil {
			return err
		}
		_, _ = c.br.Discard(int(left))
		return nil
	}
	buf := copies.Get().(*[]byte)
	defer copies.Put(buf)
	m := mover{e: e, c: c, silent: eventStream(h)}
	for first := true; left > 0; first = false {
		m.move()
		room := (*buf)[:min(left, int64(len(*buf)))]
		n, err := c.br.Read(room)
		if first && err == nil && n < len(room) && !m.silent {
			// That was what came along with the head; most of the rest follows at once.
			var more int
			more, err = c.br.Read(room[n:])
			n += more
		}
		if n > 0 {
			if werr := e.write(room[:n]); werr != nil {
				return werr
			}
			left -= int64(n)
		}
		if err != nil && left > 0 {
			return broken(unexpected(err))
		}
		if m.silent && c.br.Buffered() == 0 {
			m.flush()
		}
	}
	return nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func eventStream(h http.Header) bool {
	return strings.HasPrefix(h.Get("Content-Type"), "text/event-stream")
}

func (e *exchange) begin(status int, h http.Header) {
	untyped(h)
	if e.f.Decorate != nil {
		e.f.Decorate.Decorate(h)
	}
	e.res.Status, e.res.Started = status, true
	e.w.WriteHeader(status)
}

// untyped keeps the server from guessing a type that the service did not name.
func untyped(h http.Header) {
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil
	}
}

func (e *exchange) write(b []byte) error {
	n, err := e.w.Write(b)
	e.res.Bytes += int64(n)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrClientGone, err)
	}
	return nil
}

// copyParsed copies a body that net/http reads, to its end.
func (e *exchange) copyParsed(c *conn, body io.Reader, h http.Header) error {
	buf := copies.Get().(*[]byte)
	defer copies.Put(buf)
	m := mover{e: e, c: c, silent: eventStream(h)}
	for {
		if c.br.Buffered() == 0 {
			m.flush() // what has arrived is not held back while more is awaited
		}
		m.move()
		n, err := body.Read(*buf)
		if n > 0 {
			if werr := e.write((*buf)[:n]); werr != nil {
				return werr
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return broken(unexpected(err))
		}
	}
}

// mover moves both sides' deadlines on while a body passes. From its first move on the
// client is watched.
type mover struct {
	e       *exchange
	c       *conn
	silent  bool // an event stream may be silent for as long as its client listens
	touched time.Time
}

func (m *mover) flush() { _ = http.NewResponseController(m.e.w).Flush() }

func (m *mover) move() {
	now := time.Now()
	if now.Sub(m.touched) < touchEvery && !m.touched.IsZero() {
		return
	}
	m.touched = now
	_ = http.NewResponseController(m.e.w).SetWriteDeadline(now.Add(writePatience))
	deadline := now.Add(max(m.e.f.Timeout, writePatience))
	if m.silent {
		deadline = time.Time{}
	}
	ctx := m.e.r.Context()
	m.c.readBy(deadline)
	m.c.watch(ctx)
	if ctx.Err() != nil { // a deadline set after the abort has undone it
		m.c.abort()
	}
}

func timedOut(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

func broken(err error) error {
	if timedOut(err) {
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	return fmt.Errorf("%w: %w", ErrUpstream, err)
}
