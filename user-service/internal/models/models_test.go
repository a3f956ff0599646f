package models_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/user-service/internal/models"
)

var day = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestLearn_TakesNewerAccountsOnly(t *testing.T) {
	t.Parallel()
	tenant := id.New[id.Tenant]()
	u := models.New(id.New[id.User](), tenant, day)
	account := models.Account{User: u.ID, Tenant: tenant, Email: "ada@example.com", Name: "Ada", Version: 2}
	if diff := cmp.Diff([]string{"name", "email"}, u.Learn(account, day.Add(time.Hour))); diff != "" {
		t.Error(diff)
	}
	for _, version := range []int64{1, 2} {
		account.Version, account.Email = version, "old@example.com"
		if changed := u.Learn(account, day); changed != nil || u.Email != "ada@example.com" {
			t.Errorf("version %d changed %v", version, changed)
		}
	}
	if u.Version != 2 || u.UpdatedAt != day.Add(time.Hour) {
		t.Errorf("got %+v", u)
	}
}

func TestLearn_LeavesOwnNamesAlone(t *testing.T) {
	t.Parallel()
	u := models.New(id.New[id.User](), id.New[id.Tenant](), day)
	next := u.Profile
	next.Name = "Countess"
	u.Edit(next, day)
	u.Learn(models.Account{Tenant: u.Tenant, Email: "a@example.com", Name: "Ada", Version: 1}, day)
	if u.Name != "Countess" || u.Email != "a@example.com" {
		t.Errorf("got %+v", u)
	}
}

func TestErase_LeavesNothingPersonal(t *testing.T) {
	t.Parallel()
	u := models.New(id.New[id.User](), id.New[id.Tenant](), day)
	u.Learn(models.Account{Tenant: u.Tenant, Email: "a@example.com", Name: "Ada", Version: 1}, day)
	if !u.Erase(day) || u.Erase(day) {
		t.Error("a user is erased once")
	}
	want := models.User{ID: u.ID, Tenant: u.Tenant, AccountVersion: 1, Version: 3, CreatedAt: day, UpdatedAt: day, DeletedAt: day}
	if diff := cmp.Diff(want, u); diff != "" {
		t.Error(diff)
	}
	if u.Learn(models.Account{Tenant: u.Tenant, Email: "a@example.com", Version: 7}, day) != nil || u.Email != "" {
		t.Error("an event brought the user back")
	}
}

func TestPreferences_MergeIsRFC7396(t *testing.T) {
	t.Parallel()
	// The examples of the RFC's appendix A that have objects on both sides.
	for _, c := range []struct{ old, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		got, err := json.Marshal(preferences(t, c.old).Merge(preferences(t, c.patch)))
		if err != nil || string(got) != c.want {
			t.Errorf("%s with %s is %s, want %s", c.old, c.patch, got, c.want)
		}
	}
}

func TestPreferences_AreBounded(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		`{}`: true, `{"a":[[[[[[[1]]]]]]]}`: true, `{"a":[[[[[[[[1]]]]]]]]}`: false, `{"a":1e999999}`: true,
	} {
		if err := preferences(t, text).Check(); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := (models.Preferences{"a": json.RawMessage("\"\xff\"")}).Check(); err == nil {
		t.Error("bytes that are no UTF-8 were taken")
	}
}

// FuzzPreferences: whatever passes Check stays valid, and is written one way.
func FuzzPreferences(f *testing.F) {
	f.Add(`{"a":{"b":1}}`, `{"a":{"b":null,"c":"<>"}}`)
	f.Fuzz(func(t *testing.T, a, b string) {
		var old, patch models.Preferences
		if json.Unmarshal([]byte(a), &old) != nil || json.Unmarshal([]byte(b), &patch) != nil ||
			old.Check() != nil || patch.Check() != nil {
			return
		}
		merged := old.Merge(patch).Canonical()
		if diff := cmp.Diff(merged, merged.Canonical()); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(merged, merged.Merge(patch).Canonical()); diff != "" {
			t.Errorf("the same patch again changed something: %s", diff)
		}
	})
}

func preferences(t *testing.T, text string) (p models.Preferences) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	return p
}
