package handlers_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/files"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/filestest"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
)

// open asks the fleet for a link, without a token.
func (f *fleet) open(t *testing.T, method, link string, header ...string) reply {
	t.Helper()
	path, ok := strings.CutPrefix(link, publicURL)
	if !ok {
		t.Fatalf("link %s", link)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, f.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(body)}
}

type attached struct {
	ID     string
	Fields map[string][]struct{ ID, URL, Filename string }
}

// docs makes a base with a table "Docs" that has attachments, and returns its id.
func (p person) docs(t *testing.T) string {
	t.Helper()
	var made struct{ ID string }
	p.v0(t, "POST", "/v0/meta/bases", `{"name":"Docs","workspaceId":"wspAAAAAAAAAAAAAA","tables":[
		{"name":"Docs","fields":[{"name":"Name","type":"singleLineText"},{"name":"Files","type":"multipleAttachments"}]}]}`).ok(t, &made)
	return made.ID
}

func TestFiles_OpenWithoutATokenAndOnlyByTheirLink(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	p := f.owner(t)
	base := p.docs(t)
	site := filestest.NewSite(t)
	var rec attached
	p.v0(t, "POST", "/v0/"+base+"/Docs", fmt.Sprintf(`{"fields":{"Files":[{"url":%q}]}}`, site.Put("/a b.txt", "text/plain", []byte("0123456789")))).ok(t, &rec)
	file := rec.Fields["Files"][0]
	if file.Filename != "a b.txt" || !strings.HasPrefix(file.URL, publicURL+airtableapi.Files.Prefix) {
		t.Fatalf("%+v", file)
	}
	if got := f.open(t, "GET", file.URL); got.status != 200 || got.body != "0123456789" || got.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%+v", got)
	}
	if got := f.open(t, "GET", file.URL, "Range", "bytes=-3"); got.status != 206 || got.body != "789" {
		t.Errorf("a range: %+v", got)
	}
	if got := f.open(t, "HEAD", file.URL); got.status != 200 || got.header.Get("Content-Length") != "10" {
		t.Errorf("HEAD: %+v", got)
	}
	for _, bad := range []string{file.URL[:len(file.URL)-20], publicURL + airtableapi.Files.Prefix + "x/a.txt", publicURL + airtableapi.Files.Prefix} {
		if got := f.open(t, "GET", bad); got.status != 404 || got.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %+v", bad, got)
		}
	}
	if got := f.open(t, "POST", file.URL); got.status != 404 {
		t.Errorf("POST: %+v", got)
	}
	f.now.Advance(files.Lifetime + time.Hour)
	if got := f.open(t, "GET", file.URL); got.status != 403 || !strings.Contains(got.body, "file_link_expired") {
		t.Errorf("expired: %+v", got)
	}
}

// A stranger's link leads to the stranger's files only, whatever ids he knows.
func TestFiles_OfOneTenantAreNotAnothers(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	p, stranger := f.owner(t), f.owner(t)
	base, theirs := p.docs(t), stranger.docs(t)
	site := filestest.NewSite(t)
	var rec attached
	var got struct{ ID string }
	p.v0(t, "POST", "/v0/"+base+"/Docs", fmt.Sprintf(`{"fields":{"Files":[{"url":%q}]}}`, site.Put("/a", "text/plain", []byte("secret")))).ok(t, &rec)
	stranger.v0(t, "POST", "/v0/"+theirs+"/Docs", `{"fields":{"Name":"x"}}`).ok(t, &got)
	refused := stranger.v0(t, "PATCH", "/v0/"+theirs+"/Docs/"+got.ID, fmt.Sprintf(`{"fields":{"Files":[{"id":%q}]}}`, rec.Fields["Files"][0].ID))
	if refused.status != 422 {
		t.Errorf("another tenant's attachment by id: %+v", refused)
	}
	up := stranger.v0(t, "POST", "/v0/"+base+"/"+rec.ID+"/Files/uploadAttachment", `{"contentType":"text/plain","filename":"a","file":"SGk="}`)
	if up.status != 403 {
		t.Errorf("an upload into another tenant's base: %+v", up)
	}
	readOnly := p.pat(t, "data.records:read", base)
	if up := readOnly.v0(t, "POST", "/v0/"+base+"/"+rec.ID+"/Files/uploadAttachment", `{"contentType":"text/plain","filename":"a","file":"SGk="}`); up.status != 403 {
		t.Errorf("an upload by a token that only reads: %+v", up)
	}
	p.v0(t, "POST", "/v0/"+base+"/"+rec.ID+"/Files/uploadAttachment", `{"contentType":"text/plain","filename":"a","file":"SGk="}`).ok(t, nil)
}
