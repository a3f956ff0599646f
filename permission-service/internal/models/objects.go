// Package models holds the rules of permission-service that need no I/O.
package models

import (
	"regexp"
	"slices"
	"strings"

	"github.com/pyairtable/pyairtable/pkg/id"
)

// The kinds of objects, the widest first.
const (
	Tenant    = "tenant"
	Workspace = "workspace"
	Base      = "base"
	Table     = "table"
)

// The kinds of subjects.
const (
	User  = "user"
	Group = "group"
)

var airtableName = regexp.MustCompile(`^[A-Za-z0-9]{1,40}$`)

// Split is the kind and the id of an object or a subject.
func Split(name string) (kind, rest string) {
	kind, rest, _ = strings.Cut(name, ":")
	return kind, rest
}

func isID(s string) bool {
	_, err := id.Parse[struct{}](s)
	return err == nil && s == strings.ToLower(s)
}

// TenantObject is the tenant as an object.
func TenantObject(t id.TenantID) string { return Tenant + ":" + t.String() }

// WorkspaceObject is a workspace as an object.
func WorkspaceObject(workspace string) string { return Workspace + ":" + workspace }

// BaseObject is a base as an object.
func BaseObject(t id.TenantID, base string) string { return Base + ":" + t.String() + "/" + base }

// TablesPrefix begins the names of the base's tables.
func TablesPrefix(t id.TenantID, base string) string {
	return Table + ":" + t.String() + "/" + base + "/"
}

// TableObject is a table as an object.
func TableObject(t id.TenantID, base, table string) string { return TablesPrefix(t, base) + table }

// UserSubject is a user as a subject.
func UserSubject(user string) string { return User + ":" + user }

// GroupSubject is a group as a subject.
func GroupSubject(group string) string { return Group + ":" + group }

// IsObject reports whether the name is one of an object that the tenant may have.
// Workspaces do not tell whose they are.
func IsObject(t id.TenantID, name string) bool {
	kind, rest := Split(name)
	parts := strings.Split(rest, "/")
	switch kind {
	case Tenant:
		return rest == t.String()
	case Workspace:
		return isID(rest)
	case Base:
		return len(parts) == 2 && parts[0] == t.String() && airtableName.MatchString(parts[1])
	case Table:
		return len(parts) == 3 && parts[0] == t.String() && airtableName.MatchString(parts[1]) && airtableName.MatchString(parts[2])
	}
	return false
}

// IsSubject reports whether the name is one of a user or a group.
func IsSubject(name string) bool {
	kind, rest := Split(name)
	return (kind == User || kind == Group) && isID(rest)
}

// IsUser reports whether the name is one of a user.
func IsUser(name string) bool {
	kind, rest := Split(name)
	return kind == User && isID(rest)
}

// BaseOf is the base that a table lies in, which its name tells, and "" for what is none.
func BaseOf(table string) string {
	kind, rest := Split(table)
	if kind != Table {
		return ""
	}
	return Base + ":" + rest[:strings.LastIndexByte(rest, '/')]
}

// MayLie reports whether an object of the tenant may lie in the parent.
func MayLie(t id.TenantID, object, parent string) bool {
	if !IsObject(t, object) || !IsObject(t, parent) {
		return false
	}
	kind, _ := Split(object)
	in, _ := Split(parent)
	switch kind {
	case Workspace:
		return in == Tenant
	case Base:
		return in == Tenant || in == Workspace
	case Table:
		return parent == BaseOf(object)
	}
	return false
}

// Place is where an object lies, as it is stored.
type Place struct {
	Object string
	Parent string
	Gone   bool // taken out of the tree
}

// ParentOf is what the object lies in, "" for nothing. known is its own place, if it has
// one. A base lies in its tenant when it lies nowhere else, and a table in its base; a
// workspace that has gone lies nowhere, and what was in it in the tenant.
func ParentOf(t id.TenantID, object string, places map[string]Place) string {
	kind, _ := Split(object)
	at, known := places[object]
	switch kind {
	case Workspace:
		if !known || at.Gone {
			return ""
		}
		return TenantObject(t)
	case Base:
		if !known || at.Gone || places[at.Parent].Gone {
			return TenantObject(t)
		}
		return at.Parent
	case Table:
		return BaseOf(object)
	}
	return ""
}

// Chain is the object and what it lies in, the nearest first. parents place what has no
// place yet; those that make no sense are passed over.
func Chain(t id.TenantID, object string, places map[string]Place, parents []string) []string {
	chain := []string{object}
	for {
		last := chain[len(chain)-1]
		next := ParentOf(t, last, places)
		kind, _ := Split(last)
		if at, known := places[last]; kind == Workspace && (!known && len(chain) > 1 || known && !at.Gone) {
			next = TenantObject(t) // it is one, since something was put into it
		} else if !known && (kind == Workspace || kind == Base) {
			for _, p := range parents {
				if MayLie(t, last, p) && !places[p].Gone {
					next = p
					break
				}
			}
		}
		if next == "" || slices.Contains(chain, next) {
			return chain
		}
		chain = append(chain, next)
	}
}
