package relations

import (
	"fmt"
	"strings"

	openfgav1 "github.com/openfga/api/proto/openfga/v1"
	"github.com/openfga/language/pkg/go/transformer"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
)

// The relations that tuples are written for. Allow and deny are followed by "_" and an
// action: a role is written as one tuple for each action that it covers, which makes a
// check look at one relation an object instead of six.
const (
	Parent = "parent"
	Member = "member"
	Admin  = "admin"
	allow  = "allow"
	deny   = "deny"
)

// Allow is the relation of those who were given the action.
func Allow(action string) string { return allow + "_" + word(action) }

// Deny is the relation of those who were denied the action.
func Deny(action string) string { return deny + "_" + word(action) }

// can is the relation that is asked for.
func can(action string) string { return "can_" + word(action) }

// word is the action as a part of a relation's name.
func word(action string) string { return strings.ReplaceAll(action, ".", "_") }

// The conditions of tuples. windows are the networks in which a grant holds ("" for
// anywhere), each with the time at which it ends. What is denied is denied to an address
// that is not known, too.
const conditions = `
condition granted(now: timestamp, ip: string, windows: map<timestamp>) {
  windows.exists(net, now < windows[net] && (net == "" || (ip != "" && ipaddress(ip).in_cidr(net))))
}
condition denied(now: timestamp, ip: string, windows: map<timestamp>) {
  windows.exists(net, now < windows[net] && (net == "" || ip == "" || ipaddress(ip).in_cidr(net)))
}
`

// The conditions' names.
const (
	granted = "granted"
	denied  = "denied"
)

// language is the model in OpenFGA's own words.
func language() string {
	var b strings.Builder
	b.WriteString("model\n  schema 1.1\n\ntype user\n\ntype group\n  relations\n    define member: [user]\n")
	for _, kind := range []struct{ name, parent string }{
		{models.Tenant, ""}, {models.Workspace, "tenant"}, {models.Base, "workspace, tenant"}, {models.Table, "base"},
	} {
		fmt.Fprintf(&b, "\ntype %s\n  relations\n", kind.name)
		has, lost := " or admin", ""
		if kind.parent == "" {
			b.WriteString("    define admin: [user]\n    define member: [user]\n")
		} else {
			fmt.Fprintf(&b, "    define parent: [%s]\n", kind.parent)
		}
		for _, a := range permissionapi.Actions {
			if kind.parent != "" {
				has, lost = fmt.Sprintf(" or has_%s from parent", a), fmt.Sprintf(" or lost_%s from parent", a)
			}
			also := ""
			if kind.parent == "" && models.MemberMay(a) {
				also = " or member"
			}
			given(&b, a)
			fmt.Fprintf(&b, "    define has_%s: allow_%s%s\n", a, a, has)
			fmt.Fprintf(&b, "    define lost_%s: deny_%s%s\n", a, a, lost)
			fmt.Fprintf(&b, "    define can_%s: (has_%s%s) but not lost_%s\n", a, a, also, a)
		}
		if kind.parent == "" {
			administration(&b)
		}
	}
	return b.String() + conditions
}

// given are the relations that tuples are written for.
func given(b *strings.Builder, action string) {
	fmt.Fprintf(b, "    define %s: [user, group#member, user with granted, group#member with granted]\n", Allow(action))
	fmt.Fprintf(b, "    define %s: [user, group#member, user with denied, group#member with denied]\n", Deny(action))
}

// administration is what is done with a tenant itself: nothing inherits it, and owners
// and admins have it whatever is denied to them.
func administration(b *strings.Builder) {
	for _, a := range permissionapi.Administration {
		given(b, a)
		fmt.Fprintf(b, "    define %s: admin or (%s but not %s)\n", can(a), Allow(a), Deny(a))
	}
}

// model is the one model, which is a part of the program: every tenant's store has it.
func model() (*openfgav1.AuthorizationModel, error) {
	m, err := transformer.TransformDSLToProto(language())
	if err != nil {
		return nil, fmt.Errorf("read the model: %w", err)
	}
	m.Id = modelID
	return m, nil
}
