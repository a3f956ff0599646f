package scim_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/tenant-service/internal/scim"
)

// What PostgreSQL finds by a filter's path is what the filter's own rules say, for each
// operator and for random combinations of them.
func TestPath_FindsWhatTheFilterMeans(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, "tenant-service", nil)
	ada := object(t, bjensen)
	ada["meta"] = map[string]any{"created": "2026-11-23T01:02:03.000004Z", "resourceType": "User"}
	ada["title"], ada["nickName"] = `50% [Öl] \d "x"`, ""
	nobody := map[string]any{"userName": "nobody", "active": false}
	one := []string{
		`userName eq "BJENSEN@example.com"`, `userName eq "bjensen"`, `userName ne "bjensen"`, `userName sw "bJ"`, `userName ew ".COM"`, `userName co "SEN@"`,
		`userName co ""`, `userName gt "BJ"`, `userName lt "BJ"`, `userName ge "bjensen@example.com"`, `userName le "NOBODY"`, `externalId eq "701984"`,
		`externalId gt "70"`, `externalId sw "70"`, `externalId co "0198"`, `title co "[öL]"`, `title sw "50%"`, `title co "\\D"`, `title eq "50% [ÖL] \\d \"X\""`,
		`title co ".*"`, `nickName pr`, `nickName eq ""`, `title pr`, `emails pr`, `active pr`, `active eq true`, `active ne true`, `active eq "true"`,
		`userType eq true`, `userType eq 5`, `displayName eq null`, `locale ne null`, `name.familyName sw "jen"`, `name pr`, `emails eq "babs@jensen.org"`,
		`emails.type eq "HOME"`, `emails[type eq "home" and value co "BABS"]`, `emails[type eq "work" and value co "babs"]`, `emails[primary eq true]`,
		`emails[not (primary eq true)]`, `meta.created gt "2026-11-23T01:02:03Z"`, `meta.created le "2026-11-23T02:02:03.000004+01:00"`,
		`meta.resourceType eq "user"`, `urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department pr`, `userName eq "a\u0000b"`,
	}
	random := rand.New(rand.NewPCG(7, 7))
	filters := append([]string{}, one...)
	for range 300 {
		f := one[random.IntN(len(one))]
		for range random.IntN(4) {
			g := one[random.IntN(len(one))]
			f = []string{"not (" + f + ")", f + " and " + g, f + " or " + g, "(" + f + " or " + g + ") and not (" + g + ")"}[random.IntN(4)]
		}
		filters = append(filters, f)
	}
	for i, resource := range []map[string]any{ada, nobody} {
		doc, err := json.Marshal(resource)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range filters {
			f, err := scim.User.ParseFilter(text)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			path, err := f.Path()
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			var got bool
			err = pool.QueryRow(t.Context(), `SELECT jsonb_build_object('e', $1::jsonb, 'l', lower($1::jsonb::text)::jsonb) @@ $2::jsonpath`, string(doc), path).Scan(&got)
			if want := f.Matches(resource); err != nil || got != want {
				t.Errorf("resource %d, %s: %v, %v, want %v\n%s", i, text, got, err, want, path)
			}
		}
	}
}

func TestPath_RefusesWhatHasNone(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`meta.created gt "yesterday"`, `meta.created co "2026-11-23T01:02:03Z"`, `emails[value gt "a"]`} {
		f, err := scim.User.ParseFilter(text)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Path()
		if refused := new(scim.Error); !errors.As(err, &refused) || refused.Type != scim.InvalidFilter {
			t.Errorf("%s: %v", text, err)
		}
	}
	if path, err := (*scim.Filter)(nil).Path(); path != "" || err != nil {
		t.Error(fmt.Sprint("no filter has the path ", path, err))
	}
}
