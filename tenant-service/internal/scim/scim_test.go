package scim_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/tenant-service/internal/scim"
)

// bjensen is the full user of RFC 7643, section 8.2, as far as the schema has it.
const bjensen = `{
	"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "id": "2819c223-7f76-453a-919d-413861904646", "externalId": "701984",
	"userName": "bjensen@example.com",
	"name": {"formatted": "Ms. Barbara J Jensen, III", "familyName": "Jensen", "givenName": "Barbara", "middleName": "Jane", "honorificPrefix": "Ms.", "honorificSuffix": "III"},
	"displayName": "Babs Jensen", "nickName": "Babs", "profileUrl": "https://login.example.com/bjensen",
	"emails": [{"value": "bjensen@example.com", "type": "work", "primary": true}, {"value": "babs@jensen.org", "type": "home"}],
	"addresses": [{"type": "work", "streetAddress": "100 Universal City Plaza", "locality": "Hollywood", "region": "CA", "postalCode": "91608", "country": "USA", "primary": true}],
	"phoneNumbers": [{"value": "555-555-5555", "type": "work"}, {"value": "555-555-4444", "type": "mobile"}],
	"ims": [{"value": "someaimhandle", "type": "aim"}],
	"userType": "Employee", "title": "Tour Guide", "preferredLanguage": "en-US", "locale": "en-US", "timezone": "America/Los_Angeles", "active": true,
	"password": "t1meMa$heen"
}`

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func user(t *testing.T, text string) map[string]any {
	t.Helper()
	r, err := scim.User.Read(object(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRead_KeepsWhatTheSchemaKnowsByItsNames(t *testing.T) {
	t.Parallel()
	r := user(t, bjensen)
	for _, gone := range []string{"id", "schemas", "password", "ims"} {
		if _, ok := r[gone]; ok {
			t.Errorf("%s was kept", gone)
		}
	}
	again := user(t, strings.NewReplacer(`"userName"`, `"USERNAME"`, `"familyName"`, `"familyname"`, `"emails"`, `"Emails"`).Replace(bjensen))
	if diff := cmp.Diff(r, again); diff != "" {
		t.Error(diff)
	}
}

// The filters of RFC 7644, section 3.4.2.2, figure 2.
func TestFilter_ExamplesOfTheRFC(t *testing.T) {
	t.Parallel()
	r := user(t, bjensen)
	r["meta"] = map[string]any{"resourceType": "User", "lastModified": "2011-05-13T04:42:34Z"}
	for filter, want := range map[string]bool{
		`userName eq "bjensen@example.com"`:                          true,
		`userName Eq "john"`:                                         false,
		`name.familyName co "O'Malley"`:                              false,
		`userName sw "B"`:                                            true,
		`urn:ietf:params:scim:schemas:core:2.0:User:userName sw "J"`: false,
		`title pr`: true,
		`meta.lastModified gt "2011-05-13T04:42:34Z"`:                                               false,
		`meta.lastModified ge "2011-05-13T04:42:34Z"`:                                               true,
		`meta.lastModified lt "2011-05-13T06:42:35+02:00"`:                                          true,
		`meta.lastModified le "2011-05-13T04:42:34Z"`:                                               true,
		`title pr and userType eq "Employee"`:                                                       true,
		`title pr or userType eq "Intern"`:                                                          true,
		`schemas eq "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"`:                   false,
		`userType eq "Employee" and (emails co "example.com" or emails.value co "example.org")`:     true,
		`userType ne "Employee" and not (emails co "example.com" or emails.value co "example.org")`: false,
		`userType eq "Employee" and (emails.type eq "work")`:                                        true,
		`userType eq "Employee" and emails[type eq "work" and value co "@example.com"]`:             true,
		`emails[type eq "home" and value co "@example.com"]`:                                        false,
		`emails[type eq "work" and value co "@example.com"] or phoneNumbers[type eq "fax"]`:         true,
		// Beyond the figure.
		`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department pr`: false,
		`active eq true and nickName ne null`:                                      true,
		`displayName eq "say \"hi\" (now) ]"`:                                      false,
		`not(active eq false)`:                                                     true,
		`externalId eq "701984" or title eq "x" and title eq "y"`:                  true, // and binds first
	} {
		f, err := scim.User.ParseFilter(filter)
		if err != nil {
			t.Errorf("%s: %v", filter, err)
			continue
		}
		if f.Matches(r) != want {
			t.Errorf("%s: not %v", filter, want)
		}
	}
}

func TestFilter_WhatItDemandsOfAll(t *testing.T) {
	t.Parallel()
	for filter, want := range map[string]map[string]string{
		`userName eq "a" and emails[type eq "work" and value eq "b"]`: {"userName": "a", "emails.type": "work", "emails.value": "b"},
		`emails eq "b"`:                           {"emails.value": "b"},
		`userName eq "a" or title eq "b"`:         {},
		`not (userName eq "a")`:                   {},
		`userName sw "a" and (externalId eq "e")`: {"externalId": "e"},
	} {
		f, err := scim.User.ParseFilter(filter)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, f.Equal()); diff != "" {
			t.Errorf("%s: %s", filter, diff)
		}
	}
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{`userName eq "x"`, `emails[type eq "work"] and not (title pr)`, `(((`, `a.b.c eq null`, `userName eq "\u00`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := scim.User.ParseFilter(s)
		var refused *scim.Error
		if err != nil && (!errors.As(err, &refused) || refused.Type != scim.InvalidFilter) {
			t.Errorf("%q: %v", s, err)
		}
		if err == nil {
			p.Matches(map[string]any{"userName": "x", "emails": []any{map[string]any{"type": "work"}}})
		}
	})
}

func patched(t *testing.T, r map[string]any, ops string) (map[string]any, error) {
	t.Helper()
	list, err := scim.ReadPatch([]byte(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":` + ops + `}`))
	if err != nil {
		return nil, err
	}
	return scim.User.Patch(r, list)
}

// The examples of RFC 7644, section 3.5.2, on users, and what directories in use send.
func TestPatch_ExamplesOfTheRFC(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ ops, attribute, want string }{
		"add without a path": {`[{"op":"add","value":{"emails":[{"value":"b@x.org","type":"other"}],"nickName":"Babs2"}}]`, "emails",
			`[{"value":"bjensen@example.com","type":"work","primary":true},{"value":"babs@jensen.org","type":"home"},{"value":"b@x.org","type":"other"}]`},
		"add what is there": {`[{"op":"add","path":"emails","value":[{"value":"babs@jensen.org","type":"home"}]}]`, "emails",
			`[{"value":"bjensen@example.com","type":"work","primary":true},{"value":"babs@jensen.org","type":"home"}]`},
		"replace a selected value": {`[{"op":"replace","path":"addresses[type eq \"work\"]","value":{"type":"work","locality":"Burbank","primary":true}}]`, "addresses",
			`[{"type":"work","locality":"Burbank","primary":true}]`},
		"replace a sub-attribute of it": {`[{"op":"replace","path":"addresses[type eq \"work\"].locality","value":"Burbank"},
			{"op":"remove","path":"addresses[type eq \"work\"].streetAddress"}]`, "addresses",
			`[{"type":"work","locality":"Burbank","region":"CA","postalCode":"91608","country":"USA","primary":true}]`},
		"replace many": {`[{"op":"replace","value":{"emails":[{"value":"bjensen@example.com","type":"work","primary":true}],"nickName":"B"}}]`, "emails",
			`[{"value":"bjensen@example.com","type":"work","primary":true}]`},
		"remove a selected value": {`[{"op":"remove","path":"emails[type eq \"work\" and value ew \"example.com\"]"}]`, "emails",
			`[{"value":"babs@jensen.org","type":"home"}]`},
		"a new primary value replaces the one before": {`[{"op":"replace","path":"emails[type eq \"home\"].primary","value":true}]`, "emails",
			`[{"value":"bjensen@example.com","type":"work","primary":false},{"value":"babs@jensen.org","type":"home","primary":true}]`},
		"add to a value that is not there":  {`[{"op":"Add","path":"phoneNumbers[type eq \"fax\"].value","value":"1"},{"op":"remove","path":"phoneNumbers[type ne \"fax\"]"}]`, "phoneNumbers", `[{"type":"fax","value":"1"}]`},
		"a path as a name":                  {`[{"op":"Replace","value":{"name.givenName":"B"}},{"op":"remove","path":"name.middleName"},{"op":"remove","path":"name.formatted"}]`, "name", `{"familyName":"Jensen","givenName":"B","honorificPrefix":"Ms.","honorificSuffix":"III"}`},
		"a complex value is merged":         {`[{"op":"replace","path":"name","value":{"givenName":"B"}},{"op":"remove","path":"name.formatted"},{"op":"remove","path":"name.middleName"}]`, "name", `{"familyName":"Jensen","givenName":"B","honorificPrefix":"Ms.","honorificSuffix":"III"}`},
		"an extension's attribute by a URN": {`[{"op":"add","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department","value":"Tours"}]`, scim.EnterpriseSchema, `{"department":"Tours"}`},
		"a manager by his id":               {`[{"op":"add","value":{"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":"26118915"}}}]`, scim.EnterpriseSchema, `{"manager":{"value":"26118915"}}`},
		"a boolean as a string":             {`[{"op":"Replace","path":"active","value":"False"}]`, "active", `false`},
		"null has no value":                 {`[{"op":"replace","path":"title","value":null}]`, "title", `null`},
	} {
		r := user(t, bjensen)
		got, err := patched(t, r, c.ops)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var want any
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got[c.attribute]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff(user(t, bjensen), r); diff != "" {
			t.Errorf("%s changed what it was given: %s", name, diff)
		}
	}
}

func TestPatch_RefusalsNameTheirKind(t *testing.T) {
	t.Parallel()
	for ops, want := range map[string]string{
		`[]`:                                scim.InvalidSyntax,
		`[1]`:                               scim.InvalidSyntax,
		`[{"op":"move","path":"title"}]`:    scim.InvalidSyntax,
		`[{"op":"add","path":1,"value":1}]`: scim.InvalidSyntax,
		`[{"op":"add","path":"title"}]`:     scim.InvalidValue,
		`[{"op":"remove"}]`:                 scim.NoTarget,
		`[{"op":"replace","path":"emails[type eq \"other\"].value","value":"x"}]`:                                scim.NoTarget,
		`[{"op":"replace","path":"nothing","value":1}]`:                                                          scim.InvalidPath,
		`[{"op":"replace","path":"title[type eq 1]","value":1}]`:                                                 scim.InvalidPath,
		`[{"op":"replace","path":"emails[type eq \"work\"].nothing","value":1}]`:                                 scim.InvalidPath,
		`[{"op":"replace","path":"emails[type eq \"work\"]x","value":1}]`:                                        scim.InvalidPath,
		`[{"op":"remove","path":"emails[type eq"}]`:                                                              scim.InvalidFilter,
		`[{"op":"replace","path":"groups","value":[]}]`:                                                          scim.Mutability,
		`[{"op":"replace","path":"meta.created","value":"x"}]`:                                                   scim.Mutability,
		`[{"op":"replace","path":"active","value":"maybe"}]`:                                                     scim.InvalidValue,
		`[{"op":"remove","path":"userName"}]`:                                                                    scim.InvalidValue,
		`[{"op":"replace","path":"userName","value":null}]`:                                                      scim.InvalidValue,
		`[{"op":"replace","path":"emails","value":[{"value":"a","primary":true},{"value":"b","primary":true}]}]`: scim.InvalidValue,
	} {
		_, err := patched(t, user(t, bjensen), ops)
		var e *scim.Error
		if !errors.As(err, &e) || e.Type != want {
			t.Errorf("%s: %v, want %s", ops, err, want)
		}
	}
}

func TestView_ShowsWhatIsWanted(t *testing.T) {
	t.Parallel()
	r := user(t, bjensen)
	r["id"], r["schemas"] = "1", []any{scim.UserSchema}
	view := func(attributes, without []string) map[string]any {
		t.Helper()
		v, err := scim.User.View(attributes, without)
		if err != nil {
			t.Fatal(err)
		}
		return v.Of(r)
	}
	want := map[string]any{
		"id": "1", "schemas": []any{scim.UserSchema}, "userName": "bjensen@example.com", "name": map[string]any{"familyName": "Jensen", "givenName": "Barbara"},
		"emails": []any{map[string]any{"type": "work"}, map[string]any{"type": "home"}},
	}
	got := view([]string{"USERNAME", "name.familyName", "urn:ietf:params:scim:schemas:core:2.0:User:name.givenName", "emails.type", "nothing"}, nil)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got = view(nil, []string{"emails", "id", "name.formatted"})
	if _, ok := got["emails"]; ok || got["id"] != "1" || scim.Text(got, "name", "formatted") != "" || scim.Text(got, "name", "familyName") == "" {
		t.Errorf("%v", got)
	}
	if scim.Text(r, "name", "formatted") == "" {
		t.Error("the resource itself was changed")
	}
	if _, err := scim.User.View([]string{"a"}, []string{"b"}); err == nil {
		t.Error("both lists were taken")
	}
}
