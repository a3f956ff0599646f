package handlers_test

import (
	"strings"
	"testing"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/emulator"
)

const (
	watchRecords = `{"specification":{"options":{"filters":{"dataTypes":["tableData"]}}}}`
	watchFields  = `{"specification":{"options":{"filters":{"dataTypes":["tableFields"]}}}}`
)

func TestWebhooks_TellTheirOwnTenantOfItsChanges(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	anna, boris := f.owner(t), f.owner(t)
	base := anna.shop(t)
	at := "/v0/bases/" + base + "/webhooks"
	var hook struct{ ID string }
	anna.v0(t, "POST", at, watchRecords).ok(t, &hook)
	token := anna.pat(t, "webhook:manage data.records:read", base)
	token.v0(t, "GET", at, "").ok(t, nil)
	anna.v0(t, "POST", "/v0/"+base+"/Customers", `{"fields":{"Name":"Bo"}}`).ok(t, nil)
	if r := token.v0(t, "GET", at+"/"+hook.ID+"/payloads", ""); !strings.Contains(r.body, `"Bo"`) || !strings.HasSuffix(r.body, `"cursor":2,"mightHaveMore":false}`) {
		t.Error(r.body)
	}
	for request, body := range map[string]string{
		"GET " + at: "", "POST " + at: watchRecords, "GET " + at + "/" + hook.ID + "/payloads": "", "DELETE " + at + "/" + hook.ID: "",
		"POST " + at + "/" + hook.ID + "/refresh": "", "POST " + at + "/" + hook.ID + "/enableNotifications": `{"enable":false}`,
	} {
		method, path, _ := strings.Cut(request, " ")
		boris.v0(t, method, path, body).refused(t, 403, denied)                                                       // another tenant
		anna.pat(t, "webhook:manage data.records:read", "appOther").v0(t, method, path, body).refused(t, 403, denied) // another base
		anna.pat(t, "data.records:read data.records:write", base).v0(t, method, path, body).refused(t, 403, denied)   // another scope
	}
}

// Airtable lets a connection's token do everything: what a token here may not read, no
// webhook there shows it.
func TestWebhooks_ShowNothingBeyondTheTokensScopesAtEitherKindOfConnection(t *testing.T) {
	t.Parallel()
	far, _ := newEmulator(t, emulator.Faults{})
	f := newFleet(t, far.URL)
	anna := f.owner(t)
	connect(t, anna, far.URL, accountToken)
	for _, base := range []string{anna.shop(t), "appEmulator000001"} {
		at := "/v0/bases/" + base + "/webhooks"
		var hook struct{ ID string }
		anna.v0(t, "POST", at, watchRecords).ok(t, &hook)
		bare, records := anna.pat(t, "webhook:manage", "*"), anna.pat(t, "webhook:manage data.records:read schema.bases:read", "*")
		bare.v0(t, "GET", at, "").ok(t, nil)
		bare.v0(t, "POST", at, watchRecords).refused(t, 403, denied)
		bare.v0(t, "POST", at, watchFields).refused(t, 403, denied)
		bare.v0(t, "GET", at+"/"+hook.ID+"/payloads", "").refused(t, 403, denied)
		records.v0(t, "POST", at, watchRecords).ok(t, nil)
		records.v0(t, "GET", at+"/"+hook.ID+"/payloads", "").ok(t, nil)
	}
}
