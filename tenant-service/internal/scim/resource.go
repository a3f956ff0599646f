package scim

import (
	"encoding/base64"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// maxText bounds a string of a resource, in characters.
const maxText = 2000

// Read makes a resource of what a client sent for a create or a replacement: attributes
// as the schemas spell them. What is unknown or read-only is left out, as RFC 7644,
// sections 3.3 and 3.5.1, want it.
func (t *Type) Read(in map[string]any) (map[string]any, error) {
	if !namesSchema(in, t.Schema) {
		return nil, refuse(InvalidSyntax, "schemas has to hold %s.", t.Schema)
	}
	out := map[string]any{}
	for name, v := range in {
		switch urn, ext := t.extension(name); {
		case ext:
			m, ok := v.(map[string]any)
			if !ok && v != nil {
				return nil, refuse(InvalidValue, "%s has to be an object.", name)
			}
			read, err := readAll(t.Extended, m)
			if err != nil {
				return nil, err
			}
			put(out, urn, read)
		default:
			a, _ := t.attribute("", name)
			if a == nil || a.ReadOnly {
				continue
			}
			read, err := a.read(v)
			if err != nil {
				return nil, err
			}
			put(out, a.Name, read)
		}
	}
	return out, t.Check(out)
}

func (t *Type) extension(name string) (string, bool) {
	return t.Extension, t.Extension != "" && strings.EqualFold(name, t.Extension)
}

func namesSchema(in map[string]any, urn string) bool {
	for name, v := range in {
		if strings.EqualFold(name, "schemas") {
			list, _ := v.([]any)
			return slices.ContainsFunc(list, func(v any) bool {
				s, ok := v.(string)
				return ok && strings.EqualFold(s, urn)
			})
		}
	}
	return false
}

// Check refuses a resource that lacks what is required, or prefers two values at once.
func (t *Type) Check(resource map[string]any) error {
	for _, a := range t.Attributes {
		if v, ok := resource[a.Name]; a.Required && (!ok || v == "") {
			return refuse(InvalidValue, "%s is required.", a.Name)
		}
		primaries := 0
		for _, v := range each(resource[a.Name]) {
			if m, ok := v.(map[string]any); ok && m["primary"] == true {
				primaries++
			}
		}
		if primaries > 1 {
			return refuse(InvalidValue, "Only one of %s can be primary.", a.Name)
		}
	}
	return nil
}

// put sets an attribute; what is empty has no value.
func put(in map[string]any, name string, v any) {
	switch v := v.(type) {
	case nil:
		delete(in, name)
		return
	case []any:
		if len(v) == 0 {
			delete(in, name)
			return
		}
	case map[string]any:
		if len(v) == 0 {
			delete(in, name)
			return
		}
	}
	in[name] = v
}

// readAll reads the sub-attributes of a complex value.
func readAll(defs []Attribute, in map[string]any) (map[string]any, error) {
	out := map[string]any{}
	for name, v := range in {
		a := find(defs, name)
		if a == nil || a.ReadOnly {
			continue
		}
		read, err := a.read(v)
		if err != nil {
			return nil, err
		}
		put(out, a.Name, read)
	}
	return out, nil
}

// read checks a value of the attribute, all of it if there may be many. nil is no value.
func (a *Attribute) read(v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	if !a.Many {
		return a.one(v)
	}
	out := []any{}
	for _, e := range each(v) {
		read, err := a.one(e)
		if err != nil {
			return nil, err
		}
		out = append(out, read)
	}
	return out, nil
}

// one checks a single value. Booleans may come as strings, as some directories send them,
// and a complex value as its value alone.
func (a *Attribute) one(v any) (any, error) {
	switch a.kind() {
	case complexly:
		if s, ok := v.(string); ok && find(a.Sub, "value") != nil {
			v = map[string]any{"value": s}
		}
		if m, ok := v.(map[string]any); ok {
			return readAll(a.Sub, m)
		}
		return nil, refuse(InvalidValue, "%s has to be an object.", a.Name)
	case boolean:
		switch b := v.(type) {
		case bool:
			return b, nil
		case string:
			if strings.EqualFold(b, "true") || strings.EqualFold(b, "false") {
				return strings.EqualFold(b, "true"), nil
			}
		}
		return nil, refuse(InvalidValue, "%s has to be true or false.", a.Name)
	case moment:
		if s, ok := v.(string); ok {
			if _, err := time.Parse(time.RFC3339, s); err == nil {
				return s, nil
			}
		}
		return nil, refuse(InvalidValue, "%s has to be a time.", a.Name)
	}
	s, ok := v.(string)
	if !ok || utf8.RuneCountInString(s) > maxText || !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		return nil, refuse(InvalidValue, "%s has to be a string of at most %d characters.", a.Name, maxText)
	}
	return s, nil
}

// Clone copies a resource.
func Clone(resource map[string]any) map[string]any {
	out := make(map[string]any, len(resource))
	for k, v := range resource {
		out[k] = clone(v)
	}
	return out
}

func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return Clone(v)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = clone(e)
		}
		return out
	}
	return v
}

// Same reports whether two resources are equal.
func Same(a, b map[string]any) bool { return reflect.DeepEqual(a, b) }

// Text is the string that the resource has there, or "".
func Text(resource map[string]any, names ...string) string {
	var v any = resource
	for _, n := range names {
		m, _ := v.(map[string]any)
		v = m[n]
	}
	s, _ := v.(string)
	return s
}

// Preferred is the value of the attribute's primary value, or of its first.
func Preferred(resource map[string]any, name string) string {
	var first string
	for _, v := range each(resource[name]) {
		m, _ := v.(map[string]any)
		s, _ := m["value"].(string)
		if m["primary"] == true {
			return s
		}
		if first == "" {
			first = s
		}
	}
	return first
}

// Values are the "value"s of the attribute.
func Values(resource map[string]any, name string) (out []string) {
	for _, v := range each(resource[name]) {
		m, _ := v.(map[string]any)
		s, _ := m["value"].(string)
		out = append(out, s)
	}
	return out
}

// View is which attributes of a resource are shown (RFC 7644, section 3.9).
type View struct {
	only, without []target
	restricted    bool
}

// View reads the lists of attributes to show, or to leave out. Names that are unknown are
// passed over.
func (t *Type) View(attributes, excluded []string) (View, error) {
	if len(attributes) > 0 && len(excluded) > 0 {
		return View{}, refuse(InvalidValue, "attributes and excludedAttributes exclude each other.")
	}
	return View{only: t.targets(attributes), without: t.targets(excluded), restricted: len(attributes) > 0}, nil
}

func (t *Type) targets(names []string) (out []target) {
	for _, n := range names {
		n = strings.TrimSpace(n)
		if urn, ext := t.extension(n); ext {
			out = append(out, target{urn: urn})
			continue
		}
		if at, ok := t.resolve(n); ok {
			out = append(out, at)
		}
	}
	return out
}

// Shows reports whether the top-level attribute of the core schema may be needed.
func (v View) Shows(name string) bool {
	is := func(t target) bool { return t.urn == "" && t.attr.Name == name }
	if v.restricted {
		return slices.ContainsFunc(v.only, is)
	}
	return !slices.ContainsFunc(v.without, func(t target) bool { return is(t) && t.sub == nil })
}

// Of is the resource as it is shown.
func (v View) Of(resource map[string]any) map[string]any {
	if v.restricted {
		out := map[string]any{}
		for _, name := range []string{"id", "schemas"} {
			if value, ok := resource[name]; ok {
				out[name] = value
			}
		}
		for _, t := range v.only {
			t.copy(resource, out)
		}
		return out
	}
	out := Clone(resource)
	for _, t := range v.without {
		t.drop(out)
	}
	return out
}

func (t target) copy(from, to map[string]any) {
	if t.attr == nil {
		put(to, t.urn, from[t.urn])
		return
	}
	if t.urn != "" {
		inner, _ := from[t.urn].(map[string]any)
		kept, _ := to[t.urn].(map[string]any)
		kept = maps.Clone(kept)
		if kept == nil {
			kept = map[string]any{}
		}
		target{attr: t.attr, sub: t.sub}.copy(inner, kept)
		put(to, t.urn, kept)
		return
	}
	v, ok := from[t.attr.Name]
	if !ok {
		return
	}
	if t.sub == nil {
		to[t.attr.Name] = v
		return
	}
	keep := func(full, had any) map[string]any {
		out := map[string]any{}
		if h, ok := had.(map[string]any); ok {
			maps.Copy(out, h)
		}
		if m, ok := full.(map[string]any); ok {
			put(out, t.sub.Name, m[t.sub.Name])
		}
		return out
	}
	list, many := v.([]any)
	if !many {
		put(to, t.attr.Name, keep(v, to[t.attr.Name]))
		return
	}
	had, _ := to[t.attr.Name].([]any)
	out := make([]any, len(list))
	for i, e := range list {
		var h any
		if i < len(had) {
			h = had[i]
		}
		out[i] = keep(e, h)
	}
	put(to, t.attr.Name, out)
}

func (t target) drop(from map[string]any) {
	if t.attr == nil {
		delete(from, t.urn)
		return
	}
	if t.urn != "" {
		from, _ = from[t.urn].(map[string]any)
	}
	if t.attr.Always || from == nil {
		return
	}
	if t.sub == nil {
		delete(from, t.attr.Name)
		return
	}
	for _, e := range each(from[t.attr.Name]) {
		if m, ok := e.(map[string]any); ok {
			delete(m, t.sub.Name)
		}
	}
}

// Complete adds what every resource shows.
func (t *Type) Complete(resource map[string]any, base, id, version string, created, modified time.Time) map[string]any {
	schemas := []any{t.Schema}
	if t.Extension != "" && resource[t.Extension] != nil {
		schemas = append(schemas, t.Extension)
	}
	resource["schemas"], resource["id"] = schemas, id
	resource["meta"] = map[string]any{
		"resourceType": t.Name, "created": created.Format(time.RFC3339Nano), "lastModified": modified.Format(time.RFC3339Nano),
		"location": base + "/" + t.Plural + "/" + id, "version": version,
	}
	return resource
}

// ETag is a weak one of a version.
func ETag(version string) string {
	return `W/"` + base64.RawURLEncoding.EncodeToString([]byte(version)) + `"`
}

// ListOf is an answer to a query.
func ListOf(resources []map[string]any, total, start int) map[string]any {
	if resources == nil {
		resources = []map[string]any{}
	}
	return map[string]any{
		"schemas": []string{listSchema}, "totalResults": total, "startIndex": start, "itemsPerPage": len(resources), "Resources": resources,
	}
}
