package clientip

import (
	"crypto/tls"
	"net/http"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func request(remote string, header http.Header) *http.Request {
	return &http.Request{RemoteAddr: remote, Host: "api.example.com", Header: header}
}

func TestOf_BelievesHeadersOfTrustedProxiesOnly(t *testing.T) {
	t.Parallel()
	forwarded := http.Header{
		"X-Forwarded-For": {"203.0.113.9, 198.51.100.7", "10.0.0.2"}, "X-Forwarded-Host": {"front.example.com"}, "X-Forwarded-Proto": {"https"},
	}
	for name, c := range map[string]struct {
		trusted []string
		remote  string
		header  http.Header
		want    Origin
	}{
		"nobody is trusted": {nil, "10.0.0.1:5", forwarded,
			Origin{netip.MustParseAddr("10.0.0.1"), "10.0.0.1", "api.example.com", "http"}},
		"a stranger claims to be a proxy": {[]string{"10.0.0.0/8"}, "192.0.2.1:5", forwarded,
			Origin{netip.MustParseAddr("192.0.2.1"), "192.0.2.1", "api.example.com", "http"}},
		"the last address that is no proxy is the client, not the first": {[]string{"10.0.0.0/8"}, "10.0.0.1:5", forwarded,
			Origin{netip.MustParseAddr("198.51.100.7"), "203.0.113.9, 198.51.100.7,10.0.0.2, 10.0.0.1", "front.example.com", "https"}},
		"a single trusted address": {[]string{" 10.0.0.1 "}, "10.0.0.1:5", http.Header{"X-Forwarded-For": {"192.0.2.3"}},
			Origin{netip.MustParseAddr("192.0.2.3"), "192.0.2.3, 10.0.0.1", "api.example.com", "http"}},
		"an entry that cannot be read ends the walk": {[]string{"10.0.0.0/8"}, "10.0.0.1:5", http.Header{"X-Forwarded-For": {"192.0.2.3, nonsense, 10.0.0.9"}},
			Origin{netip.MustParseAddr("10.0.0.9"), "192.0.2.3, nonsense, 10.0.0.9, 10.0.0.1", "api.example.com", "http"}},
		"a proxy that says nothing is the client": {[]string{"10.0.0.0/8"}, "10.0.0.1:5", http.Header{},
			Origin{netip.MustParseAddr("10.0.0.1"), "10.0.0.1", "api.example.com", "http"}},
		"a scheme that is none is not passed on": {[]string{"10.0.0.0/8"}, "10.0.0.1:5", http.Header{"X-Forwarded-Proto": {"javascript"}},
			Origin{netip.MustParseAddr("10.0.0.1"), "10.0.0.1", "api.example.com", "http"}},
		"IPv6 with ports and brackets": {[]string{"fd00::/8"}, "[fd00::1]:5", http.Header{"X-Forwarded-For": {"[2001:db8::7]:99, [fd00::2]"}},
			Origin{netip.MustParseAddr("2001:db8::7"), "[2001:db8::7]:99, [fd00::2], fd00::1", "api.example.com", "http"}},
		"an IPv4 address in IPv6's clothes is one": {nil, "[::ffff:192.0.2.1]:5", nil,
			Origin{netip.MustParseAddr("192.0.2.1"), "192.0.2.1", "api.example.com", "http"}},
		"a zone does not make another client": {nil, "[fe80::1%eth0]:5", nil,
			Origin{netip.MustParseAddr("fe80::1"), "fe80::1", "api.example.com", "http"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := New(c.trusted)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, f.Of(request(c.remote, c.header)), cmpopts.EquateComparable(netip.Addr{})); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestOf_TLSIsHTTPS(t *testing.T) {
	t.Parallel()
	r := request("192.0.2.1:5", nil)
	r.TLS = &tls.ConnectionState{}
	if got := (Finder{}).Of(r).Proto; got != "https" {
		t.Errorf("got %s", got)
	}
}

func TestNew_RefusesWhatIsNoNetwork(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"proxy.example.com", "10.0.0.0/99", "10.0.0"} {
		if _, err := New([]string{s}); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
	if f, err := New([]string{"", " "}); err != nil || len(f.trusted) != 0 {
		t.Errorf("empty entries: %v, %v", f.trusted, err)
	}
}
