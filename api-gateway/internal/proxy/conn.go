package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	readBuffer  = 8 << 10   // of a request under way; heads up to this size are parsed in place
	writeBuffer = 16 << 10  // kept by a connection for its next request
	headLimit   = 256 << 10 // bytes of an answer's head, interim answers included
	idleMost    = 512       // idle connections kept per address
	idleTimeout = 50 * time.Second
	dialTimeout = 3 * time.Second
	// peekAfter is the idle time after which a connection is looked at before it is used.
	peekAfter = time.Second
)

var (
	errHeadTooLarge = errors.New("the head of the answer is too large")
	longAgo         = time.Unix(1, 0)
)

// conn is one connection to an address. It belongs to one goroutine at a time.
type conn struct {
	net.Conn
	br     *bufio.Reader // nil while idle: many connections share few buffers
	out    []byte        // the request's bytes, kept for its capacity
	left   int64         // bytes that may still be read; guards the size of heads
	got    bool          // a byte arrived since the request was begun
	reused bool
	idleAt time.Time
	wakeAt time.Time // the read deadline, if it is one of expect's; zero otherwise

	raw   syscall.RawConn
	peek  func(fd uintptr) // allocated once
	alive bool

	turn   func(fd uintptr) bool // allocated once
	wait   []byte                // what turn has yet to send
	into   []byte                // where it puts what comes back
	n      int
	failed error       // the request could not be sent whole
	abort  func()      // breaks reads and writes off; safe from another goroutine
	stop   func() bool // ends the watch over the client; nil while there is none
}

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, readBuffer) }}

// begin makes an idle connection ready for a request.
func (c *conn) begin() {
	c.got, c.left, c.wait, c.failed = false, headLimit, nil, nil
	c.br = readers.Get().(*bufio.Reader)
	c.br.Reset((*limited)(c))
}

// expect gives the answer unwatched to begin in, or until deadline if that is sooner.
func (c *conn) expect(now, deadline time.Time) {
	if left := c.wakeAt.Sub(now); left >= unwatched && c.wakeAt.Before(deadline) {
		return
	}
	wake := now.Add(unwatchedMost)
	if deadline.Before(wake) {
		wake = deadline
	}
	c.readBy(wake)
	c.wakeAt = wake
}

// readBy sets the read deadline; zero means none.
func (c *conn) readBy(t time.Time) {
	c.wakeAt = time.Time{}
	_ = c.SetReadDeadline(t)
}

// watch breaks the connection off when ctx ends.
func (c *conn) watch(ctx context.Context) {
	if c.stop == nil {
		c.stop = context.AfterFunc(ctx, c.abort)
	}
}

// end returns whether nothing is left that could disturb the next request.
func (c *conn) end() bool {
	clean := c.br.Buffered() == 0
	c.br.Reset(nil)
	readers.Put(c.br)
	c.br = nil
	if c.stop != nil {
		clean = c.stop() && clean // an abort may still be under way
		c.stop = nil
	}
	return clean
}

func newConn(nc net.Conn) *conn {
	c := &conn{Conn: nc}
	c.abort = func() { _ = nc.SetDeadline(longAgo) }
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			c.raw, c.peek, c.turn = raw, c.peekFD, c.turnFD
		}
	}
	return c
}

// limited reads from the connection, but no more than c.left bytes.
type limited conn

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errHeadTooLarge
	}
	n, err := (*conn)(l).next(p)
	if n > 0 {
		l.got = true
		l.left -= int64(n)
	}
	return n, err
}

// errUnsent is the end of a connection that took no byte of the request.
var errUnsent = errors.New("the connection was closed before the request")

// next reads. If a request waits to be sent, it is sent first, and its answer awaited
// without the attempt to read at once that nearly always comes too early.
func (c *conn) next(p []byte) (int, error) {
	if c.wait == nil {
		return c.Read(p)
	}
	c.into, c.n = p, 0
	err := c.raw.Read(c.turn)
	c.into = nil
	switch {
	case c.failed != nil && len(c.wait) == len(c.out):
		return 0, fmt.Errorf("%w: %w", errUnsent, c.failed)
	case err != nil:
		return 0, err // of time: the next call goes on where this one ended
	case c.failed == nil && len(c.wait) > 0: // the socket was full
		_, c.failed = c.Write(c.wait)
	}
	c.wait = nil
	if c.n > 0 {
		return c.n, nil
	}
	return c.Read(p) // a service that refuses a request answers, then closes
}

// turnFD sends, then reads when there is something to read. As the connection's poller was
// made ready before, an answer that comes at once is not missed.
func (c *conn) turnFD(fd uintptr) bool {
	if len(c.wait) > 0 {
		n, err := syscall.Write(int(fd), c.wait)
		switch {
		case err == syscall.EINTR || err == syscall.EAGAIN:
			return true
		case err != nil:
			c.failed = err
			return true
		}
		c.wait = c.wait[n:]
		return len(c.wait) > 0
	}
	n, err := syscall.Read(int(fd), c.into)
	if err == syscall.EAGAIN || err == syscall.EINTR {
		return false
	}
	c.n = max(n, 0) // at an end or an error, the next read says which
	return true
}

// unlimited lifts the head's limit before a body is read.
func (c *conn) unlimited() { c.left = 1<<63 - 1 }

func (c *conn) peekFD(fd uintptr) {
	var b [1]byte
	n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	// Nothing to read is the healthy state; an end, an error or bytes nobody asked for are not.
	c.alive = n < 0 && (err == syscall.EAGAIN || err == syscall.EWOULDBLOCK)
}

// fresh says whether the other side still holds the connection, as far as can be known now.
// It asks by Control, since Read would fail by the last request's deadline.
func (c *conn) fresh() bool {
	if c.raw == nil {
		return true
	}
	c.alive = false
	return c.raw.Control(c.peek) == nil && c.alive
}

// pool keeps the idle connections of one address, the last used on top.
type pool struct {
	addr string
	dial func(ctx context.Context, network, addr string) (net.Conn, error)

	mu     sync.Mutex
	idle   []*conn
	closed bool
}

// take returns an idle connection, or a new one. With check, a connection whose peer has
// closed it is never returned (a request that may not be sent twice asks for it).
func (p *pool) take(ctx context.Context, now time.Time, check, fresh bool) (*conn, error) {
	for !fresh {
		c := p.pop()
		if c == nil {
			break
		}
		idle := now.Sub(c.idleAt)
		if idle < idleTimeout && ((!check && idle < peekAfter) || c.fresh()) {
			c.reused = true
			return c, nil
		}
		_ = c.Close()
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	nc, err := p.dial(ctx, "tcp", p.addr)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", p.addr, err)
	}
	return newConn(nc), nil
}

func (p *pool) pop() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	c := p.idle[n-1]
	p.idle[n-1] = nil
	p.idle = p.idle[:n-1]
	return c
}

func (p *pool) put(c *conn) {
	if cap(c.out) > writeBuffer {
		c.out = nil
	}
	c.idleAt = time.Now()
	p.mu.Lock()
	full := p.closed || len(p.idle) >= idleMost
	if !full {
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if full {
		_ = c.Close()
	}
}

// reap closes connections that have been idle for too long; the oldest lie at the bottom.
func (p *pool) reap(now time.Time) {
	p.mu.Lock()
	n := 0
	for n < len(p.idle) && now.Sub(p.idle[n].idleAt) >= idleTimeout {
		n++
	}
	old := append([]*conn(nil), p.idle[:n]...)
	p.idle = append(p.idle[:0], p.idle[n:]...)
	p.mu.Unlock()
	for _, c := range old {
		_ = c.Close()
	}
}

func (p *pool) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, c := range idle {
		_ = c.Close()
	}
}
