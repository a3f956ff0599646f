// Package routes makes the gateway's route table from what the services declare. A later
// service adds its declaration to the catalog and nothing here.
package routes

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
)

// Route is one line of the table.
type Route struct {
	Name    string // of the operation, or the prefix; the label of metrics and logs
	Method  string // "" for any
	Path    string // OpenAPI's form; of a prefix, the prefix
	Prefix  bool   // everything below Path
	Service string

	Public     bool // a missing or invalid token passes; the service sees nobody
	Own        bool // the service checks credentials of its own; Authorization passes as it was sent
	Rate       string
	Timeout    time.Duration // until the answer begins
	BodyLimit  int64
	Replayable bool // a request with an Idempotency-Key may be sent twice
	// Airtable routes answer errors in Airtable's shapes and are open to any origin, as
	// Airtable's are.
	Airtable bool
}

// DefaultRate is the class of routes that name none.
const DefaultRate = "default"

const airtablePrefix = "/v0/"

// Table lists the routes of the services: those of an access that the gateway routes.
func Table(services []api.Service) ([]Route, error) {
	var table []Route
	seen := map[string]string{}
	for _, s := range services {
		for _, op := range s.Ops {
			if op.Access.Routed() {
				table = append(table, ofOp(s.Name, op))
			}
		}
		for _, raw := range s.Raw {
			if raw.Access.Routed() {
				table = append(table, ofRaw(s.Name, raw))
			}
		}
	}
	for _, r := range table {
		key := r.Method + " " + shape(r.Path)
		if other, taken := seen[key]; taken {
			return nil, fmt.Errorf("%s and %s both offer %s %s", other, r.Service, r.Method, r.Path)
		}
		if strings.HasPrefix(r.Path, "/internal/") {
			return nil, fmt.Errorf("%s offers %s to everybody", r.Service, r.Path)
		}
		seen[key] = r.Service
	}
	sort.SliceStable(table, func(i, j int) bool { return len(table[i].Path) > len(table[j].Path) })
	return table, nil
}

// shape is a path without its parameters' names.
func shape(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if strings.HasPrefix(p, "{") {
			parts[i] = "{}"
		}
	}
	return strings.Join(parts, "/")
}

func ofOp(service string, op api.Spec) Route {
	r := Route{
		Name: op.Name, Method: op.Method, Path: op.Path, Service: service, Public: op.Access == api.Public,
		Rate: op.Rate, Timeout: op.Timeout, BodyLimit: op.BodyLimit, Replayable: op.Idempotent,
	}
	return r.complete()
}

func ofRaw(service string, raw api.RawRoute) Route {
	r := Route{
		Name: raw.Prefix, Path: raw.Prefix, Prefix: strings.HasSuffix(raw.Prefix, "/"), Service: service,
		Public: raw.Access == api.Public, Own: raw.Access == api.Own, Rate: raw.Rate, Timeout: raw.Timeout, BodyLimit: raw.BodyLimit,
	}
	return r.complete()
}

func (r Route) complete() Route {
	if r.Rate == "" {
		r.Rate = DefaultRate
	}
	if r.Timeout == 0 {
		r.Timeout = api.DefaultTimeout
	}
	if r.BodyLimit == 0 {
		r.BodyLimit = api.DefaultBodyLimit
	}
	r.Airtable = strings.HasPrefix(r.Path, airtablePrefix)
	return r
}

// Gin is the path in Gin's form.
func (r Route) Gin() string {
	return strings.NewReplacer("{", ":", "}", "").Replace(r.Path)
}
