package authapi_test

import (
	"testing"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/eventstest"
)

// The samples are what other services, of another version maybe, read.
func TestEvents_AreTheirSamples(t *testing.T) {
	t.Parallel()
	eventstest.Sample(t, authapi.UserRegistered, `{"user_id":"u","tenant_id":"t","email":"a@b.c","email_verified":true,"name":"A"}`)
	eventstest.Sample(t, authapi.EmailVerified, `{"user_id":"u","email":"a@b.c"}`)
	eventstest.Sample(t, authapi.SignedIn, `{"user_id":"u","session_id":"s","method":"password","ip":"192.0.2.1"}`)
	eventstest.Sample(t, authapi.CredentialsChanged, `{"user_id":"u","what":"token_created","id":"p"}`)
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
