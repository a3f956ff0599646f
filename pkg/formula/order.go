package formula

import (
	"maps"
	"slices"
)

// Plan says in which order computed fields are computed.
type Plan struct {
	// Order holds every field that can be computed, each after all that it needs, and
	// otherwise by id.
	Order []string

	// Cyclic holds, sorted, the fields that cannot be: they need themselves, or a field
	// that does.
	Cyclic []string

	// Cycle is one circle of fields, each needing the next and the last the first; nil
	// if there is none.
	Cycle []string

	users map[string][]string
}

// Order plans fields that need others, by id; what is needed but no key of needs is
// a plain field. It takes time in proportion to the number of needs and does not
// recurse.
func Order(needs map[string][]string) Plan {
	p := Plan{users: map[string][]string{}}
	open := map[string]int{} // needs that are not yet computed
	ids := slices.Sorted(maps.Keys(needs))
	for _, id := range ids {
		for _, need := range unique(needs[id]) {
			p.users[need] = append(p.users[need], id)
			if _, computed := needs[need]; computed {
				open[id]++
			}
		}
	}
	var ready []string
	for _, id := range ids {
		if open[id] == 0 {
			ready = append(ready, id)
		}
	}
	for len(ready) > 0 {
		id := ready[0]
		ready = ready[1:]
		p.Order = append(p.Order, id)
		for _, user := range p.users[id] {
			if open[user]--; open[user] == 0 {
				ready = append(ready, user)
			}
		}
	}
	for _, id := range ids {
		if open[id] > 0 {
			p.Cyclic = append(p.Cyclic, id)
		}
	}
	p.Cycle = circle(needs, p.Cyclic)
	return p
}

func unique(ids []string) []string { return slices.Compact(slices.Sorted(slices.Values(ids))) }

// circle walks from one stuck field to a stuck field that it needs, until it meets
// one again.
func circle(needs map[string][]string, stuck []string) []string {
	if len(stuck) == 0 {
		return nil
	}
	isStuck := make(map[string]bool, len(stuck))
	for _, id := range stuck {
		isStuck[id] = true
	}
	at := map[string]int{}
	var path []string
	for id := stuck[0]; ; {
		if i, met := at[id]; met {
			return path[i:]
		}
		at[id] = len(path)
		path = append(path, id)
		for _, need := range unique(needs[id]) {
			if isStuck[need] {
				id = need
				break
			}
		}
	}
}

// After returns, in order, the fields that must be computed again when the given
// ones have changed.
func (p Plan) After(changed ...string) []string {
	dirty := map[string]bool{}
	queue := slices.Clone(changed)
	for len(queue) > 0 {
		id := queue[0]
		queue = queue[1:]
		for _, user := range p.users[id] {
			if !dirty[user] {
				dirty[user] = true
				queue = append(queue, user)
			}
		}
	}
	var out []string
	for _, id := range p.Order {
		if dirty[id] {
			out = append(out, id)
		}
	}
	return out
}
