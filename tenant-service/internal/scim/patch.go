package scim

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Op is an operation of a patch (RFC 7644, section 3.5.2).
type Op struct {
	Op    string
	Path  string
	Value any
	given bool // Value, be it null
}

// maxOps bounds a patch.
const maxOps = 1000

// ReadPatch reads the body of a patch.
func ReadPatch(body []byte) ([]Op, error) {
	var in map[string]any
	if json.Unmarshal(body, &in) != nil {
		return nil, refuse(InvalidSyntax, "The body has to be a JSON object.")
	}
	if !namesSchema(in, patchSchema) {
		return nil, refuse(InvalidSyntax, "schemas has to hold %s.", patchSchema)
	}
	list, _ := member(in, "Operations").([]any)
	if len(list) == 0 || len(list) > maxOps {
		return nil, refuse(InvalidSyntax, "Operations has to hold 1 to %d operations.", maxOps)
	}
	ops := make([]Op, len(list))
	for i, v := range list {
		m, ok := v.(map[string]any)
		name, _ := member(m, "op").(string)
		path, isText := member(m, "path").(string)
		if !ok || !isText && member(m, "path") != nil {
			return nil, refuse(InvalidSyntax, "An operation has to be an object with op, path and value.")
		}
		ops[i] = Op{Op: strings.ToLower(name), Path: strings.TrimSpace(path), Value: member(m, "value")}
		for k := range m {
			ops[i].given = ops[i].given || strings.EqualFold(k, "value")
		}
		if !slices.Contains([]string{"add", "remove", "replace"}, ops[i].Op) {
			return nil, refuse(InvalidSyntax, "%q is no operation.", name)
		}
		if ops[i].Op != "remove" && !ops[i].given {
			return nil, refuse(InvalidValue, "%s needs a value.", ops[i].Op)
		}
	}
	return ops, nil
}

// member is that of an object, whatever its name's case.
func member(m map[string]any, name string) any {
	if v, ok := m[name]; ok {
		return v
	}
	for k, v := range m {
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return nil
}

// Patch applies the operations to the resource, one after the other, all or none: what it
// returns is the patched copy.
func (t *Type) Patch(resource map[string]any, ops []Op) (map[string]any, error) {
	out := Clone(resource)
	for _, op := range ops {
		var err error
		if op.Path == "" {
			err = t.patchAll(out, op)
		} else {
			err = t.patchAt(out, op)
		}
		if err != nil {
			return nil, err
		}
	}
	return out, t.Check(out)
}

// patchAll applies an operation without a path, whose value holds attributes. Some
// directories send paths as their names, and the read-only ones along.
func (t *Type) patchAll(out map[string]any, op Op) error {
	if op.Op == "remove" {
		return refuse(NoTarget, "remove needs a path.")
	}
	in, ok := op.Value.(map[string]any)
	if !ok {
		return refuse(InvalidValue, "Without a path the value has to be an object.")
	}
	for _, name := range slices.Sorted(maps.Keys(in)) {
		if urn, ext := t.extension(name); ext {
			m, ok := in[name].(map[string]any)
			if !ok {
				return refuse(InvalidValue, "%s has to be an object.", urn)
			}
			for _, sub := range slices.Sorted(maps.Keys(m)) {
				if err := t.patchKnown(out, Op{Op: op.Op, Path: urn + ":" + sub, Value: m[sub]}); err != nil {
					return err
				}
			}
			continue
		}
		if err := t.patchKnown(out, Op{Op: op.Op, Path: name, Value: in[name]}); err != nil {
			return err
		}
	}
	return nil
}

// patchKnown passes over attributes that are unknown or read-only, as Read does.
func (t *Type) patchKnown(out map[string]any, op Op) error {
	path, err := t.parsePath(op.Path)
	if err != nil || path.at.attr.ReadOnly {
		return nil //nolint:nilerr // what the schema does not know is ignored
	}
	return path.apply(out, op)
}

func (t *Type) patchAt(out map[string]any, op Op) error {
	if urn, ext := t.extension(op.Path); ext {
		if op.Op == "remove" {
			delete(out, urn)
			return nil
		}
		return t.patchAll(out, Op{Op: op.Op, Value: map[string]any{urn: op.Value}})
	}
	path, err := t.parsePath(op.Path)
	if err != nil {
		return err
	}
	if path.at.attr.ReadOnly || path.at.sub != nil && path.at.sub.ReadOnly {
		return refuse(Mutability, "%s is read-only.", op.Path)
	}
	return path.apply(out, op)
}

// path is where an operation applies: an attribute, those of its values that a filter
// selects, a sub-attribute.
type path struct {
	at     target
	filter node // nil: all values
}

func (t *Type) parsePath(s string) (path, error) {
	if len(s) > maxFilter {
		return path{}, refuse(InvalidPath, "The path is too long.")
	}
	name, rest, filtered := strings.Cut(s, "[")
	at, ok := t.resolve(name)
	if !ok {
		return path{}, refuse(InvalidPath, "There is no attribute %q.", name)
	}
	out := path{at: at}
	if !filtered {
		return out, nil
	}
	if !at.attr.Many || at.attr.kind() != complexly || at.sub != nil {
		return path{}, refuse(InvalidPath, "%s has no values to select.", name)
	}
	p := &parser{in: "[" + rest, resolve: resolveSub(at.attr)}
	n, err := p.enclosed(']')
	if err != nil {
		return path{}, err
	}
	out.filter = n
	switch tail := p.in[p.at:]; {
	case tail == "":
	case tail[0] == '.':
		if out.at.sub = find(at.attr.Sub, tail[1:]); out.at.sub == nil {
			return path{}, refuse(InvalidPath, "%s has no sub-attribute %q.", name, tail[1:])
		}
	default:
		return path{}, refuse(InvalidPath, "The path goes on after its end, at %q.", tail)
	}
	return out, nil
}

func (p path) apply(out map[string]any, op Op) error {
	if p.at.urn != "" {
		inner, _ := out[p.at.urn].(map[string]any)
		if inner == nil {
			inner = map[string]any{}
		}
		next := path{at: target{attr: p.at.attr, sub: p.at.sub}, filter: p.filter}
		if err := next.apply(inner, op); err != nil {
			return err
		}
		put(out, p.at.urn, inner)
		return nil
	}
	a := p.at.attr
	if op.Op == "remove" && a.Required && p.at.sub == nil && p.filter == nil {
		return refuse(InvalidValue, "%s is required.", a.Name)
	}
	if a.Many {
		return p.applyMany(out, op)
	}
	return applyOne(out, a, p.at.sub, op)
}

// applyOne changes an attribute that has one value.
func applyOne(out map[string]any, a, sub *Attribute, op Op) error {
	if sub != nil {
		inner, _ := out[a.Name].(map[string]any)
		inner = maps.Clone(inner)
		if inner == nil {
			inner = map[string]any{}
		}
		if err := applyOne(inner, sub, nil, op); err != nil {
			return err
		}
		put(out, a.Name, inner)
		return nil
	}
	if op.Op == "remove" {
		delete(out, a.Name)
		return nil
	}
	v, err := a.read(op.Value)
	if err != nil {
		return err
	}
	// Sub-attributes that the value does not name stay.
	if had, ok := out[a.Name].(map[string]any); ok && v != nil {
		merged := maps.Clone(had)
		maps.Copy(merged, v.(map[string]any))
		v = merged
	}
	put(out, a.Name, v)
	return nil
}

// applyMany changes an attribute that may have many values.
func (p path) applyMany(out map[string]any, op Op) error {
	a := p.at.attr
	was := each(out[a.Name])
	var next []any
	var err error
	switch {
	case p.filter != nil || p.at.sub != nil:
		next, err = p.selected(was, op)
	case op.Op == "remove" && op.given && op.Value != nil:
		next, err = without(a, was, op.Value)
	case op.Op == "remove":
	case op.Op == "replace":
		var v any
		if v, err = a.read(op.Value); err == nil {
			next = each(v)
		}
	default:
		next, err = with(a, was, op.Value)
	}
	if err != nil {
		return err
	}
	onePrimary(was, next)
	put(out, a.Name, next)
	return nil
}

// with adds values that are not there.
func with(a *Attribute, was []any, value any) ([]any, error) {
	v, err := a.read(value)
	if err != nil {
		return nil, err
	}
	next := slices.Clone(was)
	for _, e := range each(v) {
		if i := slices.IndexFunc(next, func(o any) bool { return alike(a, o, e) }); i >= 0 {
			next[i] = merge(next[i], e)
			continue
		}
		next = append(next, e)
	}
	return next, nil
}

// without takes values away.
func without(a *Attribute, was []any, value any) ([]any, error) {
	v, err := a.read(value)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(was), func(o any) bool {
		return slices.ContainsFunc(each(v), func(e any) bool { return alike(a, o, e) })
	}), nil
}

// alike reports whether two values are the same one: by value and type if they have them.
func alike(a *Attribute, x, y any) bool {
	m, ok := x.(map[string]any)
	n, ok2 := y.(map[string]any)
	def := find(a.Sub, "value")
	if !ok || !ok2 || def == nil || m["value"] == nil || n["value"] == nil {
		return reflect.DeepEqual(x, y)
	}
	if !holds(def, "eq", m["value"], n["value"]) {
		return false
	}
	return m["type"] == nil || n["type"] == nil || m["type"] == n["type"]
}

func merge(into, from any) any {
	m, ok := into.(map[string]any)
	f, ok2 := from.(map[string]any)
	if !ok || !ok2 {
		return from
	}
	out := maps.Clone(m)
	maps.Copy(out, f)
	return out
}

// selected changes the values that the filter selects, or a sub-attribute of theirs. To
// remove what is not there is done already; to add to it makes a value that the filter
// would select; to replace it is an error.
func (p path) selected(was []any, op Op) ([]any, error) {
	next, found := []any{}, false
	for _, v := range was {
		m, ok := v.(map[string]any)
		if !ok || p.filter != nil && !p.filter.matches(m) {
			next = append(next, v)
			continue
		}
		found = true
		changed, err := p.change(m, op)
		if err != nil {
			return nil, err
		}
		if len(changed) > 0 {
			next = append(next, changed)
		}
	}
	if found || op.Op == "remove" {
		return next, nil
	}
	if op.Op == "replace" {
		return nil, refuse(NoTarget, "No value of %s is selected.", p.at.attr.Name)
	}
	made := map[string]any{}
	if p.filter != nil {
		demanded := map[string]string{}
		p.filter.demand("", demanded)
		for name, v := range demanded {
			made[name] = v
		}
	}
	changed, err := p.change(made, op)
	if err != nil {
		return nil, err
	}
	return append(next, changed), nil
}

func (p path) change(m map[string]any, op Op) (map[string]any, error) {
	if p.at.sub != nil {
		out := maps.Clone(m)
		return out, applyOne(out, p.at.sub, nil, op)
	}
	if op.Op == "remove" {
		return nil, nil
	}
	v, err := p.at.attr.one(op.Value)
	if err != nil {
		return nil, err
	}
	if op.Op == "replace" {
		return v.(map[string]any), nil
	}
	return merge(m, v).(map[string]any), nil
}

// onePrimary lets a value that has become the primary one replace the one before.
func onePrimary(was, now []any) {
	isPrimary := func(v any) bool {
		m, ok := v.(map[string]any)
		return ok && m["primary"] == true
	}
	if !slices.ContainsFunc(was, isPrimary) {
		return
	}
	fresh := slices.ContainsFunc(now, func(v any) bool { return isPrimary(v) && !contains(was, v) })
	for i, v := range now {
		if fresh && isPrimary(v) && contains(was, v) {
			m := maps.Clone(v.(map[string]any))
			m["primary"] = false
			now[i] = m
		}
	}
}

func contains(list []any, v any) bool {
	return slices.ContainsFunc(list, func(o any) bool { return reflect.DeepEqual(o, v) })
}
