package v0

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
)

type call = upstream.Call

func TestParse_EveryRouteAndEveryClientsForm(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		request string
		want    call
		scope   string
	}{
		{"GET /v0/meta/whoami", call{Op: upstream.Whoami}, ""},
		{"GET /v0/meta/bases", call{Op: upstream.ListBases}, ScopeSchemaRead},
		{"GET /v0/meta/bases/", call{Op: upstream.ListBases}, ScopeSchemaRead},
		{"POST /v0/meta/bases", call{Op: upstream.CreateBase}, ScopeSchemaWrite},
		{"GET /v0/meta/bases/app1/tables", call{Op: upstream.BaseSchema, Base: "app1"}, ScopeSchemaRead},
		{"POST /v0/meta/bases/app1/tables", call{Op: upstream.CreateTable, Base: "app1"}, ScopeSchemaWrite},
		{"PATCH /v0/meta/bases/app1/tables/A%2FB", call{Op: upstream.UpdateTable, Base: "app1", Table: "A/B"}, ScopeSchemaWrite},
		{"POST /v0/meta/bases/app1/tables/tbl1/fields", call{Op: upstream.CreateField, Base: "app1", Table: "tbl1"}, ScopeSchemaWrite},
		{"PATCH /v0/meta/bases/app1/tables/tbl1/fields/fld1", call{Op: upstream.UpdateField, Base: "app1", Table: "tbl1", Field: "fld1"}, ScopeSchemaWrite},
		{"GET /v0/meta/bases/app1", call{Op: upstream.Other, Base: "app1"}, ScopeBasesRead},
		{"GET /v0/meta/bases/app1/views", call{Op: upstream.ListViews, Base: "app1"}, ScopeBasesRead},
		{"GET /v0/meta/bases/app1/views/viw1", call{Op: upstream.FetchView, Base: "app1", View: "viw1"}, ScopeBasesRead},
		{"DELETE /v0/meta/bases/app1/views/viw1", call{Op: upstream.DeleteView, Base: "app1", View: "viw1"}, ScopeBasesWrite},
		{"GET /v0/bases/app1/webhooks", call{Op: upstream.ListWebhooks, Base: "app1"}, ScopeWebhooks},
		{"POST /v0/bases/app1/webhooks", call{Op: upstream.CreateWebhook, Base: "app1"}, ScopeWebhooks},
		{"GET /v0/bases/app1/webhooks/ach1/payloads", call{Op: upstream.ListPayloads, Base: "app1", Webhook: "ach1"}, ScopeWebhooks},
		{"POST /v0/bases/app1/webhooks/ach1/refresh", call{Op: upstream.RefreshWebhook, Base: "app1", Webhook: "ach1"}, ScopeWebhooks},
		{"POST /v0/bases/app1/webhooks/ach1/enableNotifications", call{Op: upstream.EnableWebhook, Base: "app1", Webhook: "ach1"}, ScopeWebhooks},
		{"DELETE /v0/bases/app1/webhooks/ach1", call{Op: upstream.DeleteWebhook, Base: "app1", Webhook: "ach1"}, ScopeWebhooks},

		{"GET /v0/app1/T", call{Op: upstream.ListRecords, Base: "app1", Table: "T"}, ScopeRecordsRead},
		{"GET /v0/app1/T?", call{Op: upstream.ListRecords, Base: "app1", Table: "T"}, ScopeRecordsRead},
		{"GET /v0/app1/T/?", call{Op: upstream.ListRecords, Base: "app1", Table: "T"}, ScopeRecordsRead},
		{"POST /v0/app1/T/?", call{Op: upstream.CreateRecords, Base: "app1", Table: "T"}, ScopeRecordsWrite},
		{"PATCH /v0/app1/T/?", call{Op: upstream.UpdateRecords, Base: "app1", Table: "T"}, ScopeRecordsWrite},
		{"PUT /v0/app1/T", call{Op: upstream.UpdateRecords, Base: "app1", Table: "T"}, ScopeRecordsWrite},
		{"DELETE /v0/app1/T?records%5B%5D=rec1", call{Op: upstream.DeleteRecords, Base: "app1", Table: "T"}, ScopeRecordsWrite},
		{"POST /v0/app1/T/listRecords?timeZone=utc", call{Op: upstream.ListRecords, Base: "app1", Table: "T"}, ScopeRecordsRead},
		{"GET /v0/app1/T/rec0?", call{Op: upstream.GetRecord, Base: "app1", Table: "T", Record: "rec0"}, ScopeRecordsRead},
		{"PATCH /v0/app1/T/rec0", call{Op: upstream.UpdateRecords, Base: "app1", Table: "T", Record: "rec0"}, ScopeRecordsWrite},
		{"PUT /v0/app1/T/rec0/", call{Op: upstream.UpdateRecords, Base: "app1", Table: "T", Record: "rec0"}, ScopeRecordsWrite},
		{"DELETE /v0/app1/T/rec0", call{Op: upstream.DeleteRecords, Base: "app1", Table: "T", Record: "rec0"}, ScopeRecordsWrite},

		{"GET /v0/app1/My%20T%C3%A4ble%2F1%3F", call{Op: upstream.ListRecords, Base: "app1", Table: "My Täble/1?"}, ScopeRecordsRead},
		{"GET /v0/app1/a+b", call{Op: upstream.ListRecords, Base: "app1", Table: "a+b"}, ScopeRecordsRead},
		{"GET /v0/app1/100%25%23", call{Op: upstream.ListRecords, Base: "app1", Table: "100%#"}, ScopeRecordsRead},
		{"GET /v0/app1/%F0%9F%9A%80", call{Op: upstream.ListRecords, Base: "app1", Table: "🚀"}, ScopeRecordsRead},
		{"GET /v0/app1/%22it%27s%22", call{Op: upstream.ListRecords, Base: "app1", Table: `"it's"`}, ScopeRecordsRead},
		{"GET /v0/app1/T%2F/?", call{Op: upstream.ListRecords, Base: "app1", Table: "T/"}, ScopeRecordsRead},
		{"GET /v0/app1/listRecords", call{Op: upstream.ListRecords, Base: "app1", Table: "listRecords"}, ScopeRecordsRead},
		{"POST /v0/app1/listRecords/listRecords", call{Op: upstream.ListRecords, Base: "app1", Table: "listRecords"}, ScopeRecordsRead},
		{"GET /v0/app1/comments", call{Op: upstream.ListRecords, Base: "app1", Table: "comments"}, ScopeRecordsRead},

		{"GET /v0/app1/T/rec0/comments", call{Op: upstream.ListComments, Base: "app1", Table: "T", Record: "rec0"}, ScopeCommentsRead},
		{"POST /v0/app1/T/rec0/comments", call{Op: upstream.CreateComment, Base: "app1", Table: "T", Record: "rec0"}, ScopeCommentsWrite},
		{"PATCH /v0/app1/T/rec0/comments/com1", call{Op: upstream.UpdateComment, Base: "app1", Table: "T", Record: "rec0", Comment: "com1"}, ScopeCommentsWrite},
		{"DELETE /v0/app1/T/rec0/comments/com1", call{Op: upstream.DeleteComment, Base: "app1", Table: "T", Record: "rec0", Comment: "com1"}, ScopeCommentsWrite},
		{"POST /v0/app1/rec0/Files/uploadAttachment", call{Op: upstream.UploadAttachment, Base: "app1", Record: "rec0", Field: "Files"}, ScopeRecordsWrite},
		{"POST /v0/app1/T/sync/abc", call{Op: upstream.Other, Base: "app1", Table: "T"}, ScopeRecordsWrite},
	} {
		t.Run(tc.request, func(t *testing.T) {
			t.Parallel()
			method, target, _ := strings.Cut(tc.request, " ")
			u, err := url.ParseRequestURI(target)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := Parse(method, u.EscapedPath())
			tc.want.Method, tc.want.Path = method, strings.TrimSuffix(u.EscapedPath(), "/")
			if diff := cmp.Diff(tc.want, got); !ok || diff != "" {
				t.Errorf("ok = %v, (-want +got):\n%s", ok, diff)
			}
			if got := Scope(got); got != tc.scope {
				t.Errorf("scope = %q, want %q", got, tc.scope)
			}
		})
	}
}

func TestParse_ReadsEachDeclaredRoute(t *testing.T) {
	t.Parallel()
	fill := strings.NewReplacer("{baseId}", "app1", "{recordId}", "rec1", "{commentId}", "com1", "{viewId}", "viw1", "{webhookId}", "ach1",
		"{tableId}", "T", "{fieldId}", "F", "{syncId}", "abc")
	for _, r := range airtableapi.SurfaceRoutes {
		c, ok := Parse(r.Method, fill.Replace(r.Path))
		if !ok || string(c.Op) != r.Does || c.Op != upstream.Whoami && Scope(c) == "" {
			t.Errorf("%s %s: %v %+v", r.Method, r.Path, ok, c)
		}
	}
}

func TestParse_WhatAirtableHasNoRouteForIsUnknown(t *testing.T) {
	t.Parallel()
	for _, request := range []string{
		"GET /v0/", "GET /v0//T", "GET /v0/junk/T", "GET /v0/App1/T", "GET /v0/app/T", "GET /v0/app1", "GET /v0/app1/",
		"GET /v0/app-1/T", "GET /v0/app1//", "GET /v0/app1/T//", "GET /v0/app1//rec1", "GET /v0/app1/T/junk", "GET /v0/app1/T/rec",
		"GET /v0/app1/T/listRecords", "POST /v0/app1/T/rec1", "HEAD /v0/app1/T", "TRACE /v0/app1/T", "get /v0/app1/T",
		"GET /v0/app1/T/rec1/rows", "GET /v0/app1/T/rec1/comments/x", "PUT /v0/app1/T/rec1/comments",
		"GET /v0/app1/rec1/F/uploadAttachment", "GET /v0/app1/T/sync/x", "GET /v0/app1/a/b/c/d/e",
		"POST /v0/meta/whoami", "GET /v0/meta", "GET /v0/meta/", "GET /v0/meta/x", "GET /v0/meta/bases/junk/tables",
		"GET /v0/meta/bases/app1/tables/tbl1", "DELETE /v0/meta/bases/app1/tables/tbl1", "GET /v0/meta/bases/app1/x",
		"GET /v0/meta/bases/app1/tables/t/x/y", "GET /v0/bases", "GET /v0/bases/app1", "GET /v0/bases/app1/webhooks/x",
		"GET /v0/app1/..", "GET /v0/app1/%2e%2e/meta", "GET /v0/app1/%2E", "GET /v0/app1/a%00b", "GET /v0/app1/%zz",
		"GET /v1/app1/T", "GET /v0", "GET ",
	} {
		method, path, _ := strings.Cut(request, " ")
		if c, ok := Parse(method, path); ok {
			t.Errorf("%s: read as %+v", request, c)
		}
	}
}

func FuzzParse_NamesSurviveAndNothingPanics(f *testing.F) {
	for _, seed := range []string{"/v0/app1/T", "/v0/app1/a%2Fb/rec1", "/v0/meta/bases/app1/tables", "/v0//", "/v0/app1/%", "/v0/bases/app1/webhooks/ach1"} {
		for _, m := range []string{"GET", "POST", "PATCH"} {
			f.Add(m, seed)
		}
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		c, ok := Parse(method, path)
		if !ok {
			return
		}
		if c.Op == "" || c.Method != method || !strings.HasPrefix(c.Path, "/v0/") || strings.HasSuffix(c.Path, "//") {
			t.Fatalf("%s %q: %+v", method, path, c)
		}
		again, ok := Parse(method, c.Path)
		if diff := cmp.Diff(c, again); !ok || diff != "" {
			t.Fatalf("%s %q reads differently the second time:\n%s", method, path, diff)
		}
		if c.Op != upstream.Whoami && Scope(c) == "" {
			t.Fatalf("%s %q needs no scope", method, path)
		}
	})
}

func TestReadError_AllOfAirtablesShapes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		status        int
		body          string
		kind, message string
		wantNil       bool
	}{
		{status: 422, body: `{"error":{"type":"UNKNOWN_FIELD_NAME","message":"Unknown field name: \"x\""}}`, kind: "UNKNOWN_FIELD_NAME", message: `Unknown field name: "x"`},
		{status: 422, body: `{"error":{"type":"FAILED_STATE_CHECK"}}`, kind: "FAILED_STATE_CHECK"},
		{status: 404, body: `{"error":"NOT_FOUND"}`, kind: "NOT_FOUND"},
		{status: 429, body: `{"errors":[{"error":"RATE_LIMIT_REACHED","message":"m"}]}`, kind: "RATE_LIMIT_REACHED", message: "m"},
		{status: 502, body: `<html>`},
		{status: 500, body: `{}`},
		{status: 500, body: `{"error":[1]}`},
		{status: 200, body: `{"error":"no"}`, wantNil: true},
	} {
		got := ReadError(upstream.Answer{Status: tc.status, Body: []byte(tc.body)})
		if (got == nil) != tc.wantNil {
			t.Errorf("%s: got %v", tc.body, got)
			continue
		}
		if got != nil && (got.Status != tc.status || got.Type != tc.kind || got.Message != tc.message) {
			t.Errorf("%s: got %+v", tc.body, got)
		}
	}
}

func TestRetry_TellsClientsWhen(t *testing.T) {
	t.Parallel()
	a := Retry()
	if a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") != "1" {
		t.Errorf("got %d, Retry-After %q", a.Status, a.Header.Get("Retry-After"))
	}
}
