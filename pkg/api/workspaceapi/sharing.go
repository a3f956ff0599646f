package workspaceapi

import (
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
)

// Share is what a user or group has been given on a workspace or base itself.
type Share struct {
	Subject   string    `json:"subject" doc:"user:ID or group:ID"`
	Role      string    `json:"role" doc:"owner, creator, editor, commenter, viewer, or the id of a custom role."`
	Deny      bool      `json:"deny,omitempty" doc:"It takes the role's actions away."`
	ExpiresAt time.Time `json:"expires_at,omitzero" doc:"When it ends by itself."`
	GrantID   string    `json:"grant_id" format:"uuid" doc:"At permission-service."`
	GrantedBy string    `json:"granted_by,omitempty" format:"uuid"`
	CreatedAt time.Time `json:"created_at"`
}

// SharePage is a page of shares.
type SharePage = api.Page[Share]

// SubjectRef names a user or group.
type SubjectRef struct {
	Subject string `path:"subject" maxLength:"100" doc:"user:ID or group:ID"`
}

// NewShare is what a subject is to have.
type NewShare struct {
	Role      string    `json:"role" enum:"owner,creator,editor,commenter,viewer"`
	ExpiresAt time.Time `json:"expires_at,omitzero" doc:"When it ends by itself; absent: never."`
}

// WorkspaceSharesQuery asks for the shares of a workspace.
type WorkspaceSharesQuery struct {
	WorkspaceRef
	api.PageQuery
}

// WorkspaceShareRef names what a subject has on a workspace.
type WorkspaceShareRef struct {
	WorkspaceRef
	SubjectRef
}

// WorkspaceSharePut shares a workspace.
type WorkspaceSharePut struct {
	WorkspaceRef
	SubjectRef
	Body NewShare
}

// BaseSharesQuery asks for the shares of a base.
type BaseSharesQuery struct {
	BaseRef
	api.PageQuery
}

// BaseShareRef names what a subject has on a base.
type BaseShareRef struct {
	BaseRef
	SubjectRef
}

// BaseSharePut shares a base.
type BaseSharePut struct {
	BaseRef
	SubjectRef
	Body NewShare
}

// ShareLink opens a workspace's bases, or one base, to everybody who has it.
type ShareLink struct {
	ID          string    `json:"id" format:"uuid"`
	WorkspaceID string    `json:"workspace_id,omitempty" format:"uuid" doc:"Of a link to a workspace."`
	BaseID      string    `json:"base_id,omitempty" doc:"Of a link to a base."`
	Role        string    `json:"role" enum:"viewer,commenter,editor" doc:"Whoever has the link views; accounts of the tenant redeem it for its role."`
	Secret      string    `json:"secret,omitempty" doc:"What opens it. Shown to its maker alone."`
	HasPassword bool      `json:"has_password"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
	CreatedBy   string    `json:"created_by" format:"uuid" doc:"It shows what this user may see, for as long as he may share the object."`
	Opened      int64     `json:"opened" doc:"How often it was opened."`
	LastOpened  time.Time `json:"last_opened_at,omitzero"`
	Version     int64     `json:"version"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// NewShareLink makes a link to a workspace or to a base.
type NewShareLink struct {
	WorkspaceID string    `json:"workspace_id,omitempty" format:"uuid" doc:"Either this or base_id."`
	BaseID      string    `json:"base_id,omitempty" maxLength:"64"`
	Role        string    `json:"role,omitempty" enum:"viewer,commenter,editor" default:"viewer" doc:"What it gives to accounts of the tenant that redeem it; no more than its maker has."`
	Password    string    `json:"password,omitempty" minLength:"8" maxLength:"72"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
}

// ShareLinkMade answers CreateShareLink.
type ShareLinkMade struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     ShareLink
}

// ShareLinkAnswer is a link with its ETag.
type ShareLinkAnswer struct {
	ETag string `header:"ETag"`
	Body ShareLink
}

// ShareLinkRef names a link.
type ShareLinkRef struct {
	LinkID string `path:"link_id" format:"uuid"`
}

// ShareLinkUpdate changes a link. Grants that it gave end.
type ShareLinkUpdate struct {
	ShareLinkRef
	Precondition
	Body struct {
		Password  *string    `json:"password,omitempty" maxLength:"72" doc:"Empty for none, or 8 characters and more."`
		ExpiresAt *time.Time `json:"expires_at,omitempty"`
		Forever   bool       `json:"forever,omitempty" doc:"It ends no more by itself."`
	}
}

// ShareLinksQuery asks for the links to a workspace or to a base.
type ShareLinksQuery struct {
	api.PageQuery
	WorkspaceID string `query:"workspace_id" maxLength:"36" doc:"Either this or base_id."`
	BaseID      string `query:"base_id" maxLength:"64"`
}

// ShareLinkPage is a page of links.
type ShareLinkPage = api.Page[ShareLink]

// OpenShareRequest opens a link.
type OpenShareRequest struct {
	Secret   string `json:"secret" minLength:"1" maxLength:"200"`
	Password string `json:"password,omitempty" maxLength:"72"`
}

// RedeemedShare tells what a user has by a link.
type RedeemedShare struct {
	WorkspaceID string    `json:"workspace_id,omitempty" format:"uuid" doc:"Of a link to a workspace."`
	BaseID      string    `json:"base_id,omitempty" doc:"Of a link to a base."`
	Role        string    `json:"role" enum:"viewer,commenter,editor"`
	ExpiresAt   time.Time `json:"expires_at,omitzero" doc:"When it ends; absent: the caller had as much without the link."`
}

// OpenedShare tells what a link shows, and carries the grant that shows it.
type OpenedShare struct {
	Kind      string    `json:"kind" enum:"workspace,base"`
	Name      string    `json:"name"`
	Role      string    `json:"role" enum:"viewer,commenter,editor" doc:"What redeeming the link gives. The grant is for viewing."`
	Grant     string    `json:"grant" doc:"To be sent as Share-Grant."`
	ExpiresAt time.Time `json:"expires_at" doc:"When the grant ends; the link gives another one."`
}

// Granted carries the grant of an opened link.
type Granted struct {
	Grant string `header:"Share-Grant" required:"true" maxLength:"1000" doc:"What opening the link gave."`
}

// SharedBasesQuery asks which bases a link shows.
type SharedBasesQuery struct {
	Granted
	api.PageQuery
}

// SharedBase is a base that a link shows.
type SharedBase struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
}

// SharedBasePage is a page of them.
type SharedBasePage = api.Page[SharedBase]

// SharedTablesQuery asks for the tables of a base that a link shows.
type SharedTablesQuery struct {
	Granted
	BaseRef
	api.PageQuery
}

// SharedRecordsQuery asks for records of a base that a link shows.
type SharedRecordsQuery struct {
	Granted
	BaseRef
	TableID string `path:"table_id" maxLength:"512" doc:"tbl…, or the table's name"`
	Limit   int    `query:"limit" minimum:"1" maximum:"100" default:"50"`
	Cursor  string `query:"cursor" maxLength:"2048" doc:"The next_cursor of the page before."`
	View    string `query:"view" maxLength:"512" doc:"Only the records of this view (id or name), in its order."`
	Sort    string `query:"sort" maxLength:"2000" doc:"As at airtable-gateway."`
	Fields  string `query:"fields" maxLength:"8000" doc:"As at airtable-gateway."`
}

// SharedTablePage and SharedRecordPage are as airtable-gateway answers.
type (
	SharedTablePage  = api.Page[airtableapi.Table]
	SharedRecordPage = api.Page[airtableapi.Record]
)
