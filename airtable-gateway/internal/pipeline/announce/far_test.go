package announce_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
)

// through sends the call to a server in this process.
func through(h http.Handler, c upstream.Call) upstream.Answer {
	target := c.Path
	if c.RawQuery != "" {
		target += "?" + c.RawQuery
	}
	r := httptest.NewRequest(c.Method, target, bytes.NewReader(c.Body))
	r.Header.Set("Authorization", "Bearer patTest")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return upstream.Answer{Status: w.Code, Header: w.Header(), Body: w.Body.Bytes()}
}
