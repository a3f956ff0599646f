package models

import (
	"slices"

	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
)

// ActionsOn are all actions that mean something on objects of the kind.
func ActionsOn(kind string) []string {
	if kind == Tenant {
		return slices.Concat(permissionapi.Actions, permissionapi.Administration)
	}
	return permissionapi.Actions
}

// Strongest is the strength of the strongest of permissionapi.Actions among the actions, and -1 if
// there is none.
func Strongest(actions []string) int {
	strongest := -1
	for _, a := range actions {
		strongest = max(strongest, Strength(a))
	}
	return strongest
}

// Need is what one needs on an object to give or take a grant of a role with the actions
// there: to share, at least, for those that are inherited, and to have what is not. A
// denial takes who manages.
func Need(object string, actions []string, deny bool) []string {
	var need []string
	switch strongest := Strongest(actions); {
	case deny && strongest >= 0:
		need = append(need, "manage")
	case strongest >= 0:
		need = append(need, permissionapi.Actions[max(strongest, Strength("share"))])
	}
	if kind, _ := Split(object); kind != Tenant {
		return need
	}
	for _, a := range permissionapi.Administration {
		if slices.Contains(actions, a) {
			need = append(need, a)
		}
	}
	return need
}
