// Package scim holds the rules of SCIM 2.0 (RFC 7643 and 7644) that need no I/O: schemas,
// filters, patches, and how resources are shown. A resource is its JSON object, with
// attributes named as the schemas spell them.
package scim

import "strings"

// URNs of schemas and messages.
const (
	UserSchema       = "urn:ietf:params:scim:schemas:core:2.0:User"
	GroupSchema      = "urn:ietf:params:scim:schemas:core:2.0:Group"
	EnterpriseSchema = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

	schemaSchema       = "urn:ietf:params:scim:schemas:core:2.0:Schema"
	resourceTypeSchema = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
	configSchema       = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
	listSchema         = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	patchSchema        = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	errorSchema        = "urn:ietf:params:scim:api:messages:2.0:Error"
)

// Kinds of attributes.
const (
	text      = "string"
	boolean   = "boolean"
	moment    = "dateTime"
	reference = "reference"
	complexly = "complex"
)

// Attribute is an attribute's definition (RFC 7643, section 7). The zero value is an
// optional string that the client may write, whatever its case.
type Attribute struct {
	Name      string
	Kind      string // "" is text
	Many      bool
	Required  bool
	CaseExact bool
	ReadOnly  bool
	Unique    bool     // within the tenant
	Always    bool     // it is returned whether or not it was asked for
	Canonical []string // usual values
	Refers    []string // what a reference refers to
	Doc       string
	Sub       []Attribute
}

func (a *Attribute) kind() string {
	if a.Kind == "" {
		return text
	}
	return a.Kind
}

func find(in []Attribute, name string) *Attribute {
	for i := range in {
		if strings.EqualFold(in[i].Name, name) {
			return &in[i]
		}
	}
	return nil
}

// Type is a type of resources.
type Type struct {
	Name, Plural string
	Schema       string
	Doc          string
	Attributes   []Attribute
	Extension    string // URN of the optional one, or ""
	Extended     []Attribute
}

// common are the attributes of every resource (RFC 7643, section 3.1).
var common = []Attribute{
	{Name: "id", CaseExact: true, ReadOnly: true, Always: true},
	{Name: "externalId", CaseExact: true},
	{Name: "schemas", Kind: reference, Many: true, CaseExact: true, ReadOnly: true, Always: true},
	{Name: "meta", Kind: complexly, ReadOnly: true, Sub: []Attribute{
		{Name: "resourceType", CaseExact: true, ReadOnly: true}, {Name: "created", Kind: moment, ReadOnly: true},
		{Name: "lastModified", Kind: moment, ReadOnly: true}, {Name: "location", CaseExact: true, ReadOnly: true},
		{Name: "version", CaseExact: true, ReadOnly: true},
	}},
}

func plural(doc string, canonical []string, value Attribute) []Attribute {
	value.Name, value.Doc = "value", doc
	return []Attribute{
		value, {Name: "display", Doc: "How it is shown."},
		{Name: "type", Canonical: canonical, Doc: "What it is for."},
		{Name: "primary", Kind: boolean, Doc: "Whether it is the preferred one; one is at the most."},
	}
}

// User is the type of users.
var User = &Type{
	Name: "User", Plural: "Users", Schema: UserSchema, Doc: "User Account", Extension: EnterpriseSchema,
	Attributes: []Attribute{
		{Name: "userName", Required: true, Unique: true, Doc: "What the directory calls the user, usually his address."},
		{Name: "name", Kind: complexly, Doc: "The parts of the user's name.", Sub: []Attribute{
			{Name: "formatted", Doc: "The whole name."}, {Name: "familyName", Doc: "The last name."}, {Name: "givenName", Doc: "The first name."},
			{Name: "middleName", Doc: "The middle names."}, {Name: "honorificPrefix", Doc: "The title before the name."},
			{Name: "honorificSuffix", Doc: "What follows the name."},
		}},
		{Name: "displayName", Doc: "The name to be shown."},
		{Name: "nickName", Doc: "The casual name."},
		{Name: "profileUrl", Kind: reference, Refers: []string{"external"}, Doc: "A page about the user."},
		{Name: "title", Doc: "The user's title."},
		{Name: "userType", Doc: "What relates the user to the organisation."},
		{Name: "preferredLanguage", Doc: "As in Accept-Language."},
		{Name: "locale", Doc: "A language tag."},
		{Name: "timezone", Doc: "A name of the IANA time zone database."},
		{Name: "active", Kind: boolean, Doc: "Whether the user may enter the tenant."},
		{Name: "emails", Kind: complexly, Many: true, Doc: "The user's addresses.", Sub: plural("An address.", []string{"work", "home", "other"}, Attribute{})},
		{Name: "phoneNumbers", Kind: complexly, Many: true, Doc: "The user's phone numbers.",
			Sub: plural("A number.", []string{"work", "home", "mobile", "fax", "pager", "other"}, Attribute{})},
		{Name: "addresses", Kind: complexly, Many: true, Doc: "Where the user is.", Sub: []Attribute{
			{Name: "formatted", Doc: "The whole address."}, {Name: "streetAddress", Doc: "Street and number."}, {Name: "locality", Doc: "The city."},
			{Name: "region", Doc: "The region."}, {Name: "postalCode", Doc: "The postal code."}, {Name: "country", Doc: "ISO 3166-1 alpha-2."},
			{Name: "type", Canonical: []string{"work", "home", "other"}, Doc: "What it is for."},
			{Name: "primary", Kind: boolean, Doc: "Whether it is the preferred one."},
		}},
		{Name: "groups", Kind: complexly, Many: true, ReadOnly: true, Doc: "The groups that the user is in.", Sub: []Attribute{
			{Name: "value", CaseExact: true, ReadOnly: true, Doc: "The group's id."},
			{Name: "$ref", Kind: reference, Refers: []string{"Group"}, CaseExact: true, ReadOnly: true, Doc: "The group's address."},
			{Name: "display", ReadOnly: true, Doc: "The group's name."},
			{Name: "type", ReadOnly: true, Canonical: []string{"direct"}, Doc: "Groups are not nested."},
		}},
	},
	Extended: []Attribute{
		{Name: "employeeNumber", Doc: "The number of the employee."}, {Name: "costCenter", Doc: "The cost center."},
		{Name: "organization", Doc: "The organization."}, {Name: "division", Doc: "The division."}, {Name: "department", Doc: "The department."},
		{Name: "manager", Kind: complexly, Doc: "The user's manager.", Sub: []Attribute{
			{Name: "value", CaseExact: true, Doc: "The id of the manager."},
			{Name: "$ref", Kind: reference, Refers: []string{"User"}, CaseExact: true, Doc: "The address of the manager."},
			{Name: "displayName", ReadOnly: true, Doc: "The name of the manager."},
		}},
	},
}

// Group is the type of groups.
var Group = &Type{
	Name: "Group", Plural: "Groups", Schema: GroupSchema, Doc: "Group",
	Attributes: []Attribute{
		{Name: "displayName", Required: true, Unique: true, Doc: "The group's name."},
		{Name: "members", Kind: complexly, Many: true, Doc: "Who is in the group.", Sub: []Attribute{
			{Name: "value", CaseExact: true, Doc: "The user's id."},
			{Name: "$ref", Kind: reference, Refers: []string{"User"}, CaseExact: true, Doc: "The user's address."},
			{Name: "display", ReadOnly: true, Doc: "What the directory calls the user."},
			{Name: "type", Canonical: []string{"User"}, Doc: "Groups are not nested."},
		}},
	},
}

// Types are all of them.
var Types = []*Type{User, Group}

// attribute finds a top-level attribute; of the schema that urn names, or of the core for
// "". The second value is the URN under which it lies in a resource, "" for the core.
func (t *Type) attribute(urn, name string) (*Attribute, string) {
	switch {
	case urn != "" && strings.EqualFold(urn, t.Extension):
		return find(t.Extended, name), t.Extension
	case urn != "" && !strings.EqualFold(urn, t.Schema):
		return nil, ""
	}
	if a := find(t.Attributes, name); a != nil {
		return a, ""
	}
	return find(common, name), ""
}
