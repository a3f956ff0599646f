package v0

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
)

// The scopes of personal access tokens, named as Airtable names them.
const (
	ScopeRecordsRead   = "data.records:read"
	ScopeRecordsWrite  = "data.records:write"
	ScopeCommentsRead  = "data.recordComments:read"
	ScopeCommentsWrite = "data.recordComments:write"
	ScopeSchemaRead    = "schema.bases:read"
	ScopeSchemaWrite   = "schema.bases:write"
	ScopeWebhooks      = "webhook:manage"
	ScopeBasesRead     = "workspacesAndBases:read"
	ScopeBasesWrite    = "workspacesAndBases:write"
	ScopeEmail         = "user.email:read" // opens nothing; whoami says more to it
)

var scopes = map[upstream.Op]string{
	upstream.ListBases: ScopeSchemaRead, upstream.BaseSchema: ScopeSchemaRead,
	upstream.CreateBase: ScopeSchemaWrite, upstream.CreateTable: ScopeSchemaWrite,
	upstream.UpdateTable: ScopeSchemaWrite, upstream.CreateField: ScopeSchemaWrite,
	upstream.UpdateField: ScopeSchemaWrite,
	upstream.ListRecords: ScopeRecordsRead, upstream.GetRecord: ScopeRecordsRead,
	upstream.CreateRecords: ScopeRecordsWrite, upstream.UpdateRecords: ScopeRecordsWrite,
	upstream.DeleteRecords: ScopeRecordsWrite, upstream.UploadAttachment: ScopeRecordsWrite,
	upstream.ListComments: ScopeCommentsRead, upstream.CreateComment: ScopeCommentsWrite,
	upstream.UpdateComment: ScopeCommentsWrite, upstream.DeleteComment: ScopeCommentsWrite,
	upstream.ListViews: ScopeBasesRead, upstream.FetchView: ScopeBasesRead, upstream.DeleteView: ScopeBasesWrite,
	upstream.ListWebhooks: ScopeWebhooks, upstream.CreateWebhook: ScopeWebhooks, upstream.DeleteWebhook: ScopeWebhooks,
	upstream.EnableWebhook: ScopeWebhooks, upstream.RefreshWebhook: ScopeWebhooks, upstream.ListPayloads: ScopeWebhooks,
}

// Scope is what a token needs for the call; "" for whoami, which is open to any
// token. A POST listRecords is a read.
func Scope(c upstream.Call) string {
	if c.Op != upstream.Other {
		return scopes[c.Op]
	}
	if strings.HasPrefix(c.Path, Prefix+"/meta/") { // what is shared of a base, and with whom
		return ScopeBasesRead
	}
	return ScopeRecordsWrite // a push into a sync table
}

// anyScope in a list of scopes stands for all of them.
const anyScope = "*"

// WatchScopes is what a token needs, beside Scope, to make a webhook of the
// specification or to read its payloads.
func WatchScopes(s models.WebhookSpec) []string {
	var out []string
	if slices.Contains(s.DataTypes, models.TableData) {
		out = append(out, ScopeRecordsRead)
	}
	if slices.Contains(s.DataTypes, models.TableFields) || slices.Contains(s.DataTypes, models.TableMetadata) {
		out = append(out, ScopeSchemaRead)
	}
	return out
}

// Granted reports whether a token of these scopes opens the scope.
func Granted(scopes []string, scope string) bool {
	return slices.Contains(scopes, anyScope) || slices.Contains(scopes, scope)
}

// Reads reports whether repeating the call changes nothing.
func Reads(c upstream.Call) bool {
	return c.Method == http.MethodGet || c.Op == upstream.ListRecords
}

// BasesQuery reads the query of the list of bases, which takes an offset and
// refuses a page size.
func BasesQuery(rawQuery string) (offset string, bad *models.Error) {
	q, err := url.ParseQuery(rawQuery)
	if err != nil || q.Has("pageSize") {
		return "", models.ErrInvalidRequest
	}
	return q.Get("offset"), nil
}
