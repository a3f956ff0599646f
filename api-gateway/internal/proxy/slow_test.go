package proxy

import (
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// oneConn is a listener with a single connection.
type oneConn struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *oneConn) Close() error { close(l.closed); return nil }
func (*oneConn) Addr() net.Addr { return &net.TCPAddr{} }

func TestServe_AClientMustKeepSendingItsBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := New("svc", []string{"http://192.0.2.1"}) // never dialled: the body comes first
		if err != nil {
			t.Fatal(err)
		}
		results := make(chan Result, 1)
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			results <- s.Serve(w, r, &Forward{Timeout: time.Hour})
			panic(http.ErrAbortHandler)
		})}
		client, server := net.Pipe()
		l := &oneConn{make(chan net.Conn, 1), make(chan struct{})}
		l.conns <- server
		go func() { _ = srv.Serve(l) }()
		defer func() { _ = srv.Close() }()

		start := time.Now()
		if _, err := io.WriteString(client, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbo"); err != nil {
			t.Fatal(err)
		}
		if res := <-results; !errors.Is(res.Err, ErrBodySlow) || res.Started {
			t.Errorf("got %+v", res)
		}
		if took := time.Since(start); took != bodyPatience {
			t.Errorf("waited %v, want %v", took, bodyPatience)
		}
	})
}

func TestConn_IsFreshThoughTheLastRequestsDeadlineIsOver(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := newConn(nc)
	defer func() { _ = c.Close() }()
	_ = c.SetReadDeadline(longAgo)
	if !c.fresh() {
		t.Error("a connection that its peer holds was taken for closed")
	}
}
