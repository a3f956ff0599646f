package origin_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/origin"
)

func request(peer, forwarded, agent string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = peer
	if forwarded != "" {
		r.Header.Set("X-Forwarded-For", forwarded)
	}
	r.Header.Set("User-Agent", agent)
	return r
}

func TestOf_BelievesForwardedForFromNeighboursOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ peer, forwarded, want string }{
		{"203.0.113.9:1234", "", "203.0.113.9"},
		{"203.0.113.9:1234", "198.51.100.1", "203.0.113.9"},
		{"127.0.0.1:1234", "198.51.100.1", "198.51.100.1"},
		{"10.0.0.2:1234", "198.51.100.1", "198.51.100.1"},
		{"10.0.0.2:1234", "6.6.6.6, 198.51.100.1", "198.51.100.1"},
		{"10.0.0.2:1234", "6.6.6.6, 198.51.100.1, 10.0.0.9", "198.51.100.1"},
		{"10.0.0.2:1234", "nonsense", "10.0.0.2"},
		{"[::1]:1234", "2001:db8::7", "2001:db8::7"},
		{"127.0.0.1:1234", "", "127.0.0.1"},
	} {
		if got := origin.Of(request(c.peer, c.forwarded, "")).IP; got != c.want {
			t.Errorf("%s for %q: %s, want %s", c.peer, c.forwarded, got, c.want)
		}
	}
}

func TestOf_AgentIsBoundedAndPrintable(t *testing.T) {
	t.Parallel()
	got := origin.Of(request("127.0.0.1:1", "", "a\x00\x1bb\xff"+strings.Repeat("ü", 400))).Agent
	if !strings.HasPrefix(got, "abü") || len(got) > 300 || strings.ContainsRune(got, '\uFFFD') {
		t.Errorf("%q", got)
	}
}
