package workspaceapi

import (
	"time"

	"github.com/pyairtable/pyairtable/pkg/errs"
)

// What the operations answer beside the general errors. Whatever the caller may not see
// is errs.ErrNotFound, as if it did not exist.
var (
	ErrGuests      = errs.New(errs.Forbidden, "guests_make_no_workspaces", "Guests of the tenant make no workspaces.")
	ErrTooMany     = errs.New(errs.Conflict, "too_many_workspaces", "The tenant has as many workspaces as it may.")
	ErrTooManyHere = errs.New(errs.Conflict, "too_many_here", "There are as many as there may be.")
	ErrArchived    = errs.New(errs.Conflict, "archived", "It, or what it is in, is archived and cannot be changed.")
	ErrTrashed     = errs.New(errs.Conflict, "in_trash", "It, or what it is in, is in the trash.")
	ErrNotTrashed  = errs.New(errs.Conflict, "not_in_trash", "It is not in the trash.")
	ErrNoSibling   = errs.New(errs.Invalid, "no_such_sibling", "There is nothing by this id to be put after.").
			With(errs.Field{Pointer: "/after", Detail: "has to name what is in the same place"})
	ErrNoProject    = errs.New(errs.Invalid, "no_such_project", "The workspace has no such project.").With(errs.Field{Pointer: "/project_id", Detail: "is none of the workspace"})
	ErrBlankName    = errs.New(errs.Invalid, "blank_name", "A name has to have letters.").With(errs.Field{Pointer: "/name", Detail: "must not be blank"})
	ErrBadTags      = errs.New(errs.Invalid, "bad_tags", "A tag has to have letters.").With(errs.Field{Pointer: "/tags", Detail: "must not be blank"})
	ErrBadOwner     = errs.New(errs.Invalid, "bad_owner", "The owner has to be one who may see the base.").With(errs.Field{Pointer: "/owner_id", Detail: "may not see the base"})
	ErrLinked       = errs.New(errs.Conflict, "base_linked", "The base is in a workspace already; it can be moved.")
	ErrNoBase       = errs.New(errs.NotFound, "base_not_offered", "No connection of the tenant offers such a base.")
	ErrExpiry       = errs.New(errs.Invalid, "bad_expiry", "The end has passed.").With(errs.Field{Pointer: "/expires_at", Detail: "has passed"})
	ErrOneObject    = errs.New(errs.Invalid, "one_object", "Either a workspace or a base has to be named.")
	ErrOffline      = errs.New(errs.Unavailable, "sharing_unavailable", "Sharing needs permission-service, which this fleet does not run.").After(time.Minute)
	ErrPassword     = errs.New(errs.Forbidden, "share_password", "The link wants its password.")
	ErrAttempts     = errs.New(errs.TooMany, "share_attempts", "Too many wrong passwords were given for this link.")
	ErrShareMembers = errs.New(errs.Forbidden, "share_members_only", "Who uses the link for more than viewing has to be in its organisation.")
	ErrShareGrant   = errs.New(errs.Forbidden, "share_grant", "The grant has ended; open the link again.")
)
