// Package accesslog writes one JSON line per request, off the request's path: a line is
// appended to a buffer in memory, and a goroutine writes the buffer out. When the reader
// of the log does not keep up, lines are dropped and counted; requests never wait for it.
package accesslog

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/pyairtable/pyairtable/pkg/id"
)

const (
	flushEvery = 200 * time.Millisecond
	flushAt    = 64 << 10  // bytes that wake the writer before its time
	bufferMost = 512 << 10 // bytes waiting at which lines are dropped
	textMost   = 512       // bytes of a client's text in a line
)

// Entry is one request as it is logged: no query, no body, no token, no e-mail address.
type Entry struct {
	Time      time.Time
	Took      time.Duration
	Status    int
	Bytes     int64
	Method    string
	Route     string // its template
	Path      string // as the client wrote it
	IP        netip.Addr
	RequestID string
	Trace     string // trace id
	UserAgent string
	Tenant    id.TenantID
	User      id.UserID
	Upstream  string // the address that answered
	Code      string // of the error, if any
	Cause     string // why, for people who run the gateway
}

// Log is an access log. A nil Log logs nothing.
type Log struct {
	service string
	out     io.Writer
	wake    chan struct{}
	dropped atomic.Int64
	lines   atomic.Int64

	mu    sync.Mutex
	buf   []byte
	spare []byte
	dates dateCache
	users map[id.UserID]string // texts of ids, so that a line costs no allocation
	orgs  map[id.TenantID]string
}

// textsMost bounds the texts that are kept.
const textsMost = 4096

// text is an id's text, from m if it is there. m is emptied when it is full.
func text[T any](m map[id.ID[T]]string, i id.ID[T]) string {
	s, ok := m[i]
	if !ok {
		if len(m) >= textsMost {
			clear(m)
		}
		s = i.String()
		m[i] = s
	}
	return s
}

// New returns a log that writes to out while Run runs.
func New(out io.Writer, service string) *Log {
	return &Log{
		service: service, out: out, wake: make(chan struct{}, 1),
		users: map[id.UserID]string{}, orgs: map[id.TenantID]string{},
		buf: make([]byte, 0, flushAt+flushAt/2), spare: make([]byte, 0, flushAt+flushAt/2),
	}
}

// Dropped counts the lines that were lost, Lines those that were taken.
func (l *Log) Dropped() int64 { return l.dropped.Load() }

// Lines counts the lines that were taken.
func (l *Log) Lines() int64 { return l.lines.Load() }

// Add logs e. It does not wait for the writer.
func (l *Log) Add(e *Entry) {
	if l == nil {
		return
	}
	l.mu.Lock()
	if len(l.buf) >= bufferMost {
		l.mu.Unlock()
		l.dropped.Add(1)
		return
	}
	l.buf = l.appendLine(l.buf, e)
	full := len(l.buf) >= flushAt
	l.mu.Unlock()
	l.lines.Add(1)
	if full {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// Run writes lines out until ctx ends, and then those that are left.
func (l *Log) Run(ctx context.Context) error {
	t := time.NewTicker(flushEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return l.flush()
		case <-t.C:
		case <-l.wake:
		}
		// A log that cannot be written to must not stop the gateway.
		_ = l.flush()
	}
}

// flush writes what waits. Only one goroutine may call it.
func (l *Log) flush() error {
	l.mu.Lock()
	out := l.buf
	l.buf = l.spare[:0]
	l.mu.Unlock()
	l.spare = out
	if len(out) == 0 {
		return nil
	}
	if _, err := l.out.Write(out); err != nil {
		l.dropped.Add(1)
		return fmt.Errorf("write access log: %w", err)
	}
	if cap(l.spare) > 4*flushAt {
		l.spare = make([]byte, 0, flushAt+flushAt/2)
	}
	return nil
}

func (l *Log) appendLine(b []byte, e *Entry) []byte {
	b = append(b, `{"level":"info","time":"`...)
	b = l.dates.append(b, e.Time)
	b = append(b, `","msg":"request","service":"`...)
	b = append(b, l.service...)
	b = append(b, `","status":`...)
	b = strconv.AppendInt(b, int64(e.Status), 10)
	b = append(b, `,"ms":`...)
	b = appendMillis(b, e.Took)
	b = append(b, `,"bytes":`...)
	b = strconv.AppendInt(b, e.Bytes, 10)
	b = field(b, "method", e.Method)
	b = field(b, "op", e.Route)
	b = field(b, "path", e.Path)
	if e.IP.IsValid() {
		b = append(b, `,"ip":"`...)
		b = append(e.IP.AppendTo(b), '"')
	}
	b = field(b, "request_id", e.RequestID)
	b = field(b, "trace_id", e.Trace)
	b = field(b, "ua", e.UserAgent)
	if !e.User.IsZero() {
		b = field(b, "tenant", text(l.orgs, e.Tenant))
		b = field(b, "principal", text(l.users, e.User))
	}
	b = field(b, "upstream", e.Upstream)
	b = field(b, "code", e.Code)
	b = field(b, "cause", e.Cause)
	return append(b, '}', '\n')
}

func field(b []byte, k, v string) []byte {
	if v == "" {
		return b
	}
	b = append(b, ',', '"')
	b = append(b, k...)
	b = append(b, '"', ':', '"')
	b = appendText(b, v)
	return append(b, '"')
}

// appendText writes s as the inside of a JSON string. Control characters, quotes, line
// separators and broken UTF-8 never reach the log as they are, so that no client can
// write a line of its own or move a terminal's cursor.
func appendText(b []byte, s string) []byte {
	cut := len(s) > textMost
	if cut {
		s = s[:textMost]
	}
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			from := i
			for i++; i < len(s) && plain[s[i]]; i++ {
			}
			b = append(b, s[from:i]...)
			continue
		}
		if c < utf8.RuneSelf {
			if c == '"' || c == '\\' {
				b = append(b, '\\', c)
			} else {
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1, r == '\u2028', r == '\u2029', r >= 0x80 && r < 0xa0:
			b = append(b, `\ufffd`...)
		default:
			b = append(b, s[i:i+n]...)
		}
		i += n
	}
	if cut {
		b = append(b, `...`...)
	}
	return b
}

const hex = "0123456789abcdef"

// plain are the bytes that stand for themselves in a JSON string.
var plain = func() (t [256]bool) {
	for c := byte(0x20); c < 0x7f; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendMillis writes d as milliseconds with three decimals.
func appendMillis(b []byte, d time.Duration) []byte {
	us := max(0, d.Microseconds())
	b = strconv.AppendInt(b, us/1000, 10)
	us %= 1000
	return append(b, '.', byte('0'+us/100), byte('0'+us/10%10), byte('0'+us%10))
}

// dateCache keeps the text of the current second.
type dateCache struct {
	sec  int64
	text []byte
}

func (d *dateCache) append(b []byte, t time.Time) []byte {
	t = t.UTC()
	if s := t.Unix(); s != d.sec || d.text == nil {
		d.sec, d.text = s, t.AppendFormat(d.text[:0], "2006-01-02T15:04:05")
	}
	b = append(b, d.text...)
	us := t.Nanosecond() / 1000
	b = append(b, '.')
	for div := 100000; div > 0; div /= 10 {
		b = append(b, byte('0'+us/div%10))
	}
	return append(b, 'Z')
}
