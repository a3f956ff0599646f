// Command baseline is what the gateway is compared with: net/http and httputil.ReverseProxy with a tuned
// Transport and a BufferPool, and nothing else (no auth, limit, log or metrics).
package main

import (
	"flag"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

type bufferPool struct{ sync.Pool }

func (p *bufferPool) Get() []byte  { return *p.Pool.Get().(*[]byte) }
func (p *bufferPool) Put(b []byte) { p.Pool.Put(&b) }

func main() {
	addr := flag.String("addr", "127.0.0.1:8101", "listen address")
	up := flag.String("up", "http://127.0.0.1:9000", "upstream")
	pool := flag.Bool("bufpool", true, "reuse copy buffers")
	flag.Parse()
	u, err := url.Parse(*up)
	if err != nil {
		log.Fatal(err)
	}
	rp := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(u); r.SetXForwarded() },
		Transport: &http.Transport{MaxIdleConnsPerHost: 512, IdleConnTimeout: 90 * time.Second, DisableCompression: true},
	}
	if *pool {
		rp.BufferPool = &bufferPool{sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}}
	}
	log.Fatal(http.ListenAndServe(*addr, rp))
}
