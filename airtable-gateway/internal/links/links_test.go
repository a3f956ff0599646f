package links_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/links"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/seal"
)

const base = "http://files.test/x"

func sample() links.Link {
	return links.Link{
		Kind: links.OfConnection, Variant: links.Large, Tenant: id.New[id.Tenant](),
		Connection: models.NewConnection(id.New[id.Tenant](), models.AirtableConnection, "", time.Now()).ID,
		Attachment: "attAbc", Expires: time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC),
	}
}

func TestLink_SaysWhatItWasMadeOf(t *testing.T) {
	t.Parallel()
	book := links.New(links.NewKey(), base)
	forever := sample()
	forever.Expires, forever.Variant = time.Time{}, links.File
	none := sample()
	none.Kind, none.Connection = links.OfStore, models.ConnectionID{}
	for _, want := range []links.Link{sample(), forever, none} {
		address := book.URL(want, "a b/ü.png")
		if !strings.HasPrefix(address, base+"/") || !strings.HasSuffix(address, "/a%20b%2F%C3%BC.png") {
			t.Errorf("address %s", address)
		}
		got, ok := book.Recognize(address, want.Tenant)
		if !ok {
			t.Fatalf("%s is not recognized", address)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if again := book.URL(want, "a b/ü.png"); again != address {
			t.Error("the same link has two addresses")
		}
		if _, ok := book.Recognize(address, id.New[id.Tenant]()); ok {
			t.Error("another tenant's link is recognized")
		}
	}
}

// Every bit of a link is under its signature.
func TestLink_CannotBeAltered(t *testing.T) {
	t.Parallel()
	book := links.New(links.NewKey(), base)
	address := book.URL(sample(), "f")
	token := strings.Split(strings.TrimPrefix(address, base+"/"), "/")[0]
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for bit := range 8 {
			bent := append([]byte(nil), raw...)
			bent[i] ^= 1 << bit
			if l, err := book.Read(base64.RawURLEncoding.EncodeToString(bent)); err == nil {
				t.Fatalf("byte %d, bit %d: opens %+v", i, bit, l)
			}
		}
	}
	for _, bad := range []string{"", "/", token[:len(token)-1], token + "A", "!" + token, strings.Repeat("A", 100)} {
		if _, err := book.Read(bad); err == nil {
			t.Errorf("%q opens something", bad)
		}
	}
	if _, err := links.New(links.NewKey(), base).Read(token); err == nil {
		t.Error("another key opens it")
	}
}

func TestOpen_LinksOutliveTheKeysOfTheBox(t *testing.T) {
	t.Parallel()
	repo := repository.NewFiles(pgtest.New(t, "airtable-gateway", repository.Migrations))
	first, second := seal.NewKey(), seal.NewKey()
	open := func(keys string) *links.Book {
		t.Helper()
		box, err := seal.New(keys)
		if err != nil {
			t.Fatal(err)
		}
		book, err := links.Open(t.Context(), repo, box, base)
		if err != nil {
			t.Fatal(err)
		}
		return book
	}
	address := open(first).URL(sample(), "f")
	open(second + "," + first) // rotated
	if _, err := open(second).Read(strings.TrimPrefix(address, base)); err != nil {
		t.Errorf("after the old key is gone: %v", err)
	}
}
