package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/catalog"
	"github.com/pyairtable/pyairtable/pkg/rpc"
)

// A base shows a person as user-service names him: airtable-gateway hears that the
// profile is another, and asks.
func TestPeople_ANewNameReachesTheBases(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	u, who := w.user(t)
	gateway := w.urls[catalog.Gateway.Name]
	pat := w.pat(t, who, everyScope...)
	status, body := request(t, "POST", gateway+"/v0/meta/bases", pat,
		`{"name":"B","workspaceId":"wspAAAAAAAAAAAAAA","tables":[{"name":"T","fields":[{"name":"N","type":"singleLineText"},{"name":"By","type":"createdBy"}]}]}`)
	var base struct{ ID string }
	if err := json.Unmarshal([]byte(body), &base); err != nil || status != 200 {
		t.Fatal(status, body, err)
	}
	if status, body := request(t, "POST", gateway+"/v0/"+base.ID+"/T", pat, `{"fields":{"N":"x"}}`); status != 200 {
		t.Fatal(status, body)
	}
	shows := func(what string) func() bool {
		return func() bool {
			status, body := request(t, "GET", gateway+"/v0/"+base.ID+"/T", pat, "")
			return status == 200 && strings.Contains(body, what)
		}
	}
	await.True(t, "the address to be shown", shows(u.Email))
	name := "Ada, Countess of Lovelace"
	if _, err := rpc.Call(t.Context(), w.gateway(who), userapi.PatchMe, userapi.MePatch{Body: userapi.ProfilePatch{Name: &name}}); err != nil {
		t.Fatal(err)
	}
	await.True(t, "the new name to be shown", shows(name))
}
