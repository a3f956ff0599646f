package authservice_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
)

var secured = tenantapi.Security{RequireMFA: true}

// enrol gives the signed-in user a second factor, and returns his recovery codes.
func (o *office) enrol(access string) []string {
	o.t.Helper()
	code, err := totp.GenerateCode(must(o.fixture, access, authapi.EnrolTOTP, struct{}{}).Secret, time.Now())
	if err != nil {
		o.t.Fatal(err)
	}
	return must(o.fixture, access, authapi.ConfirmTOTP, authapi.CodeRequest{Code: code}).Codes
}

// works awaits that the token is exchanged for one that a gateway takes.
func (o *office) works(text string) {
	o.t.Helper()
	await.True(o.t, "the token works", func() bool {
		return !o.revoked.Revoked(o.principal(must(o.fixture, o.service("api-gateway"), authapi.ExchangePAT, authapi.PATExchange{Token: text}).AccessToken))
	})
}

func TestPAT_IsRefusedWithoutTheSecondFactorThatItsTenantDemands(t *testing.T) {
	t.Parallel()
	o := startOffice(t)
	o.hear(o.tenantIs(1, tenantapi.StatusActive, tenantapi.Security{}))
	user, _, in := o.member("member")
	_, _, with := o.member("owner")
	account := id.New[id.User]().String()
	o.hear(o.serviceAccountIs(tenantapi.MemberAdded, id.New[any]().String(), account, 1, false))

	text, access := o.pat(in.AccessToken)
	ofOther, otherAccess := o.pat(with.AccessToken)
	machine := must(o.fixture, with.AccessToken, authapi.CreateToken, tokenOf(account)).Body.Token
	atHome, homeAccess := o.pat(o.login(user.Email).AccessToken)
	stranger, strangerAccess := o.pat(o.login(o.register().Email).AccessToken)
	o.enrol(with.AccessToken)

	gateway, exchange := o.service("api-gateway"), authapi.PATExchange{Token: text}
	o.endsSoon([]events.Event{o.tenantIs(2, tenantapi.StatusActive, secured)}, access)
	refuse(o.fixture, authapi.ErrMFARequired, gateway, authapi.ExchangePAT, exchange)
	// Neither who has one is concerned, nor a machine, nor any other tenant.
	for _, other := range []string{otherAccess, homeAccess, strangerAccess} {
		if o.revoked.Revoked(o.principal(other)) {
			t.Error("a token of which nothing is demanded has ended")
		}
	}
	for _, other := range []string{ofOther, machine, atHome, stranger} {
		must(o.fixture, gateway, authapi.ExchangePAT, authapi.PATExchange{Token: other})
	}

	codes := o.enrol(in.AccessToken)
	o.works(text)
	again := must(o.fixture, gateway, authapi.ExchangePAT, exchange).AccessToken
	must(o.fixture, in.AccessToken, authapi.DisableTOTP, authapi.CodeRequest{Code: codes[0]})
	await.True(t, "what was made with the factor has ended", func() bool { return o.revoked.Revoked(o.principal(again)) })
	refuse(o.fixture, authapi.ErrMFARequired, gateway, authapi.ExchangePAT, exchange)

	o.hear(o.tenantIs(3, tenantapi.StatusActive, tenantapi.Security{}))
	o.works(text)
	// A late event demands nothing.
	o.hear(o.tenantIs(2, tenantapi.StatusActive, secured))
	o.works(text)
}

// Whatever is exchanged while the demand comes is refused in the end.
func TestPAT_RacesTheDemandForASecondFactor(t *testing.T) {
	t.Parallel()
	o := startOffice(t)
	o.hear(o.tenantIs(1, tenantapi.StatusActive, tenantapi.Security{}))
	_, _, in := o.member("member")
	text, first := o.pat(in.AccessToken)
	gateway := o.service("api-gateway")
	var (
		mu   sync.Mutex
		made = []string{first}
		wg   sync.WaitGroup
	)
	for range 4 {
		wg.Go(func() {
			for {
				out, err := call(o.fixture, gateway, authapi.ExchangePAT, authapi.PATExchange{Token: text})
				if err != nil {
					if !errors.Is(err, authapi.ErrMFARequired) {
						t.Errorf("refused: %v", err)
					}
					return
				}
				mu.Lock()
				made = append(made, out.AccessToken)
				mu.Unlock()
			}
		})
	}
	o.hear(o.tenantIs(2, tenantapi.StatusActive, secured))
	wg.Wait()
	last := o.principal(made[len(made)-1])
	await.True(t, "the last one has ended", func() bool { return o.revoked.Revoked(last) })
	for _, token := range made {
		if !o.revoked.Revoked(o.principal(token)) {
			t.Fatalf("one of %d tokens goes on", len(made))
		}
	}
}
