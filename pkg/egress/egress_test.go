package egress_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/pkg/egress"
)

func TestAdmits_PublicAddressesAlone(t *testing.T) {
	t.Parallel()
	var g egress.Guard
	for _, open := range []string{"8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "::ffff:8.8.8.8", "2606:4700::1111", "2a00:1450::1"} {
		if !g.Admits(netip.MustParseAddr(open)) {
			t.Errorf("%s is refused", open)
		}
	}
	for _, closed := range []string{
		"0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.9.9.9", "168.63.129.16", "169.254.169.254",
		"172.16.0.1", "172.31.255.255", "192.0.0.192", "192.168.1.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "fe80::1", "fe80::1%eth0",
		"fc00::1", "fd00:ec2::254", "ff02::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1",
	} {
		if g.Admits(netip.MustParseAddr(closed)) {
			t.Errorf("%s is let through", closed)
		}
	}
	if g.Admits(netip.Addr{}) {
		t.Error("no address is let through")
	}
}

func TestParse_AllowsNetworksAndAddresses(t *testing.T) {
	t.Parallel()
	g, err := egress.Parse(" 10.1.0.0/16, 127.0.0.1 ,fd00::/8,")
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]bool{
		"10.1.255.1": true, "10.2.0.1": false, "127.0.0.1": true, "127.0.0.2": false, "::ffff:127.0.0.1": true, "fd12::1": true, "::1": false,
	} {
		if got := g.Admits(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	for _, bad := range []string{"localhost", "10.0.0.0/33", "10.0.0", "fe80::1%eth0", "10.0.0.0/8;127.0.0.1"} {
		if _, err := egress.Parse(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestCheckURL_RefusesWhatCouldNeverBeAsked(t *testing.T) {
	t.Parallel()
	var g egress.Guard
	for text, want := range map[string]error{
		"https://example.com/hook?x=1": nil, "http://8.8.8.8:8080": nil, "http://[2606:4700::1111]/": nil,
		"":                            egress.ErrURL,
		"example.com/hook":            egress.ErrURL,
		"//example.com":               egress.ErrURL,
		"ftp://example.com":           egress.ErrURL,
		"file:///etc/passwd":          egress.ErrURL,
		"https://":                    egress.ErrURL,
		"https://u:p@example.com":     egress.ErrURL,
		"https://exa mple.com":        egress.ErrURL,
		"http://127.0.0.1/":           egress.ErrRefused,
		"http://[::1]:80/":            egress.ErrRefused,
		"http://169.254.169.254/meta": egress.ErrRefused,
	} {
		if err := g.CheckURL(text); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
}

// A name is judged by what it resolves to: localhost has no address in its URL.
func TestClient_RefusesANameThatPointsInside(t *testing.T) {
	t.Parallel()
	asked := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var g egress.Guard
	_, err = get(t, g.Client(egress.Options{Timeout: 5 * time.Second}), "http://localhost:"+port)
	if !errors.Is(err, egress.ErrRefused) || asked {
		t.Errorf("%v, asked %v", err, asked)
	}
}

func TestClient_AsksWhatIsAllowed(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer server.Close()
	status, err := get(t, loopback(t).Client(egress.Options{Timeout: 5 * time.Second}), server.URL)
	if err != nil || status != http.StatusNoContent {
		t.Errorf("%d %v", status, err)
	}
}

// A redirect is a way round a check of the first address only.
func TestClient_JudgesRedirectsToo(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.2:1/", http.StatusFound)
	}))
	defer server.Close()
	client := loopback(t).Client(egress.Options{Timeout: 5 * time.Second, Redirects: 3})
	if _, err := get(t, client, server.URL); !errors.Is(err, egress.ErrRefused) {
		t.Error(err)
	}
}

func TestClient_FollowsNoMoreRedirectsThanItMay(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Count(r.URL.Path, "x") == 3 {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		http.Redirect(w, r, r.URL.Path+"x", http.StatusFound)
	}))
	defer server.Close()
	for redirects, want := range map[int]int{0: http.StatusFound, 2: http.StatusFound, 3: http.StatusNoContent} {
		status, err := get(t, loopback(t).Client(egress.Options{Timeout: 5 * time.Second, Redirects: redirects}), server.URL+"/")
		if err != nil || status != want {
			t.Errorf("%d redirects: %d %v, want %d", redirects, status, err, want)
		}
	}
}

func loopback(t *testing.T) egress.Guard {
	t.Helper()
	g, err := egress.Parse("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func get(t *testing.T, c *http.Client, address string) (int, error) {
	t.Helper()
	defer c.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	_ = resp.Body.Close()
	return resp.StatusCode, nil
}
