package userapi_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// The samples are what other services, of another version maybe, read.
func TestEvents_AreTheirSamples(t *testing.T) {
	t.Parallel()
	sample(t, userapi.ProfileCreated, `{"user_id":"u","tenant_id":"t"}`)
	sample(t, userapi.UserUpdated, `{"user_id":"u","tenant_id":"t","changed":["name"],"actor_id":"a"}`)
	sample(t, userapi.UserDeleted, `{"user_id":"u","tenant_id":"t","actor_id":"a"}`)
}

func sample[D any](t *testing.T, kind events.Type[D], text string) {
	t.Helper()
	var d D
	strict := json.NewDecoder(strings.NewReader(text))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&d); err != nil {
		t.Fatal(kind.Name, err)
	}
	e := kind.New(t.Context(), id.New[id.Tenant](), "u", 1, d)
	if string(e.Data) != text {
		t.Errorf("%s renders %s, the sample is %s", kind.Name, e.Data, text)
	}
	back, err := kind.Decode(e)
	if diff := cmp.Diff(d, back); err != nil || diff != "" {
		t.Error(kind.Name, err, diff)
	}
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
