package v0

import (
	"net/url"
	"strings"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
)

// Prefix is where the surface begins; paths given to Parse start with it.
const Prefix = "/v0"

// Parse reads method and escaped path (from /v0 on) into a Call with Op, Method,
// Path and the unescaped names set. ok is false for what Airtable answers with
// 404 {"error":"NOT_FOUND"} before it looks at the token: a path or a method it
// has no route for, a base part not shaped like an id, a record part not shaped
// like one.
//
// Ids are not checked for length: the suites of real clients use app123.
func Parse(method, escapedPath string) (c upstream.Call, ok bool) {
	rest, found := strings.CutPrefix(escapedPath, Prefix+"/")
	if !found {
		return c, false
	}
	rest = strings.TrimSuffix(rest, "/")
	names, ok := split(rest)
	if !ok {
		return c, false
	}
	for _, r := range routes[len(names)] {
		if c, ok = r.read(method, names); ok {
			c.Path = Prefix + "/" + rest
			return c, true
		}
	}
	return upstream.Call{}, false
}

// route is one of airtableapi.SurfaceRoutes, taken apart.
type route struct {
	method   string
	op       upstream.Op
	segments []segment // after /v0
}

// segment is a literal, or what a parameter's name goes to.
type segment struct {
	literal string
	kind    string // of the id that it is; "" for any name
	into    func(*upstream.Call) *string
}

var parameters = map[string]segment{
	"{baseId}":    {kind: "app", into: func(c *upstream.Call) *string { return &c.Base }},
	"{tableId}":   {into: func(c *upstream.Call) *string { return &c.Table }},
	"{fieldId}":   {into: func(c *upstream.Call) *string { return &c.Field }},
	"{recordId}":  {kind: "rec", into: func(c *upstream.Call) *string { return &c.Record }},
	"{commentId}": {kind: "com", into: func(c *upstream.Call) *string { return &c.Comment }},
	"{viewId}":    {kind: "viw", into: func(c *upstream.Call) *string { return &c.View }},
	"{webhookId}": {kind: "ach", into: func(c *upstream.Call) *string { return &c.Webhook }},
	"{syncId}":    {into: func(*upstream.Call) *string { return new(string) }},
}

// routes are those of the surface, by the number of their segments.
var routes = func() map[int][]route {
	by := map[int][]route{}
	for _, declared := range airtableapi.SurfaceRoutes {
		r := route{method: declared.Method, op: upstream.Op(declared.Does)}
		for part := range strings.SplitSeq(strings.TrimPrefix(declared.Path, Prefix+"/"), "/") {
			s, ok := parameters[part]
			if !ok {
				s.literal = part
			}
			r.segments = append(r.segments, s)
		}
		by[len(r.segments)] = append(by[len(r.segments)], r)
	}
	return by
}()

// read takes the names out of a path that is the route's.
func (r route) read(method string, names []string) (c upstream.Call, ok bool) {
	if r.method != method {
		return c, false
	}
	for i, s := range r.segments {
		if s.literal != "" && s.literal != names[i] || s.kind != "" && !isID(s.kind, names[i]) {
			return c, false
		}
	}
	c.Op, c.Method = r.op, method
	for i, s := range r.segments {
		if s.into != nil {
			*s.into(&c) = names[i]
		}
	}
	return c, true
}

// split unescapes the segments one by one. An empty segment, a broken escape, a
// NUL and the dot segments (which an upstream might resolve into another path
// than the one that was checked) make the path unknown.
func split(rest string) ([]string, bool) {
	parts := strings.Split(rest, "/")
	for i, p := range parts {
		name, err := url.PathUnescape(p)
		if err != nil || name == "" || name == "." || name == ".." || strings.ContainsRune(name, 0) {
			return nil, false
		}
		parts[i] = name
	}
	return parts, true
}

// isID reports whether s is an id of the kind: the three letters and then
// letters and digits.
func isID(prefix, s string) bool {
	rest, ok := strings.CutPrefix(s, prefix)
	if !ok || rest == "" {
		return false
	}
	for _, r := range []byte(rest) {
		if (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			return false
		}
	}
	return true
}
