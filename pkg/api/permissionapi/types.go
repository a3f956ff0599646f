package permissionapi

import (
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
)

// Actions are all actions, each of which includes those before it.
var Actions = []string{Read, Comment, Edit, Create, Share, Manage}

// TokenHeader carries the consistency token of a write.
const TokenHeader = "Permission-Token"

// GrantRecord is a grant as it is kept: who gave what to whom until when.
type GrantRecord struct {
	ID string `json:"id" format:"uuid"`
	Grant
	GrantedBy string    `json:"granted_by,omitempty" doc:"The user who gave it last; absent if a service did."`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// CreatedGrant answers CreateGrant.
type CreatedGrant struct {
	Location string `header:"Location"`
	Token    string `header:"Permission-Token" doc:"Give it as at_least to a check that must see the grant."`
	Body     GrantRecord
}

// GrantRef names a grant.
type GrantRef struct {
	ID string `path:"id" format:"uuid"`
}

// GrantQuery selects grants.
type GrantQuery struct {
	api.PageQuery
	Object  string `query:"object" maxLength:"300" doc:"Those on this object."`
	Subject string `query:"subject" maxLength:"200" doc:"Those of this user or group."`
}

// GrantPage is a page of grants.
type GrantPage = api.Page[GrantRecord]

// Changed answers what changes and returns nothing else.
type Changed struct {
	Token string `header:"Permission-Token"`
}

// Role is a role of the tenant's own making.
type Role struct {
	ID          string    `json:"id" format:"uuid"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Actions     []string  `json:"actions" nullable:"false" doc:"From read to manage each includes those before it, and a denied role takes each away with those after it; those with a dot stand each for itself, on the tenant."`
	Version     int64     `json:"version" doc:"Rises with every change; the ETag is made of it."`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// NewRole is what a role is made of.
type NewRole struct {
	Name        string   `json:"name" minLength:"1" maxLength:"100"`
	Description string   `json:"description,omitempty" maxLength:"1000"`
	Actions     []string `json:"actions" minItems:"1" maxItems:"13" enum:"read,comment,edit,create,share,manage,members.manage,groups.manage,service_accounts.manage,settings.manage,directories.manage,billing.read,audit.read"`
}

// CreatedRole answers CreateRole.
type CreatedRole struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     Role
}

// RoleAnswer is a role with its ETag, to be sent as If-Match with a change.
type RoleAnswer struct {
	ETag string `header:"ETag"`
	Body Role
}

// Precondition makes a change fail if the object is not the one that was read.
type Precondition struct {
	IfMatch string `header:"If-Match" required:"false" maxLength:"1000" doc:"An ETag; without it the last change wins."`
}

// RoleRef names a role.
type RoleRef struct {
	ID string `path:"id" format:"uuid"`
}

// RoleDeletion names a role that is to be deleted.
type RoleDeletion struct {
	RoleRef
	Precondition
}

// RolePatch changes what it names.
type RolePatch struct {
	ID string `path:"id" format:"uuid"`
	Precondition
	Body struct {
		Name        *string  `json:"name,omitempty" minLength:"1" maxLength:"100"`
		Description *string  `json:"description,omitempty" maxLength:"1000"`
		Actions     []string `json:"actions,omitempty" minItems:"1" maxItems:"13" enum:"read,comment,edit,create,share,manage,members.manage,groups.manage,service_accounts.manage,settings.manage,directories.manage,billing.read,audit.read"`
	}
}

// RolePage is a page of roles.
type RolePage = api.Page[Role]

// Rule takes fields and records of one table out of what some subjects see and write.
type Rule struct {
	Name string `json:"name" minLength:"1" maxLength:"100"`
	// Subjects are user:ID, group:ID, role:NAME (built-in, or owner, admin, member,
	// guest in the tenant), role:ID of a custom role, or * for everybody.
	Subjects []string `json:"subjects" minItems:"1" maxItems:"100"`
	BaseID   string   `json:"base_id" pattern:"^app[A-Za-z0-9]{1,30}$"`
	TableID  string   `json:"table_id" pattern:"^tbl[A-Za-z0-9]{1,30}$"`
	Hidden   []string `json:"hidden,omitempty" maxItems:"500" doc:"Fields that are absent for the subjects."`
	ReadOnly []string `json:"read_only,omitempty" maxItems:"500" doc:"Fields that the subjects can see and not write."`
	Rows     string   `json:"rows,omitempty" maxLength:"10000" doc:"A formula that is true of the records that the subjects see."`
}

// RuleRecord is a rule as it is kept.
type RuleRecord struct {
	ID string `json:"id" format:"uuid"`
	Rule
	Version   int64     `json:"version" doc:"Rises with every change; the ETag is made of it."`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// CreatedRule answers CreatePolicy.
type CreatedRule struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     RuleRecord
}

// RuleAnswer is a rule with its ETag, to be sent as If-Match with a change.
type RuleAnswer struct {
	ETag string `header:"ETag"`
	Body RuleRecord
}

// RuleRef names a rule.
type RuleRef struct {
	ID string `path:"id" format:"uuid"`
}

// RuleDeletion names a rule that is to be deleted.
type RuleDeletion struct {
	RuleRef
	Precondition
}

// RuleUpdate replaces a rule.
type RuleUpdate struct {
	ID string `path:"id" format:"uuid"`
	Precondition
	Body Rule
}

// RuleQuery selects rules.
type RuleQuery struct {
	api.PageQuery
	BaseID string `query:"base_id" maxLength:"100" doc:"Those of this base."`
}

// RulePage is a page of rules.
type RulePage = api.Page[RuleRecord]

// RowFormula is the formula of a rule for one user: $user, outside of quotes, stands for
// the user's Airtable id as a text.
func RowFormula(rows, airtableUser string) string {
	return strings.ReplaceAll(rows, "$user", `"`+airtableUser+`"`)
}

// MyQuestion asks about the caller.
type MyQuestion struct {
	Action string `json:"action" enum:"read,comment,edit,create,share,manage,members.manage,groups.manage,service_accounts.manage,settings.manage,directories.manage,billing.read,audit.read"`
	Object string `json:"object" maxLength:"300"`
}

// MyQuestions are asked in one go.
type MyQuestions struct {
	Questions []MyQuestion `json:"questions" minItems:"1" maxItems:"100"`
	AtLeast   string       `json:"at_least,omitempty" maxLength:"100"`
}

// ExplainQuery asks why.
type ExplainQuery struct {
	Subject string    `query:"subject" maxLength:"200" doc:"user:ID; absent: the caller."`
	Action  string    `query:"action" required:"true" enum:"read,comment,edit,create,share,manage,members.manage,groups.manage,service_accounts.manage,settings.manage,directories.manage,billing.read,audit.read"`
	Object  string    `query:"object" required:"true" maxLength:"300"`
	IP      string    `query:"ip" maxLength:"64" doc:"The address that conditions look at; absent: that of this request."`
	Time    time.Time `query:"time" doc:"The time that conditions look at; absent: now."`
}

// Explanation is the path that led to an answer.
type Explanation struct {
	Allowed bool     `json:"allowed"`
	Chain   []string `json:"chain" nullable:"false" doc:"The object and what it lies in, the nearest first."`
	Steps   []Step   `json:"steps" nullable:"false" doc:"All that speaks for or against it; those with decides gave the answer."`
	Token   string   `json:"token"`
}

// Step is one thing that was looked at.
type Step struct {
	Kind    string `json:"kind" enum:"tenant_role,grant,denial,member_suspended,tenant_suspended,tenant_deleting" doc:"The last three shut somebody out, whatever he has."`
	Object  string `json:"object"`
	Subject string `json:"subject" doc:"The user himself, or the group that he is in."`
	Role    string `json:"role"`
	GrantID string `json:"grant_id,omitempty"`
	Holds   bool   `json:"holds" doc:"Whether its conditions are met and its role has the action."`
	Why     string `json:"why,omitempty" enum:"expired,address,action" doc:"Why it does not hold."`
	Decides bool   `json:"decides"`
}

// ObjectQuery asks what a subject may do something on.
type ObjectQuery struct {
	api.PageQuery
	Subject string `query:"subject" maxLength:"200" doc:"user:ID; absent: the caller."`
	Action  string `query:"action" default:"read" enum:"read,comment,edit,create,share,manage"`
	Kind    string `query:"kind" required:"true" enum:"workspace,base,table"`
}

// ObjectPage is a page of names of objects.
type ObjectPage = api.Page[string]

// AccessQuery asks who may do anything on an object.
type AccessQuery struct {
	api.PageQuery
	Object string `query:"object" required:"true" maxLength:"300"`
	Action string `query:"action" default:"read" enum:"read,comment,edit,create,share,manage" doc:"Those who may at least this."`
}

// Access is what one user may do, and from what he has it.
type Access struct {
	Subject string `json:"subject"`
	Action  string `json:"action" doc:"The strongest that he may."`
	Via     []Step `json:"via" nullable:"false"`
}

// AccessPage is a page of a report.
type AccessPage = api.Page[Access]

// DryRunRequest asks which of the questions would be answered otherwise.
type DryRunRequest struct {
	Grants    []Grant    `json:"grants,omitempty" maxItems:"100" doc:"That would be given."`
	Revokes   []Grant    `json:"revokes,omitempty" maxItems:"100" doc:"That would be taken, by subject, object, role and deny."`
	Policies  []Rule     `json:"policies,omitempty" maxItems:"20" doc:"That would be made."`
	Questions []Question `json:"questions" minItems:"1" maxItems:"100"`
	IP        string     `json:"ip,omitempty" maxLength:"64"`
	Time      time.Time  `json:"time,omitzero"`
}

// DryRunAnswer tells of each question, in their order.
type DryRunAnswer struct {
	Results []DryRunResult `json:"results" nullable:"false"`
	Changed int            `json:"changed"`
}

// DryRunResult compares the answers to one question. The policies of its base are there
// if the proposal changes them.
type DryRunResult struct {
	Before       bool          `json:"before"`
	After        bool          `json:"after"`
	PolicyBefore []TablePolicy `json:"policy_before,omitempty"`
	PolicyAfter  []TablePolicy `json:"policy_after,omitempty"`
}

// WatchQuery asks for changes after a cursor.
type WatchQuery struct {
	api.PageQuery
	WaitSeconds int `query:"wait_seconds" minimum:"0" maximum:"20" default:"0" doc:"How long to wait for the first one."`
}

// ChangeRecord is a change as the feed tells it.
type ChangeRecord struct {
	Token string    `json:"token"`
	At    time.Time `json:"at"`
	Change
}

// ChangePage is a page of the feed. Its next_cursor is always there: it is where to go
// on, also when nothing is new.
type ChangePage = api.Page[ChangeRecord]
