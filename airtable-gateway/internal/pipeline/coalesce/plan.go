package coalesce

import (
	"slices"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/budget"
)

// batch is riders that may leave as one call.
type batch struct {
	riders   []*rider // in the order in which they came
	records  int
	size     int
	priority budget.Priority
	ready    time.Time // it need not wait for company after this; zero: at all
}

// plan makes batches of what waits, which is in the order in which it came, beside
// what is under way. Those to leave first come first.
func plan(waiting, flying []*rider, same func(a, b string) bool) []*batch {
	before := claims{same: same, ids: map[string]bool{}, tables: map[string]*held{}}
	busy := map[shape]bool{}
	for _, r := range flying {
		before.add(r.claim)
		busy[r.shape] = true
	}
	var out []*batch
	open := map[shape][]*batch{}
	for _, r := range waiting {
		free := !before.holds(r.claim)
		before.add(r.claim)
		if !free {
			continue
		}
		var b *batch
		if !r.alone {
			i := slices.IndexFunc(open[r.shape], func(b *batch) bool { return b.takes(r) })
			if i >= 0 {
				b = open[r.shape][i]
			}
		}
		if b == nil {
			b = &batch{priority: r.priority, ready: r.since.Add(gather)}
			if r.alone || !busy[r.shape] {
				b.ready = time.Time{}
			}
			out = append(out, b)
			if !r.alone {
				open[r.shape] = append(open[r.shape], b)
			}
		}
		b.add(r)
		if b.records >= models.MaxBatch {
			b.ready = time.Time{}
			open[r.shape] = slices.DeleteFunc(open[r.shape], func(o *batch) bool { return o == b })
		}
	}
	slices.SortStableFunc(out, func(a, b *batch) int { return rank(a.priority) - rank(b.priority) })
	return out
}

func (b *batch) takes(r *rider) bool {
	return b.records+len(r.write.Items) <= models.MaxBatch && b.size+r.size <= mostBytes
}

func (b *batch) add(r *rider) {
	b.riders = append(b.riders, r)
	b.records += len(r.write.Items)
	b.size += r.size
	if rank(r.priority) < rank(b.priority) {
		b.priority = r.priority
	}
}

// priorities are in the order in which they leave.
var priorities = [...]budget.Priority{budget.Interactive, budget.Automation, budget.Bulk}

func rank(p budget.Priority) int { return slices.Index(priorities[:], p) }

// claims are what earlier calls may write.
type claims struct {
	same   func(a, b string) bool // whether two spellings may mean the same table
	ids    map[string]bool
	tables map[string]*held
}

// held is what earlier calls may write of one table.
type held struct {
	some bool                       // records by their ids
	any  bool                       // any record
	by   map[string]map[string]bool // records that are found by fields: fields, keys
}

func (l *claims) add(c claim) {
	if len(c.ids) == 0 && !c.wild {
		return
	}
	h := l.tables[c.table]
	if h == nil {
		h = &held{by: map[string]map[string]bool{}}
		l.tables[c.table] = h
	}
	for _, id := range c.ids {
		l.ids[id] = true
		h.some = true
	}
	switch {
	case c.by != "":
		if h.by[c.by] == nil {
			h.by[c.by] = map[string]bool{}
		}
		for _, key := range c.keys {
			h.by[c.by][key] = true
		}
	case c.wild:
		h.any = true
	}
}

// holds reports whether an earlier call may write a record that c may write.
func (l *claims) holds(c claim) bool {
	for _, id := range c.ids {
		if l.ids[id] {
			return true
		}
	}
	if len(c.ids) == 0 && !c.wild {
		return false
	}
	for table, h := range l.tables {
		if l.same(table, c.table) && h.meets(c) {
			return true
		}
	}
	return false
}

func (h *held) meets(c claim) bool {
	switch {
	case h.any:
		return true
	case !c.wild:
		return len(h.by) > 0
	case c.by == "" || h.some:
		return true
	}
	for by, keys := range h.by {
		if by != c.by || slices.ContainsFunc(c.keys, func(k string) bool { return keys[k] }) {
			return true
		}
	}
	return false
}
