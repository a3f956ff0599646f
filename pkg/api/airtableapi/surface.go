package airtableapi

import (
	"net/http"

	"github.com/pyairtable/pyairtable/pkg/api"
)

// AirtableSurface is the Airtable Web API, for clients of Airtable: errors have
// Airtable's shapes. It is public only so that a path without a route is told
// before the token is looked at, as Airtable does; every route needs a token.
var AirtableSurface = api.RawRoute{
	Prefix: "/v0/", Access: api.Public, Timeout: upstreamTimeout, BodyLimit: airtableBodySize,
	Summary: "The Airtable Web API, drop-in",
}

// SurfaceRoute is a route of the Airtable Web API. {baseId}, {recordId}, {commentId},
// {viewId} and {webhookId} stand for ids of their kind, any other parameter for any name.
type SurfaceRoute struct {
	Method, Path string
	Does         string // what it does, as airtable-gateway names it
}

// SurfaceRoutes are all routes of AirtableSurface. Where a path fits two, the first has it.
var SurfaceRoutes = []SurfaceRoute{
	{http.MethodGet, "/v0/meta/whoami", "whoami"},
	{http.MethodGet, "/v0/meta/bases", "list_bases"},
	{http.MethodPost, "/v0/meta/bases", "create_base"},
	{http.MethodGet, "/v0/meta/bases/{baseId}", "other"},
	{http.MethodGet, "/v0/meta/bases/{baseId}/tables", "base_schema"},
	{http.MethodPost, "/v0/meta/bases/{baseId}/tables", "create_table"},
	{http.MethodPatch, "/v0/meta/bases/{baseId}/tables/{tableId}", "update_table"},
	{http.MethodPost, "/v0/meta/bases/{baseId}/tables/{tableId}/fields", "create_field"},
	{http.MethodPatch, "/v0/meta/bases/{baseId}/tables/{tableId}/fields/{fieldId}", "update_field"},
	{http.MethodGet, "/v0/meta/bases/{baseId}/views", "list_views"},
	{http.MethodGet, "/v0/meta/bases/{baseId}/views/{viewId}", "fetch_view"},
	{http.MethodDelete, "/v0/meta/bases/{baseId}/views/{viewId}", "delete_view"},

	{http.MethodGet, "/v0/bases/{baseId}/webhooks", "list_webhooks"},
	{http.MethodPost, "/v0/bases/{baseId}/webhooks", "create_webhook"},
	{http.MethodDelete, "/v0/bases/{baseId}/webhooks/{webhookId}", "delete_webhook"},
	{http.MethodPost, "/v0/bases/{baseId}/webhooks/{webhookId}/enableNotifications", "enable_webhook"},
	{http.MethodPost, "/v0/bases/{baseId}/webhooks/{webhookId}/refresh", "refresh_webhook"},
	{http.MethodGet, "/v0/bases/{baseId}/webhooks/{webhookId}/payloads", "list_payloads"},

	{http.MethodGet, "/v0/{baseId}/{tableId}", "list_records"},
	{http.MethodPost, "/v0/{baseId}/{tableId}", "create_records"},
	{http.MethodPatch, "/v0/{baseId}/{tableId}", "update_records"},
	{http.MethodPut, "/v0/{baseId}/{tableId}", "update_records"},
	{http.MethodDelete, "/v0/{baseId}/{tableId}", "delete_records"},
	{http.MethodPost, "/v0/{baseId}/{tableId}/listRecords", "list_records"},
	{http.MethodGet, "/v0/{baseId}/{tableId}/{recordId}", "get_record"},
	{http.MethodPatch, "/v0/{baseId}/{tableId}/{recordId}", "update_records"},
	{http.MethodPut, "/v0/{baseId}/{tableId}/{recordId}", "update_records"},
	{http.MethodDelete, "/v0/{baseId}/{tableId}/{recordId}", "delete_records"},
	{http.MethodGet, "/v0/{baseId}/{tableId}/{recordId}/comments", "list_comments"},
	{http.MethodPost, "/v0/{baseId}/{tableId}/{recordId}/comments", "create_comment"},
	{http.MethodPatch, "/v0/{baseId}/{tableId}/{recordId}/comments/{commentId}", "update_comment"},
	{http.MethodDelete, "/v0/{baseId}/{tableId}/{recordId}/comments/{commentId}", "delete_comment"},
	{http.MethodPost, "/v0/{baseId}/{recordId}/{fieldId}/uploadAttachment", "upload_attachment"},
	{http.MethodPost, "/v0/{baseId}/{tableId}/sync/{syncId}", "other"},
}
