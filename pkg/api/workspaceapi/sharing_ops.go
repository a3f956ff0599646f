package workspaceapi

import (
	"net/http"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

const workspaceShares, baseShares = workspace + "/shares", base + "/shares"

var (
	shareRefusals = []*errs.Error{none, ErrExpiry, ErrOffline, permissionapi.ErrBadSubject, permissionapi.ErrTooStrong, permissionapi.ErrOwnersOwner}
	sharedReads   = []*errs.Error{none, ErrShareGrant, airtableapi.ErrUpstreamAway, airtableapi.ErrTableNotFound, airtableapi.ErrRateLimited}
)

// Shares: what users and groups have on a workspace or base itself, kept by
// permission-service. Who may share gives and takes roles up to his own strength.
var (
	ListWorkspaceShares = api.Op[WorkspaceSharesQuery, SharePage]{
		Name: "listWorkspaceShares", Method: http.MethodGet, Path: workspaceShares, Summary: "Who was given a workspace",
		Description: "Oldest first.", Errors: []*errs.Error{none, ErrOffline},
	}
	PutWorkspaceShare = api.Op[WorkspaceSharePut, Share]{
		Name: "putWorkspaceShare", Method: http.MethodPut, Path: workspaceShares + "/{subject}", Summary: "Share a workspace",
		Description: "The subject has this role on it then, in the place of any other one.", Errors: shareRefusals,
	}
	DeleteWorkspaceShare = api.Op[WorkspaceShareRef, struct{}]{
		Name: "deleteWorkspaceShare", Method: http.MethodDelete, Path: workspaceShares + "/{subject}", Status: http.StatusNoContent,
		Summary: "Take a workspace from somebody", Description: "Everything that he was given on it, denials too.", Errors: shareRefusals,
	}
	ListBaseShares = api.Op[BaseSharesQuery, SharePage]{
		Name: "listBaseShares", Method: http.MethodGet, Path: baseShares, Summary: "Who was given a base",
		Description: "Oldest first. Who has it by its workspace is not listed.", Errors: []*errs.Error{none, ErrOffline},
	}
	PutBaseShare = api.Op[BaseSharePut, Share]{
		Name: "putBaseShare", Method: http.MethodPut, Path: baseShares + "/{subject}", Summary: "Share a base",
		Description: "The subject has this role on it then, in the place of any other one.", Errors: shareRefusals,
	}
	DeleteBaseShare = api.Op[BaseShareRef, struct{}]{
		Name: "deleteBaseShare", Method: http.MethodDelete, Path: baseShares + "/{subject}", Status: http.StatusNoContent,
		Summary: "Take a base from somebody", Description: "Everything that he was given on it, denials too.", Errors: shareRefusals,
	}
)

// Share links. Who may share an object makes links to it, and sees and ends those that are.
var (
	CreateShareLink = api.Op[NewShareLink, ShareLinkMade]{
		Name: "createShareLink", Scope: scopeShare, Method: http.MethodPost, Path: shareLinks, Status: http.StatusCreated, Idempotent: true,
		Summary: "Make a link to a workspace or base", Description: "Whoever has its secret, and the password if there is one, may view. Accounts of the tenant redeem it for its role.",
		Errors: []*errs.Error{none, permissionapi.ErrTooStrong, ErrExpiry, ErrOneObject, ErrTrashed, ErrTooManyHere},
	}
	ListShareLinks = api.Op[ShareLinksQuery, ShareLinkPage]{
		Name: "listShareLinks", Scope: scopeShare, Method: http.MethodGet, Path: shareLinks, Summary: "List the links to a workspace or base",
		Description: "Oldest first.", Errors: []*errs.Error{none, ErrOneObject},
	}
	GetShareLink = api.Op[ShareLinkRef, ShareLinkAnswer]{
		Name: "getShareLink", Scope: scopeShare, Method: http.MethodGet, Path: shareLink, Summary: "Show a link", Errors: []*errs.Error{none},
	}
	UpdateShareLink = api.Op[ShareLinkUpdate, ShareLinkAnswer]{
		Name: "updateShareLink", Scope: scopeShare, Method: http.MethodPatch, Path: shareLink, Summary: "Change a link's password or end",
		Description: "What was opened or redeemed by it has to be so again.", Errors: []*errs.Error{none, ErrExpiry, errs.ErrPreconditionFailed},
	}
	RevokeShareLink = api.Op[ShareLinkRef, struct{}]{
		Name: "revokeShareLink", Scope: scopeShare, Method: http.MethodDelete, Path: shareLink, Status: http.StatusNoContent, Summary: "End a link",
		Description: "At once, also for who has it open, or redeemed it.", Errors: []*errs.Error{none},
	}
)

// What a link shows, to everybody who has it. It ends with the link: when that is revoked,
// has ended or was changed, when its object is in the trash, and when its maker may share
// it no more.
var (
	OpenShare = api.Op[OpenShareRequest, OpenedShare]{
		Name: "openShare", Method: http.MethodPost, Path: shared, Access: api.Public, Rate: api.RateAuth, Summary: "Open a share link",
		Description: "Gives a grant for a quarter of an hour.", Errors: []*errs.Error{none, ErrPassword, ErrAttempts},
	}
	RedeemShare = api.Op[OpenShareRequest, RedeemedShare]{
		Name: "redeemShare", Method: http.MethodPost, Path: shared + "/redeem", Rate: api.RateAuth, Summary: "Take the role that a share link gives",
		Description: "By an account of the link's tenant, for a day, and no longer than the link lives; again for another one.",
		Errors:      []*errs.Error{none, ErrShareMembers, ErrPassword, ErrAttempts, ErrOffline},
	}
	ListSharedBases = api.Op[SharedBasesQuery, SharedBasePage]{
		Name: "listSharedBases", Method: http.MethodGet, Path: shared + "/bases", Access: api.Public, Summary: "List the bases that a link shows",
		Errors: []*errs.Error{none, ErrShareGrant},
	}
	ListSharedTables = api.Op[SharedTablesQuery, SharedTablePage]{
		Name: "listSharedTables", Method: http.MethodGet, Path: shared + "/bases/{base_id}/tables", Access: api.Public, Timeout: 90 * time.Second,
		Summary: "List the tables of a base that a link shows", Errors: sharedReads,
	}
	ListSharedRecords = api.Op[SharedRecordsQuery, SharedRecordPage]{
		Name: "listSharedRecords", Method: http.MethodGet, Path: shared + "/bases/{base_id}/tables/{table_id}/records", Access: api.Public,
		Timeout: 90 * time.Second, Summary: "List records that a link shows", Errors: sharedReads,
	}
)

var sharingOps = []api.Spec{
	ListWorkspaceShares.Spec(), PutWorkspaceShare.Spec(), DeleteWorkspaceShare.Spec(), ListBaseShares.Spec(), PutBaseShare.Spec(), DeleteBaseShare.Spec(),
	CreateShareLink.Spec(), ListShareLinks.Spec(), GetShareLink.Spec(), UpdateShareLink.Spec(), RevokeShareLink.Spec(),
	OpenShare.Spec(), RedeemShare.Spec(), ListSharedBases.Spec(), ListSharedTables.Spec(), ListSharedRecords.Spec(),
}
