package airtableapi

import (
	"encoding/json"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
)

// Base is one base that the caller may see.
type Base struct {
	ID              string `json:"id" example:"appWorldAtlas0001" doc:"Airtable's id, app…"`
	Name            string `json:"name"`
	PermissionLevel string `json:"permission_level" enum:"none,read,comment,edit,create" doc:"What the connection's account may do on it."`
	ConnectionID    string `json:"connection_id" format:"uuid" doc:"The connection that answers for it."`
}

// Table is a table with its schema.
type Table struct {
	ID             string       `json:"id" doc:"tbl…"`
	Name           string       `json:"name"`
	Description    string       `json:"description,omitempty"`
	PrimaryFieldID string       `json:"primary_field_id"`
	Fields         []TableField `json:"fields" nullable:"false"`
	Views          []TableView  `json:"views" nullable:"false"`
}

// TableField is a column. Options depends on the type and is as Airtable's.
type TableField struct {
	ID          string          `json:"id" doc:"fld…"`
	Name        string          `json:"name"`
	Type        string          `json:"type" example:"singleLineText"`
	Description string          `json:"description,omitempty"`
	Options     json.RawMessage `json:"options,omitempty" doc:"As in Airtable's field model."`
}

// TableView is a view of a table.
type TableView struct {
	ID   string `json:"id" doc:"viw…"`
	Name string `json:"name"`
	Type string `json:"type" example:"grid"`
}

// Record is a row. Empty cells are absent from Fields, as in Airtable.
type Record struct {
	ID        string         `json:"id" doc:"rec…"`
	CreatedAt time.Time      `json:"created_at"`
	Fields    map[string]any `json:"fields" nullable:"false" doc:"Cell values by field name, or by field id on request."`
}

// BasePath names a base.
type BasePath struct {
	BaseID string `path:"baseId" maxLength:"64" doc:"app…"`
}

// TablePath names a table by id or by name.
type TablePath struct {
	BasePath
	TableID string `path:"tableId" maxLength:"512" doc:"tbl…, or the table's name"`
}

// RecordPath names a record.
type RecordPath struct {
	TablePath
	RecordID string `path:"recordId" maxLength:"64" doc:"rec…"`
}

// BasesQuery asks for a page of bases.
type BasesQuery struct {
	api.PageQuery
}

// TablesQuery asks for a page of a base's tables.
type TablesQuery struct {
	BasePath
	api.PageQuery
}

// Reading is how fresh an answer has to be, and which one the caller has.
type Reading struct {
	CacheControl string `header:"Cache-Control" required:"false" maxLength:"200" doc:"no-cache, no-store, max-age, min-fresh, max-stale, only-if-cached: about answers of Airtable that the gateway has kept."`
	IfNoneMatch  string `header:"If-None-Match" required:"false" maxLength:"1000" doc:"ETag of the answer that the caller has; 304 if it is still the answer."`
}

// Cached tells where an answer of Airtable comes from. Bases of the local store are
// never cached: all of it is absent then.
type Cached struct {
	ETag         string `header:"ETag"`
	Age          string `header:"Age" doc:"Seconds since Airtable was asked."`
	XCache       string `header:"X-Cache" doc:"HIT, MISS, STALE or BYPASS."`
	CacheControl string `header:"Cache-Control"`
	Vary         string `header:"Vary"`
}

// RecordsAnswer is a page of records, or nothing with Status 304.
type RecordsAnswer struct {
	Status int
	Cached
	Body api.Page[Record]
}

// RecordAnswer is a record, or nothing with Status 304.
type RecordAnswer struct {
	Status int
	Cached
	Body Record
}

// RecordsQuery asks for a page of records. Names that hold a comma are given by
// field id.
type RecordsQuery struct {
	TablePath
	Reading
	Limit    int    `query:"limit" minimum:"1" maximum:"100" default:"50" doc:"How many items at the most."`
	Cursor   string `query:"cursor" maxLength:"2048" doc:"The next_cursor of the page before."`
	View     string `query:"view" maxLength:"512" doc:"Only the records of this view (id or name), in its order."`
	Filter   string `query:"filter" maxLength:"12000" doc:"An Airtable formula; records for which it is true are kept."`
	Sort     string `query:"sort" maxLength:"2000" example:"-Population,Name" doc:"Field names or ids, comma-separated; a leading minus sorts in descending order."`
	Fields   string `query:"fields" maxLength:"8000" example:"Name,Population" doc:"Only these fields, names or ids, comma-separated."`
	ByID     bool   `query:"by_field_id" doc:"Key the cells by field id instead of by name."`
	MaxItems int    `query:"max_items" minimum:"1" required:"false" doc:"Stop after so many records over all pages."`
}

// RecordQuery asks for one record.
type RecordQuery struct {
	RecordPath
	Reading
	ByID bool `query:"by_field_id" doc:"Key the cells by field id instead of by name."`
}

// RecordDraft is what a record is made or changed with. A PATCH leaves fields that
// are not named as they are; null empties one.
type RecordDraft struct {
	Fields   map[string]any `json:"fields" nullable:"false" doc:"Cell values by field name or id."`
	Typecast bool           `json:"typecast,omitempty" doc:"Convert strings to the field's type, and add unknown choices."`
}

// RecordCreate makes a record.
type RecordCreate struct {
	TablePath
	Body RecordDraft
}

// RecordUpdate changes a record.
type RecordUpdate struct {
	RecordPath
	Body RecordDraft
}

// RecordMade is the answer to a creation.
type RecordMade struct {
	Location string `header:"Location"`
	Body     Record
}

// Kinds of connections.
const (
	KindLocal    = "local"
	KindAirtable = "airtable"
)

// States of a connection's token, as of last_checked_at.
const (
	StatusActive    = "active"    // the upstream accepted it
	StatusRefused   = "refused"   // the upstream no longer accepts it
	StatusUnchecked = "unchecked" // the upstream could not be asked yet
)

// Connection is a way to bases. Its token is never shown.
type Connection struct {
	ID            string    `json:"id" format:"uuid"`
	Name          string    `json:"name"`
	Kind          string    `json:"kind" enum:"local,airtable"`
	APIURL        string    `json:"api_url,omitempty" format:"uri" doc:"Root of the Airtable API, without /v0. Absent for a local connection."`
	Status        string    `json:"status" enum:"active,refused,unchecked" doc:"Whether the upstream accepted the token when it was asked last."`
	WorkspaceID   string    `json:"workspace_id,omitempty" doc:"The workspaceId that makes POST /v0/meta/bases create the base here. Local connections only."`
	LastCheckedAt time.Time `json:"last_checked_at,omitzero"`
	CreatedAt     time.Time `json:"created_at"`
	UpdatedAt     time.Time `json:"updated_at"`

	Settings ConnectionSettings `json:"settings"`
}

// ConnectionSettings are how the calls of an Airtable account are treated.
type ConnectionSettings struct {
	FreshnessSeconds  int  `json:"freshness_seconds" doc:"How old a cached answer may be; 0: nothing is cached."`
	StableAttachments bool `json:"stable_attachments" doc:"Attachments are copied, and answers link to the copies, which do not expire."`
	BeforeImages      bool `json:"before_images" doc:"Records are read before they are changed or deleted, so that events can tell the old cells. Costs a call a write."`
	WatchChanges      bool `json:"watch_changes" doc:"Each base that is read gets a webhook at Airtable, by which changes made elsewhere are seen at once. Takes effect where Airtable can reach the gateway."`
}

// ConnectionSettingsPatch is a JSON merge patch: what is absent stays, or has its default.
type ConnectionSettingsPatch struct {
	FreshnessSeconds  *int  `json:"freshness_seconds,omitempty" minimum:"0" maximum:"86400" doc:"By default 30."`
	StableAttachments *bool `json:"stable_attachments,omitempty" doc:"By default false."`
	BeforeImages      *bool `json:"before_images,omitempty" doc:"By default true."`
	WatchChanges      *bool `json:"watch_changes,omitempty" doc:"By default true."`
}

// ConnectionsQuery asks for a page of connections, the oldest first.
type ConnectionsQuery struct {
	api.PageQuery
}

// ConnectionPath names a connection.
type ConnectionPath struct {
	ID string `path:"id" format:"uuid"`
}

// ConnectionDraft is what a connection is made with.
type ConnectionDraft struct {
	Name   string `json:"name" minLength:"1" maxLength:"200"`
	Kind   string `json:"kind" enum:"local,airtable"`
	APIURL string `json:"api_url,omitempty" format:"uri" maxLength:"500" doc:"By default https://api.airtable.com."`
	Token  string `json:"token,omitempty" maxLength:"4096" doc:"Airtable personal access token. Required for kind airtable."`

	Settings ConnectionSettingsPatch `json:"settings,omitzero"`
}

// ConnectionPatch is a JSON merge patch: what is absent stays.
type ConnectionPatch struct {
	Name   *string `json:"name,omitempty" minLength:"1" maxLength:"200"`
	APIURL *string `json:"api_url,omitempty" format:"uri" maxLength:"500"`
	Token  *string `json:"token,omitempty" minLength:"1" maxLength:"4096"`

	Settings ConnectionSettingsPatch `json:"settings,omitzero"`
}

// ConnectionCreate makes a connection.
type ConnectionCreate struct {
	Body ConnectionDraft
}

// ConnectionUpdate changes a connection.
type ConnectionUpdate struct {
	ConnectionPath
	IfMatch string `header:"If-Match" doc:"ETag that the connection must still have."`
	Body    ConnectionPatch
}

// ConnectionDelete removes a connection.
type ConnectionDelete struct {
	ConnectionPath
	IfMatch string `header:"If-Match" doc:"ETag that the connection must still have."`
}

// ConnectionAnswer is one connection.
type ConnectionAnswer struct {
	ETag string `header:"ETag"`
	Body Connection
}

// ConnectionMade is the answer to a creation.
type ConnectionMade struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     Connection
}

// Demo is the demo base of a tenant.
type Demo struct {
	BaseID       string         `json:"base_id"`
	ConnectionID string         `json:"connection_id" format:"uuid"`
	Created      bool           `json:"created" doc:"False if the base was there already."`
	Tables       map[string]int `json:"tables" nullable:"false" doc:"Number of demo records by table."`
}
