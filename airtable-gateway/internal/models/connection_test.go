package models

import (
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/pkg/id"
)

func TestAdmit_OnlyListedOriginsAndNothingMore(t *testing.T) {
	t.Parallel()
	allowed, err := ParseAllowedURLs("https://api.airtable.com, http://127.0.0.1:9999/ ,")
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{
		"https://api.airtable.com":                "https://api.airtable.com",
		"https://API.airtable.com/":               "https://api.airtable.com",
		"http://127.0.0.1:9999":                   "http://127.0.0.1:9999",
		"http://api.airtable.com":                 "",
		"https://api.airtable.com:8443":           "",
		"https://api.airtable.com/v0":             "",
		"https://api.airtable.com?x":              "",
		"https://api.airtable.com@evil.example":   "",
		"https://user:pw@api.airtable.com":        "",
		"https://api.airtable.com.evil.example":   "",
		"http://127.0.0.1:99990":                  "",
		"http://169.254.169.254":                  "",
		"file:///etc/passwd":                      "",
		"//api.airtable.com":                      "",
		"https:api.airtable.com":                  "",
		"https://api.airtable.com\\@evil.example": "",
		"":                                       "",
		"https://api.airtable.com#@evil.example": "",
		"https://api.airtable.com%2eevil.example/":  "",
		"https://xn--api-airtable-com.evil.example": "",
	} {
		got, ok := allowed.Admit(address)
		if ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q, %v; want %q", address, got, ok, want)
		}
	}
}

func TestParseAllowedURLs_RefusesWhatIsNoOrigin(t *testing.T) {
	t.Parallel()
	for _, list := range []string{"api.airtable.com", "https://x/v0", "ftp://x", "https://u:p@x"} {
		if got, err := ParseAllowedURLs(list); err == nil {
			t.Errorf("%q: %v", list, got)
		}
	}
}

func TestDerivedID_IsStableAndShapedAsAirtables(t *testing.T) {
	t.Parallel()
	a, b := DerivedID("rec", "Cities", "1"), DerivedID("rec", "Cities", "1")
	if a != b || len(a) != 17 || !IsID("rec", a) {
		t.Errorf("%q, %q", a, b)
	}
	if DerivedID("rec", "a", "bc") == DerivedID("rec", "ab", "c") {
		t.Error("words run together")
	}
}

func TestWorkspaceID_OnlyLocalConnectionsHaveOne(t *testing.T) {
	t.Parallel()
	now := time.Now()
	if ws := NewConnection(id.TenantID{}, LocalConnection, "x", now).WorkspaceID(); !IsID("wsp", ws) {
		t.Errorf("local: %q", ws)
	}
	if ws := NewConnection(id.TenantID{}, AirtableConnection, "x", now).WorkspaceID(); ws != "" {
		t.Errorf("airtable: %q", ws)
	}
}
