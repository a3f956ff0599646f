package airtable

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
)

func newAPI(t *testing.T, base string) *API {
	t.Helper()
	c := New(10 * time.Second)
	t.Cleanup(c.Close)
	return c.At(base, "patSecret")
}

func serve(t *testing.T, h http.HandlerFunc) *API {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return newAPI(t, s.URL+"/")
}

func TestDo_PathQueryAndBodyPassByteForByte(t *testing.T) {
	t.Parallel()
	body := []byte(`{"fields":{"a":1.50,"b":"<&>"}, "typecast":true}`)
	seen := make(chan *http.Request, 1)
	api := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(got))
		seen <- r
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = w.Write([]byte(`{"a": 1.50}` + "\n"))
	})
	answer, err := api.Do(t.Context(), upstream.Call{
		Op: upstream.CreateRecords, Method: "POST", Path: "/v0/app1/a%2Fb%3f%20+%F0%9F%9A%80",
		RawQuery: "fields%5B%5D=a+b&offset=&x=1%25", Body: body,
		Header: http.Header{
			"Content-Type": {"application/json"}, "User-Agent": {"Airtable.js/0.12.2"}, "X-Airtable-Application-Id": {"app1"},
			"Authorization": {"Bearer clients-own"}, "Cookie": {"a=b"}, "X-Forwarded-For": {"1.2.3.4"},
			"Connection": {"keep-alive"}, "Accept-Encoding": {"br"}, "Idempotency-Key": {"k"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := <-seen
	sent, _ := io.ReadAll(r.Body)
	if want := "/v0/app1/a%2Fb%3f%20+%F0%9F%9A%80?fields%5B%5D=a+b&offset=&x=1%25"; r.RequestURI != want {
		t.Errorf("target = %s\nwant     %s", r.RequestURI, want)
	}
	if !bytes.Equal(sent, body) || string(answer.Body) != "{\"a\": 1.50}\n" {
		t.Errorf("body sent %q, answered %q", sent, answer.Body)
	}
	want := http.Header{
		"Accept-Encoding": {"gzip"}, "Authorization": {"Bearer patSecret"}, "Content-Length": {"48"}, "Content-Type": {"application/json"},
		"User-Agent": {"Airtable.js/0.12.2"}, "X-Airtable-Application-Id": {"app1"},
	}
	if diff := cmp.Diff(want, r.Header); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

func TestDo_OnlyHarmlessHeadersComeBack(t *testing.T) {
	t.Parallel()
	api := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		for name, value := range map[string]string{
			"Content-Type": "application/json; charset=utf-8", "Retry-After": "30", "Set-Cookie": "brw=1", "ETag": `W/"1"`,
			"Access-Control-Allow-Origin": "*", "Strict-Transport-Security": "max-age=1", "Airtable-Uncompressed-Content-Length": "2",
			"X-Frame-Options": "DENY", "Server": "x", "Keep-Alive": "timeout=5",
		} {
			h.Set(name, value)
		}
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = w.Write([]byte(`{}`))
	})
	answer, err := api.Do(t.Context(), upstream.Call{Op: upstream.ListRecords, Method: "GET", Path: "/v0/app1/T"})
	if err != nil {
		t.Fatal(err)
	}
	want := http.Header{
		"Content-Type": {"application/json; charset=utf-8"}, "Retry-After": {"30"}, "Airtable-Uncompressed-Content-Length": {"2"},
	}
	if diff := cmp.Diff(want, answer.Header); diff != "" || answer.Status != 429 {
		t.Errorf("status %d, headers (-want +got):\n%s", answer.Status, diff)
	}
}

func TestDo_RefusesWhatWouldHarmAClient(t *testing.T) {
	t.Parallel()
	answers := map[string]http.HandlerFunc{
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/", http.StatusFound)
		},
		"a page with status 200": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<html>"))
		},
		"a connection cut in the middle": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(`{"rec`))
		},
	}
	for name, h := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := serve(t, h).Do(t.Context(), upstream.Call{Op: upstream.CreateRecords, Method: "POST", Path: "/v0/app1/T", Body: []byte("{}")})
			if err == nil || errors.Is(err, upstream.ErrNotSent) {
				t.Errorf("err = %v, want one that does not claim that nothing was sent", err)
			}
			if err != nil && strings.Contains(err.Error(), "patSecret") {
				t.Error("the error shows the token")
			}
		})
	}
}

func TestDo_ErrorPagesOfProxiesAreAnswers(t *testing.T) {
	t.Parallel()
	api := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = w.Write([]byte("<html>"))
	})
	answer, err := api.Do(t.Context(), upstream.Call{Op: upstream.ListRecords, Method: "GET", Path: "/v0/app1/T"})
	if err != nil || answer.Status != 502 {
		t.Errorf("got %d, %v", answer.Status, err)
	}
}

func TestDo_SaysWhenNothingWasSent(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	_, err = newAPI(t, "http://"+address).Do(t.Context(), upstream.Call{Op: upstream.CreateRecords, Method: "POST", Path: "/v0/app1/T", Body: []byte("{}")})
	if !errors.Is(err, upstream.ErrNotSent) {
		t.Errorf("err = %v, want ErrNotSent", err)
	}
}

func TestDo_EndsWithTheCallersContext(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	api := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-entered
		cancel()
	}()
	_, err := api.Do(ctx, upstream.Call{Op: upstream.ListRecords, Method: "GET", Path: "/v0/app1/T"})
	if !errors.Is(err, context.Canceled) || errors.Is(err, upstream.ErrNotSent) {
		t.Errorf("err = %v, want the context's", err)
	}
}

func TestHost_UploadsGoToAirtablesContentHost(t *testing.T) {
	t.Parallel()
	upload := upstream.Call{Path: "/v0/app1/rec1/Files/uploadAttachment"}
	if got := (&API{base: DefaultURL}).host(upload); got != contentURL {
		t.Errorf("at Airtable: %s", got)
	}
	if got := (&API{base: "http://127.0.0.1:1"}).host(upload); got != "http://127.0.0.1:1" {
		t.Errorf("elsewhere: %s", got)
	}
}
