package airtable

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"runtime"
	"strings"
)

// This file stands in the place of the package's own of this name when its tests are run
// against a server: what would have been answered from a file is asked of SUITE_URL. The
// names that the tests make up are those of tables and records that are there, and their
// made-up offsets are left out.

func mockResponse(...string) *httptest.Server {
	target, err := url.Parse(os.Getenv("SUITE_URL"))
	if err != nil {
		panic(err)
	}
	replace := strings.NewReplacer("/dbName/tableName", "/v0/appMehanizm000001/"+caller(), "/meta/", "/v0/meta/",
		"/test/tables", "/appTwoTables00001/tables", "recordID", "recnTq6CsvFM6vX2m")
	return httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.URL.Path, r.Out.URL.RawPath = replace.Replace(r.In.URL.Path), ""
		query := r.Out.URL.Query()
		query.Del("offset")
		r.Out.URL.RawQuery = query.Encode()
		r.Out.Header.Set("Authorization", "Bearer "+os.Getenv("SUITE_TOKEN"))
	}})
}

func mockErrorResponse(code int) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, fmt.Sprintf(`{"error":{"type":"STATUS_%d"}}`, code), code)
	}))
}

// caller is the test that is running: it has a table of its own.
func caller() string {
	pcs := make([]uintptr, 16)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for {
		frame, more := frames.Next()
		name := frame.Function[strings.LastIndex(frame.Function, ".")+1:]
		if strings.HasPrefix(name, "Test") {
			return name
		}
		if !more {
			return "nobody"
		}
	}
}
