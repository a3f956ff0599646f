package cache

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
)

// graph is which tables show cells of which, as a base's schema tells. nil knows no
// table.
type graph map[string]*node // by id and by name, both as tablePart

type node struct {
	ID    string   `json:"id"`
	Name  string   `json:"name"`
	Shown []string `json:"shown"` // ids of the tables that show cells of this one, itself among them
}

// graphTrust is how long a schema is believed at the most: fields made in Airtable's own
// pages are not heard of.
const graphTrust = 10 * time.Minute

// graphKey names the graph of a site, which all its connections share.
var graphKey key = sha256.Sum256([]byte("graph"))

// learn keeps the graph of a schema that was just read.
func (d door) learn(ctx context.Context, w wish, e *entry, m mark) {
	nodes, err := nodesOf(e.body)
	if err != nil {
		return // Airtable answered something new; writes then drop the base
	}
	body, err := json.Marshal(nodes)
	if err != nil {
		return
	}
	m.part = m.base // a new choice of a field changes the schema, and no link
	g := newEntry(upstream.Answer{Body: body}, m, e.born)
	d.store.save(ctx, w.site, siteKey(w.site, graphKey), g, graphTrust, d.opts.Now())
}

// siteKey tells the keys of sites apart in the front.
func siteKey(s site, k key) key {
	return sha256.Sum256([]byte(string(k[:]) + s.origin + "\x00" + s.base))
}

// graph returns what is known of the base's tables and nothing newer was written to.
func (d door) graph(ctx context.Context, at site) graph {
	m, err := d.marks.of(context.WithoutCancel(ctx), place{at, whole})
	if err != nil || m.alone {
		return nil
	}
	e := d.lookUp(ctx, at, siteKey(at, graphKey), m, control{maxAge: graphTrust, maxStale: -1})
	if e == nil || e.age(d.opts.Now()) > min(graphTrust, d.conn.Settings.Freshness) {
		return nil
	}
	var nodes []*node
	if json.Unmarshal(e.body, &nodes) != nil {
		return nil
	}
	g := graph{}
	for _, n := range nodes {
		g[tablePart(n.ID)], g[tablePart(n.Name)] = n, n
	}
	return g
}

func (g graph) knows(table string) bool { return g[tablePart(table)] != nil }

// names are the parts by which the table may have been asked for.
func (g graph) names(table string) []string {
	n := g[tablePart(table)]
	return []string{tablePart(n.ID), tablePart(n.Name)}
}

// shownIn are the parts of all tables that show cells of the table.
func (g graph) shownIn(table string) []string {
	var parts []string
	for _, id := range g[tablePart(table)].Shown {
		parts = append(parts, g.names(id)...)
	}
	return parts
}

type schemaTable struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Primary string `json:"primaryFieldId"`
	Fields  []struct {
		ID      string `json:"id"`
		Type    string `json:"type"`
		Options struct {
			Linked string `json:"linkedTableId"`
			Link   string `json:"recordLinkFieldId"`
		} `json:"options"`
	} `json:"fields"`
}

// nodesOf reads a schema. A write to a table shows in the tables that link to it or that
// it links to: their links, and the names of linked records. From there it goes on to
// the tables that look up, count or roll up cells of these, or show their primary field
// where that is computed.
func nodesOf(schema []byte) ([]*node, error) {
	var in struct {
		Tables []schemaTable `json:"tables"`
	}
	if err := json.Unmarshal(schema, &in); err != nil {
		return nil, err
	}
	near, far := map[string][]string{}, map[string][]string{}
	computed := map[string]bool{}
	for _, t := range in.Tables {
		computed[t.ID] = t.computesPrimary()
	}
	for _, t := range in.Tables {
		used := t.lookedThrough()
		for _, f := range t.Fields {
			to := f.Options.Linked
			if to == "" {
				continue
			}
			near[to] = append(near[to], t.ID)
			near[t.ID] = append(near[t.ID], to)
			if used[f.ID] || computed[to] {
				far[to] = append(far[to], t.ID)
			}
		}
	}
	var nodes []*node
	for _, t := range in.Tables {
		shown := append([]string{t.ID}, near[t.ID]...)
		for i := 0; i < len(shown); i++ {
			for _, next := range far[shown[i]] {
				if !slices.Contains(shown, next) {
					shown = append(shown, next)
				}
			}
		}
		slices.Sort(shown)
		nodes = append(nodes, &node{ID: t.ID, Name: t.Name, Shown: slices.Compact(shown)})
	}
	return nodes, nil
}

// lookedThrough are the link fields through which other fields of the table see cells of
// another one.
func (t schemaTable) lookedThrough() map[string]bool {
	used := map[string]bool{}
	for _, f := range t.Fields {
		if f.Options.Link != "" {
			used[f.Options.Link] = true
		}
	}
	return used
}

// computesPrimary reports whether the table's records are named by something that
// changes without being written. Any type but plain text and the like may.
func (t schemaTable) computesPrimary() bool {
	for _, f := range t.Fields {
		if f.ID == t.Primary {
			switch f.Type {
			case "formula", "rollup", "lookup", "multipleLookupValues", "count", "multipleRecordLinks":
				return true
			}
		}
	}
	return false
}
