package models

import "slices"

// Administration is what is done with a tenant itself: each action by itself, none
// includes another.
var Administration = []string{
	"members.manage", "groups.manage", "service_accounts.manage", "settings.manage", "directories.manage", "billing.read", "audit.read",
}

// IsAdministration reports whether the action is one of Administration.
func IsAdministration(action string) bool { return slices.Contains(Administration, action) }

// ActionsOn are all actions that mean something on objects of the kind.
func ActionsOn(kind string) []string {
	if kind == Tenant {
		return slices.Concat(Actions, Administration)
	}
	return Actions
}

// Strongest is the strength of the strongest of Actions among the actions, and -1 if
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
		need = append(need, Actions[max(strongest, Strength("share"))])
	}
	if kind, _ := Split(object); kind != Tenant {
		return need
	}
	for _, a := range Administration {
		if slices.Contains(actions, a) {
			need = append(need, a)
		}
	}
	return need
}
