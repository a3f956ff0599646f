package v0

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
)

// Prefix is where the surface begins; paths given to Parse start with it.
const Prefix = "/v0"

// Parse reads method and escaped path (from /v0 on) into a Call with Op, Method,
// Path and the unescaped names set. ok is false for what Airtable answers with
// 404 {"error":"NOT_FOUND"} before it looks at the token: a path or a method it
// has no route for, a base part not shaped like an id, a record part not shaped
// like one.
//
// Ids are not checked for length: the suites of real clients use app123.
func Parse(method, escapedPath string) (c upstream.Call, ok bool) {
	rest, found := strings.CutPrefix(escapedPath, Prefix+"/")
	if !found {
		return c, false
	}
	rest = strings.TrimSuffix(rest, "/")
	names, ok := split(rest)
	if !ok {
		return c, false
	}
	c = upstream.Call{Method: method, Path: Prefix + "/" + rest}
	switch {
	case names[0] == "meta":
		ok = meta(&c, names[1:])
	case names[0] == "bases":
		ok = webhooks(&c, names[1:])
	case isID("app", names[0]):
		c.Base = names[0]
		ok = records(&c, names[1:])
	default:
		ok = false
	}
	return c, ok
}

// split unescapes the segments one by one. An empty segment, a broken escape, a
// NUL and the dot segments (which an upstream might resolve into another path
// than the one that was checked) make the path unknown.
func split(rest string) ([]string, bool) {
	parts := strings.Split(rest, "/")
	for i, p := range parts {
		name, err := url.PathUnescape(p)
		if err != nil || name == "" || name == "." || name == ".." || strings.ContainsRune(name, 0) {
			return nil, false
		}
		parts[i] = name
	}
	return parts, true
}

// isID reports whether s is an id of the kind: the three letters and then
// letters and digits.
func isID(prefix, s string) bool {
	rest, ok := strings.CutPrefix(s, prefix)
	if !ok || rest == "" {
		return false
	}
	for _, r := range []byte(rest) {
		if (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			return false
		}
	}
	return true
}

// operations maps a method to what it does on one kind of path.
type operations map[string]upstream.Op

func (o operations) assign(c *upstream.Call) bool {
	op, ok := o[c.Method]
	c.Op = op
	return ok
}

var (
	onTable = operations{
		http.MethodGet: upstream.ListRecords, http.MethodPost: upstream.CreateRecords,
		http.MethodPatch: upstream.UpdateRecords, http.MethodPut: upstream.UpdateRecords,
		http.MethodDelete: upstream.DeleteRecords,
	}
	onRecord = operations{
		http.MethodGet:   upstream.GetRecord,
		http.MethodPatch: upstream.UpdateRecords, http.MethodPut: upstream.UpdateRecords,
		http.MethodDelete: upstream.DeleteRecords,
	}
	onBases    = operations{http.MethodGet: upstream.ListBases, http.MethodPost: upstream.CreateBase}
	onSchema   = operations{http.MethodGet: upstream.BaseSchema, http.MethodPost: upstream.CreateTable}
	onWhoami   = operations{http.MethodGet: upstream.Whoami}
	onOneTable = operations{http.MethodPatch: upstream.UpdateTable}
	onFields   = operations{http.MethodPost: upstream.CreateField}
	onOneField = operations{http.MethodPatch: upstream.UpdateField}

	onComments = operations{http.MethodGet: upstream.ListComments, http.MethodPost: upstream.CreateComment}
	onComment  = operations{http.MethodPatch: upstream.UpdateComment, http.MethodDelete: upstream.DeleteComment}

	onViews = operations{http.MethodGet: upstream.ListViews}
	onView  = operations{http.MethodGet: upstream.FetchView, http.MethodDelete: upstream.DeleteView}

	onHooks    = operations{http.MethodGet: upstream.ListWebhooks, http.MethodPost: upstream.CreateWebhook}
	onHook     = operations{http.MethodDelete: upstream.DeleteWebhook}
	onHookPart = map[string]operations{
		"enableNotifications": {http.MethodPost: upstream.EnableWebhook},
		"refresh":             {http.MethodPost: upstream.RefreshWebhook},
		"payloads":            {http.MethodGet: upstream.ListPayloads},
	}

	onUpload = operations{http.MethodPost: upstream.UploadAttachment}
	onSync   = operations{http.MethodPost: upstream.Other}
	onBase   = operations{http.MethodGet: upstream.Other}
)

// records reads what follows /v0/{base}/.
func records(c *upstream.Call, names []string) bool {
	if len(names) == 4 || len(names) == 3 {
		return deeper(c, names)
	}
	if len(names) == 0 || len(names) > 4 {
		return false
	}
	c.Table = names[0]
	if len(names) == 1 {
		return onTable.assign(c)
	}
	if names[1] == "listRecords" {
		c.Op = upstream.ListRecords
		return c.Method == http.MethodPost
	}
	if !isID("rec", names[1]) {
		return false
	}
	c.Record = names[1]
	return onRecord.assign(c)
}

// deeper reads comments, uploads and pushes into a sync table. An upload names
// the record where the others name the table.
func deeper(c *upstream.Call, names []string) bool {
	last := names[len(names)-1]
	switch {
	case len(names) == 3 && isID("rec", names[0]) && last == "uploadAttachment":
		c.Record, c.Field = names[0], names[1]
		return onUpload.assign(c)
	case len(names) == 3 && names[1] == "sync":
		c.Table = names[0]
		return onSync.assign(c)
	case !isID("rec", names[1]) || names[2] != "comments":
		return false
	}
	c.Table, c.Record = names[0], names[1]
	if len(names) == 3 {
		return onComments.assign(c)
	}
	c.Comment = last
	return isID("com", last) && onComment.assign(c)
}

// meta reads what follows /v0/meta/.
func meta(c *upstream.Call, names []string) bool {
	switch {
	case len(names) == 1 && names[0] == "whoami":
		return onWhoami.assign(c)
	case len(names) == 0 || names[0] != "bases":
		return false
	case len(names) == 1:
		return onBases.assign(c)
	case !isID("app", names[1]):
		return false
	}
	c.Base = names[1]
	switch {
	case len(names) == 2:
		return onBase.assign(c)
	case names[2] == "tables":
		return schema(c, names[3:])
	case names[2] == "views" && len(names) == 3:
		return onViews.assign(c)
	case names[2] == "views" && len(names) == 4 && isID("viw", names[3]):
		c.View = names[3]
		return onView.assign(c)
	}
	return false
}

// schema reads what follows /v0/meta/bases/{base}/tables.
func schema(c *upstream.Call, names []string) bool {
	if len(names) == 0 {
		return onSchema.assign(c)
	}
	c.Table = names[0]
	switch {
	case len(names) == 1:
		return onOneTable.assign(c)
	case names[1] != "fields":
		return false
	case len(names) == 2:
		return onFields.assign(c)
	case len(names) == 3:
		c.Field = names[2]
		return onOneField.assign(c)
	}
	return false
}

// webhooks reads what follows /v0/bases/.
func webhooks(c *upstream.Call, names []string) bool {
	if len(names) < 2 || !isID("app", names[0]) || names[1] != "webhooks" {
		return false
	}
	c.Base = names[0]
	switch {
	case len(names) == 2:
		return onHooks.assign(c)
	case !isID("ach", names[2]):
		return false
	}
	c.Webhook = names[2]
	if len(names) == 3 {
		return onHook.assign(c)
	}
	return len(names) == 4 && onHookPart[names[3]].assign(c)
}
