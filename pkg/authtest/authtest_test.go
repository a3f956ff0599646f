package authtest_test

import (
	"errors"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/authtest"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/rpc"
)

func TestIssuer_ItsTokensAreVerifiedLikeRealOnes(t *testing.T) {
	t.Parallel()
	issuer, other := authtest.New(t), authtest.New(t)
	verifier := auth.NewVerifier(authtest.Name, issuer.Keys(), nil)
	tenant, user := id.New[id.Tenant](), id.New[id.User]()

	who, err := verifier.Verify(t.Context(), issuer.Token(t, authtest.User(tenant, user, "owner")))
	if err != nil || who.UserID != user || who.TenantID != tenant || !who.IsAdmin() || who.SessionID.IsZero() {
		t.Errorf("a user's token: %+v, %v", who, err)
	}
	who, err = verifier.Verify(t.Context(), issuer.Token(t, authtest.PAT(tenant, user, "member", "data.records:read", "appA")))
	if err != nil || who.PAT == "" || !who.MaySeeBase("appA") || who.HasScope("data.records:write") {
		t.Errorf("a personal access token's: %+v, %v", who, err)
	}

	expired := authtest.User(tenant, user, "owner")
	expired.ExpiresAt = jwt.NewNumericDate(time.Now().Add(-time.Minute))
	for _, token := range []string{issuer.Token(t, expired), other.Token(t, authtest.User(tenant, user, "owner"))} {
		if _, err := verifier.Verify(t.Context(), token); !errors.Is(err, errs.ErrUnauthenticated) {
			t.Errorf("expired, or another issuer's: %v", err)
		}
	}
}

func TestIssuer_GivesServicesTheirTokens(t *testing.T) {
	t.Parallel()
	issuer := authtest.New(t)
	client := rpc.New(rpc.Options{Callee: "auth-service", Addresses: []string{issuer.URL}})
	answer, err := rpc.Call(t.Context(), client, authapi.ServiceToken, authapi.ServiceTokenRequest{Client: "user-service", Secret: "x"})
	if err != nil {
		t.Fatal(err)
	}
	who, err := auth.NewVerifier(authtest.Name, issuer.Keys(), nil).Verify(t.Context(), answer.AccessToken)
	if err != nil || who.Service != "user-service" {
		t.Errorf("got %+v, %v", who, err)
	}
}
