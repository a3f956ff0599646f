package handlers_test

import (
	"context"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/permit"
	"github.com/pyairtable/pyairtable/pkg/redistest"
	"github.com/pyairtable/pyairtable/pkg/refusals"
)

// What the policy refuses at /v0 is refused in Airtable's words, and told to the audit log
// all the same: what may not be done, and what is not seen. What an upstream refuses is not.
func TestDenials_AreToldToTheAuditLog(t *testing.T) {
	t.Parallel()
	o := newOffice(t, false)
	recorder := refusals.New("airtable-gateway", zap.NewNop(), prometheus.NewRegistry())
	o.anna.f.api.Refusals = recorder
	carl := o.anna.guest(t)
	o.rights.set(carl, permissionapi.Read, permit.Base(o.anna.tenant, o.app))
	for _, c := range []struct {
		by                 person
		method, path, body string
		status             int
		told               string
	}{
		{carl, "POST", o.at("Tasks"), `{"fields":{"Title":"x"}}`, 403, "invalid_permissions"}, // a viewer writes
		{carl, "GET", o.at("Tasks"), "", 200, ""},
		{o.bob, "GET", o.at("HushVault"), "", 403, "invalid_permissions"},                                   // a table that is hidden
		{o.bob, "GET", o.at("People", o.closed[0]), "", 404, "not_found"},                                   // a record that is hidden
		{o.bob, "PATCH", o.at("People", o.open[0]), `{"fields":{"Grade":"A"}}`, 403, "invalid_permissions"}, // a field that is read-only
		{o.bob, "GET", "/v0/bases/" + o.app + "/webhooks", "", 403, "invalid_permissions"},                  // what masks close
		{o.bob, "POST", o.at("Tasks"), `{"fields":{"Nothing":1}}`, 422, ""},                                 // nonsense
		{o.anna, "GET", o.at("Tasks", "recUNKNOWN0000000"), "", 404, ""},                                    // nobody's
		{o.anna.guest(t), "GET", o.at("Tasks"), "", 403, "base_not_found"},                                  // who has nothing
		{o.anna.pat(t, "schema.bases:read", o.app), "GET", o.at("Tasks"), "", 403, "invalid_permissions"},   // a scope
	} {
		got := c.by.v0(t, c.method, c.path, c.body)
		if got.status != c.status {
			t.Errorf("%s %s: %d %s", c.method, c.path, got.status, got.body)
		}
		told := told(t, recorder)
		if c.told == "" {
			if len(told) > 0 {
				t.Errorf("%s %s: told %v", c.method, c.path, told)
			}
			continue
		}
		if len(told) != 1 {
			t.Errorf("%s %s: told %v, want %s", c.method, c.path, told, c.told)
			continue
		}
		for _, want := range []string{`"tenantid":"` + o.anna.tenant.String(), `"path":"/v0/`, `"method":"` + c.method, `"code":"` + c.told + `"`} {
			if !strings.Contains(told[0], want) {
				t.Errorf("%s %s: no %s in %s", c.method, c.path, want, told[0])
			}
		}
	}
}

// told are the events that the recorder has for the audit log.
func told(t *testing.T, recorder *refusals.Recorder) (out []string) {
	t.Helper()
	rdb := redistest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // a stop sends what is left
	if err := recorder.Run(ctx, rdb); err != nil {
		t.Fatal(err)
	}
	keys, err := rdb.Keys(t.Context(), "events:{requests:*}").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		list, err := rdb.XRange(t.Context(), key, "-", "+").Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			text, _ := m.Values["e"].(string)
			out = append(out, text)
		}
	}
	return out
}
