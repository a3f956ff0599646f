package userapi_test

import (
	"encoding/json"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/eventstest"
)

// The samples are what other services, of another version maybe, read.
func TestEvents_AreTheirSamples(t *testing.T) {
	t.Parallel()
	eventstest.Sample(t, userapi.ProfileCreated, `{"user_id":"u","tenant_id":"t"}`)
	eventstest.Sample(t, userapi.UserUpdated, `{"user_id":"u","tenant_id":"t","changed":["name"],"actor_id":"a"}`)
	eventstest.Sample(t, userapi.UserDeleted, `{"user_id":"u","tenant_id":"t","actor_id":"a"}`)
}

func TestProfilePatch_KeepsNullApartFromAbsent(t *testing.T) {
	t.Parallel()
	for text, again := range map[string]string{
		`{}`:                              `{}`,
		`{"name":"A"}`:                    `{"name":"A"}`,
		`{"locale":null}`:                 `{"locale":""}`,
		`{"preferences":{"a":null}}`:      `{"preferences":{"a":null}}`,
		`{"name":"A","preferences":null}`: `{"name":"A","preferences":null}`,
	} {
		var p userapi.ProfilePatch
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(p)
		if err != nil || string(b) != again {
			t.Errorf("%s comes back as %s, %v", text, b, err)
		}
	}
}
