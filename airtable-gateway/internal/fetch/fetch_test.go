package fetch_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/fetch"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/filestest"
	"github.com/pyairtable/pyairtable/pkg/egress"
)

func client(t *testing.T, stall time.Duration) *fetch.Client {
	t.Helper()
	guard, err := egress.Parse("127.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	c := fetch.New(guard, stall)
	t.Cleanup(c.Close)
	return c
}

func TestGet_TellsWhatTheServerSays(t *testing.T) {
	t.Parallel()
	site := filestest.NewSite(t)
	final := site.Handle("/c", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/csv; charset=utf-8")
		w.Header().Set("Content-Disposition", `attachment; filename="../../x.csv"`)
		_, _ = io.WriteString(w, "a,b")
	})
	second := site.Handle("/b", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, final, http.StatusFound) })
	first := site.Handle("/a", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, second, http.StatusFound) })
	zeroth := site.Handle("/0", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, first, http.StatusFound) })
	answer, err := client(t, fetch.DefaultStall).Get(t.Context(), zeroth, 3) // three redirects
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || string(body) != "a,b" || answer.Type != "text/csv" || strings.Contains(answer.Name, "/") {
		t.Errorf("%q %+v %v", body, answer, err)
	}
	one := site.Handle("/1", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, zeroth, http.StatusFound) })
	if _, err := client(t, fetch.DefaultStall).Get(t.Context(), one, 3); !errors.Is(err, fetch.ErrRefused) {
		t.Errorf("four redirects: %v", err)
	}
}

func TestGet_EndsWhatIsTooLargeOrTooSlow(t *testing.T) {
	t.Parallel()
	site := filestest.NewSite(t)
	endless := site.Handle("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
	answer, err := client(t, fetch.DefaultStall).Get(t.Context(), endless, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, answer.Body)
	if !errors.Is(err, fetch.ErrTooLarge) || n > 1<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
	_ = answer.Body.Close()
	stuck := site.Handle("/stuck", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begin")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	if answer, err = client(t, 50*time.Millisecond).Get(t.Context(), stuck, 1<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(answer.Body); err == nil || fetch.Permanent(err) {
		t.Errorf("a stuck download: %v", err)
	}
	_ = answer.Body.Close()
}

func TestPermanent_IsWhatNoRepetitionHelps(t *testing.T) {
	t.Parallel()
	site := filestest.NewSite(t)
	status := func(code int) string {
		return site.Handle("/"+http.StatusText(code), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
	}
	for address, want := range map[string]bool{
		status(404): true, status(403): true, status(204): true, status(500): false, status(503): false, status(429): false,
		"http://10.0.0.1/": true, "ftp://x/": true, "http://user:pass@example.com/": true, "http://nowhere.invalid/": true,
	} {
		_, err := client(t, fetch.DefaultStall).Get(t.Context(), strings.ReplaceAll(address, " ", "%20"), 1)
		if err == nil || fetch.Permanent(err) != want {
			t.Errorf("%s: %v, permanent %v", address, err, fetch.Permanent(err))
		}
	}
}
