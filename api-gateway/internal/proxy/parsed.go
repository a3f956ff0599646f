package proxy

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// passParsed reads the answer with net/http and passes it on: interim answers, chunked
// bodies, trailers, HTTP/1.0, bodies that end with the connection.
func (e *exchange) passParsed(c *conn, sent bool) (verdict, bool, error) {
	e.wait(c)
	res, err := e.finalAnswer(c) //nolint:bodyclose // its body is a view of the connection, which is closed or kept
	if err != nil {
		return done, false, broken(err)
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		return done, false, fmt.Errorf("%w: it switched protocols unasked", ErrUpstream)
	}
	if v, retry := e.elsewhere(res.StatusCode); retry {
		return v, false, fmt.Errorf("%w: status %d", ErrUpstream, res.StatusCode)
	}
	c.unlimited()
	h := e.w.Header()
	copyAnswerHeader(h, res.Header)
	announced := announce(h, res)
	e.begin(res.StatusCode, h)
	if res.ContentLength != 0 && bodyAllowed(e.r.Method, res.StatusCode) {
		if err := e.copyParsed(c, res.Body, h); err != nil {
			return done, false, err
		}
	}
	if len(res.Trailer) > 0 {
		passTrailer(e.w, res, announced)
	}
	return done, sent && !res.Close, nil
}

func bodyAllowed(method string, status int) bool {
	return method != http.MethodHead && status != http.StatusNoContent && status != http.StatusNotModified
}

// finalAnswer passes interim answers on and returns the final one.
func (e *exchange) finalAnswer(c *conn) (*http.Response, error) {
	for range interimMost {
		res, err := http.ReadResponse(c.br, e.r)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if res.StatusCode >= 200 || res.StatusCode == http.StatusSwitchingProtocols {
			return res, nil
		}
		h := e.w.Header()
		copyAnswerHeader(h, res.Header)
		innermost(e.w).WriteHeader(res.StatusCode)
		clear(h) // WriteHeader does not forget those of an interim answer
	}
	return nil, fmt.Errorf("more than %d interim answers", interimMost)
}

// copyAnswerHeader copies what is meant for the client.
func copyAnswerHeader(dst, src http.Header) {
	connection := src["Connection"]
	for k, vv := range src {
		if hopByHop(k) || ours(k) || len(connection) > 0 && named(connection, k) {
			continue
		}
		dst[k] = append(dst[k], vv...)
	}
}

// announce passes on which trailers will come, and returns how many.
func announce(h http.Header, res *http.Response) int {
	if len(res.Trailer) == 0 {
		return 0
	}
	h["Trailer"] = []string{strings.Join(slices.Sorted(maps.Keys(res.Trailer)), ", ")}
	return len(res.Trailer)
}

// passTrailer sets the trailers after the body, those that were not announced under the
// server's prefix for them.
func passTrailer(w http.ResponseWriter, res *http.Response, announced int) {
	// A flush makes the server choose chunks, without which there is no room for trailers.
	_ = http.NewResponseController(w).Flush()
	h := w.Header()
	for k, vv := range res.Trailer {
		if len(res.Trailer) != announced {
			k = http.TrailerPrefix + textproto.CanonicalMIMEHeaderKey(k)
		}
		for _, v := range vv {
			h.Add(k, v)
		}
	}
}

func interim(status int) bool {
	return status >= 100 && status < 200 && status != http.StatusSwitchingProtocols
}

// innermost is the server's own ResponseWriter under those that wrap it.
func innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = u.Unwrap()
	}
}
