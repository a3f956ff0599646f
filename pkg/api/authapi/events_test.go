package authapi_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// The samples are what other services, of another version maybe, read.
func TestEvents_AreTheirSamples(t *testing.T) {
	t.Parallel()
	sample(t, authapi.UserRegistered, `{"user_id":"u","tenant_id":"t","email":"a@b.c","email_verified":true,"name":"A"}`)
	sample(t, authapi.EmailVerified, `{"user_id":"u","email":"a@b.c"}`)
	sample(t, authapi.SignedIn, `{"user_id":"u","session_id":"s","method":"password","ip":"192.0.2.1"}`)
	sample(t, authapi.CredentialsChanged, `{"user_id":"u","what":"token_created","id":"p"}`)
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

func TestRevocation_IsNamedAlikeOnTheChannelAndInTheSet(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		r            authapi.Revocation
		json, member string
	}{
		{authapi.Revocation{Session: "x", Until: 7}, `{"sid":"x","until":7}`, "sid:x"},
		{authapi.Revocation{Token: "x", Until: 7}, `{"pat":"x","until":7}`, "pat:x"},
		{authapi.Revocation{User: "x", Until: 7}, `{"user":"x","until":7}`, "user:x"},
	} {
		if string(c.r.JSON()) != c.json || c.r.Member() != c.member {
			t.Errorf("%s %s", c.r.JSON(), c.r.Member())
		}
	}
}
