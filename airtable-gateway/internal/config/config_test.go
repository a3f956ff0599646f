package config

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/id"
)

func TestTenantWeights_AreReadOrRefused(t *testing.T) {
	t.Parallel()
	a, b := id.New[id.Tenant](), id.New[id.Tenant]()
	got, err := Config{Weights: a.String() + "=4, " + b.String() + " = 0.5,"}.TenantWeights()
	if diff := cmp.Diff(map[string]float64{a.String(): 4, b.String(): .5}, byName(got)); err != nil || diff != "" {
		t.Error(err, diff)
	}
	for _, bad := range []string{"4", a.String(), a.String() + "=0", a.String() + "=-1", a.String() + "=NaN", a.String() + "=1e9", "x=1"} {
		if _, err := (Config{Weights: bad}).TenantWeights(); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func byName(in map[id.TenantID]float64) map[string]float64 {
	out := map[string]float64{}
	for tenant, weight := range in {
		out[tenant.String()] = weight
	}
	return out
}

func TestEgress_IsReadOrRefused(t *testing.T) {
	t.Parallel()
	guard, err := Config{EgressAllowed: "10.0.0.0/8"}.Egress()
	if err != nil || !guard.Admits(netip.MustParseAddr("10.1.2.3")) || guard.Admits(netip.MustParseAddr("127.0.0.1")) {
		t.Error(err, guard)
	}
	if _, err := (Config{EgressAllowed: "intranet"}).Egress(); err == nil {
		t.Error("a name was accepted")
	}
}

func TestPingURL_IsWhereAirtableCanCall(t *testing.T) {
	t.Parallel()
	const at = "/api/v1/airtable/pings"
	for _, c := range []struct{ mode, public, want string }{
		{"auto", "http://localhost:8080", ""},
		{"auto", "https://bases.example.org/", "https://bases.example.org" + at},
		{"on", "http://10.0.0.1:8080", "http://10.0.0.1:8080" + at},
		{"off", "https://bases.example.org", ""},
	} {
		if got := (Config{Webhooks: c.mode, PublicURL: c.public}).PingURL(); got != c.want {
			t.Errorf("%s %s: %q", c.mode, c.public, got)
		}
	}
}
