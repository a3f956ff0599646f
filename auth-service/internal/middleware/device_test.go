package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/pyairtable/pyairtable/auth-service/internal/middleware"
	"github.com/pyairtable/pyairtable/auth-service/internal/models"
)

func device(peer, forwarded, agent string) (d models.Device) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = peer
	if forwarded != "" {
		r.Header.Set("X-Forwarded-For", forwarded)
	}
	r.Header.Set("User-Agent", agent)
	engine := gin.New()
	engine.Use(middleware.Device)
	engine.GET("/", func(c *gin.Context) { d = middleware.DeviceOf(c.Request.Context()) })
	engine.ServeHTTP(httptest.NewRecorder(), r)
	return d
}

func TestDevice_BelievesForwardedForFromNeighboursOnly(t *testing.T) {
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
		if got := device(c.peer, c.forwarded, "").IP; got != c.want {
			t.Errorf("%s for %q: %s, want %s", c.peer, c.forwarded, got, c.want)
		}
	}
}

func TestDevice_UserAgentIsBoundedAndPrintable(t *testing.T) {
	t.Parallel()
	got := device("127.0.0.1:1", "", "a\x00\x1bb\xff"+strings.Repeat("ü", 400)).UserAgent
	if !strings.HasPrefix(got, "abü") || len(got) > 300 || strings.ContainsRune(got, '\uFFFD') {
		t.Errorf("%q", got)
	}
}
