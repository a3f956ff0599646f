package scim

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Bounds on what a client may ask for.
const (
	maxFilter = 8 << 10
	maxNested = 32
)

// Filter decides which resources of a type are meant (RFC 7644, section 3.4.2.2).
type Filter struct{ root node }

// Equal are the values that the named attributes have to have, as far as the filter says
// so for all that it matches, by the names as the schema spells them: userName, id,
// emails.value.
func (f *Filter) Equal() map[string]string {
	out := map[string]string{}
	if f != nil {
		f.root.demand("", out)
	}
	return out
}

type node interface {
	matches(in map[string]any) bool
	// demand notes what eq demands of everything that matches; prefix is the name of
	// the attribute that the node is about.
	demand(prefix string, out map[string]string)
	// path is a predicate on what lies at in: see Filter.Path.
	path(in string) (string, error)
}

type (
	both   struct{ a, b node }
	either struct{ a, b node }
	not    struct{ n node }
	// within is a filter on the values of a complex attribute.
	within struct {
		at target
		n  node
	}
	compare struct {
		at    target
		op    string
		value any // string, bool, float64 or nil
	}
)

// target is an attribute, or a sub-attribute.
type target struct {
	urn  string // under which it lies, "" for the core
	attr *Attribute
	sub  *Attribute
}

func (b both) matches(in map[string]any) bool   { return b.a.matches(in) && b.b.matches(in) }
func (e either) matches(in map[string]any) bool { return e.a.matches(in) || e.b.matches(in) }
func (n not) matches(in map[string]any) bool    { return !n.n.matches(in) }

func (b both) demand(prefix string, out map[string]string) {
	b.a.demand(prefix, out)
	b.b.demand(prefix, out)
}
func (either) demand(string, map[string]string) {}
func (not) demand(string, map[string]string)    {}

func (w within) matches(in map[string]any) bool {
	return slices.ContainsFunc(w.at.values(in), func(v any) bool {
		m, ok := v.(map[string]any)
		return ok && w.n.matches(m)
	})
}

func (w within) demand(prefix string, out map[string]string) {
	if prefix == "" && w.at.urn == "" {
		w.n.demand(w.at.attr.Name+".", out)
	}
}

func (c compare) demand(prefix string, out map[string]string) {
	v, isText := c.value.(string)
	if c.op != "eq" || !isText || c.at.urn != "" {
		return
	}
	name := prefix + c.at.attr.Name
	switch {
	case c.at.sub != nil:
		name += "." + c.at.sub.Name
	case c.at.attr.kind() == complexly:
		name += ".value"
	}
	out[name] = v
}

// values are what the resource, or a value of a complex attribute, has there, one by one.
func (t target) values(in map[string]any) []any {
	if t.urn != "" {
		in, _ = in[t.urn].(map[string]any)
	}
	all := each(in[t.attr.Name])
	if t.sub == nil {
		return all
	}
	var out []any
	for _, v := range all {
		if m, ok := v.(map[string]any); ok {
			out = append(out, each(m[t.sub.Name])...)
		}
	}
	return out
}

func each(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

// leaf is the definition of what is compared: of a complex attribute its value.
func (t target) leaf() *Attribute {
	a := t.attr
	if t.sub != nil {
		a = t.sub
	}
	if a.kind() == complexly {
		if v := find(a.Sub, "value"); v != nil {
			return v
		}
	}
	return a
}

func (c compare) matches(in map[string]any) bool {
	if c.op == "ne" {
		return !compare{c.at, "eq", c.value}.matches(in)
	}
	values := c.at.values(in)
	if c.op == "pr" {
		return slices.ContainsFunc(values, func(v any) bool { return v != nil && v != "" })
	}
	if c.value == nil {
		return c.op == "eq" && len(values) == 0
	}
	def := c.at.leaf()
	return slices.ContainsFunc(values, func(v any) bool {
		if m, ok := v.(map[string]any); ok {
			v = m["value"]
		}
		return holds(def, c.op, v, c.value)
	})
}

func holds(def *Attribute, op string, has, want any) bool {
	if h, ok := has.(bool); ok {
		w, same := want.(bool)
		return op == "eq" && same && h == w
	}
	h, ok := has.(string)
	w, same := want.(string)
	if !ok || !same {
		return false
	}
	if def.kind() == moment {
		if a, err := time.Parse(time.RFC3339, h); err == nil {
			if b, err := time.Parse(time.RFC3339, w); err == nil {
				return ordered(op, a.Compare(b))
			}
		}
	}
	if !def.CaseExact {
		h, w = strings.ToLower(h), strings.ToLower(w)
	}
	switch op {
	case "co":
		return strings.Contains(h, w)
	case "sw":
		return strings.HasPrefix(h, w)
	case "ew":
		return strings.HasSuffix(h, w)
	}
	return ordered(op, strings.Compare(h, w))
}

func ordered(op string, order int) bool {
	switch op {
	case "eq":
		return order == 0
	case "gt":
		return order > 0
	case "ge":
		return order >= 0
	case "lt":
		return order < 0
	case "le":
		return order <= 0
	}
	return false
}

var operators = []string{"eq", "ne", "co", "sw", "ew", "pr", "gt", "ge", "lt", "le"}

// ParseFilter reads a filter on resources of the type; "" is none, which means all.
func (t *Type) ParseFilter(s string) (*Filter, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	p := &parser{in: s, resolve: t.resolve}
	n, err := p.whole()
	if err != nil {
		return nil, err
	}
	return &Filter{n}, nil
}

// resolve finds the attribute that a path names.
func (t *Type) resolve(path string) (target, bool) {
	urn, rest := "", path
	if len(path) > 4 && strings.EqualFold(path[:4], "urn:") {
		i := strings.LastIndexByte(path, ':')
		urn, rest = path[:i], path[i+1:]
	}
	name, sub, dotted := strings.Cut(rest, ".")
	a, under := t.attribute(urn, name)
	if a == nil {
		return target{}, false
	}
	at := target{urn: under, attr: a}
	if dotted {
		if at.sub = find(a.Sub, sub); at.sub == nil {
			return target{}, false
		}
	}
	return at, true
}

// resolveSub is resolve for a filter on the values of a complex attribute.
func resolveSub(of *Attribute) func(string) (target, bool) {
	return func(path string) (target, bool) {
		a := find(of.Sub, path)
		return target{attr: a}, a != nil
	}
}

// parser reads a filter by recursive descent: or binds weaker than and, and weaker than not.
type parser struct {
	in      string
	at      int
	depth   int
	resolve func(string) (target, bool)
}

func (p *parser) fault(format string, args ...any) error {
	return refuse(InvalidFilter, format, args...)
}

func (p *parser) whole() (node, error) {
	if len(p.in) > maxFilter {
		return nil, p.fault("The filter is too long.")
	}
	n, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.space(); p.at < len(p.in) {
		return nil, p.fault("The filter goes on after its end, at %q.", p.in[p.at:])
	}
	return n, nil
}

func (p *parser) space() {
	for p.at < len(p.in) && p.in[p.at] == ' ' {
		p.at++
	}
}

func (p *parser) peek() byte {
	if p.space(); p.at < len(p.in) {
		return p.in[p.at]
	}
	return 0
}

// word reads up to a space or a bracket.
func (p *parser) word() string {
	p.space()
	begin := p.at
	for p.at < len(p.in) && !strings.ContainsRune(" ()[]\"", rune(p.in[p.at])) {
		p.at++
	}
	return p.in[begin:p.at]
}

// keyword reads the word if it comes next.
func (p *parser) keyword(want string) bool {
	begin := p.at
	if strings.EqualFold(p.word(), want) {
		return true
	}
	p.at = begin
	return false
}

func (p *parser) or() (node, error) {
	n, err := p.and()
	for err == nil && p.keyword("or") {
		var more node
		if more, err = p.and(); err == nil {
			n = either{n, more}
		}
	}
	return n, err
}

func (p *parser) and() (node, error) {
	n, err := p.term()
	for err == nil && p.keyword("and") {
		var more node
		if more, err = p.term(); err == nil {
			n = both{n, more}
		}
	}
	return n, err
}

func (p *parser) term() (node, error) {
	begin := p.at
	if p.keyword("not") {
		if p.peek() == '(' {
			n, err := p.enclosed(')')
			return not{n}, err
		}
		p.at = begin
	}
	if p.peek() == '(' {
		return p.enclosed(')')
	}
	return p.comparison()
}

// enclosed reads a filter between brackets.
func (p *parser) enclosed(end byte) (node, error) {
	if p.depth++; p.depth > maxNested {
		return nil, p.fault("The filter is nested too deeply.")
	}
	p.at++
	n, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.peek() != end {
		return nil, p.fault("A %q is missing.", string(end))
	}
	p.at++
	p.depth--
	return n, nil
}

func (p *parser) comparison() (node, error) {
	path := p.word()
	at, ok := p.resolve(path)
	if !ok {
		return nil, p.fault("There is no attribute %q.", path)
	}
	if p.at < len(p.in) && p.in[p.at] == '[' {
		return p.valuePath(at)
	}
	op := strings.ToLower(p.word())
	if !slices.Contains(operators, op) {
		return nil, p.fault("%q is no operator.", op)
	}
	if op == "pr" {
		return compare{at, op, nil}, nil
	}
	value, err := p.value()
	if err != nil {
		return nil, err
	}
	if _, isText := value.(string); !isText && op != "eq" && op != "ne" {
		return nil, p.fault("%s compares strings.", op)
	}
	return compare{at, op, value}, nil
}

func (p *parser) valuePath(at target) (node, error) {
	if at.sub != nil || at.attr.kind() != complexly {
		return nil, p.fault("%s has no sub-attributes.", at.attr.Name)
	}
	outer := p.resolve
	p.resolve = resolveSub(at.attr)
	n, err := p.enclosed(']')
	p.resolve = outer
	return within{at, n}, err
}

// value reads a JSON string, number, true, false or null.
func (p *parser) value() (any, error) {
	p.space()
	d := json.NewDecoder(strings.NewReader(p.in[p.at:]))
	begin := p.at
	if p.at < len(p.in) && p.in[p.at] != '"' {
		word := p.word()
		d = json.NewDecoder(strings.NewReader(word))
	}
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, p.fault("%q is no value.", p.in[begin:])
	}
	switch v.(type) {
	case string:
		p.at = begin + int(d.InputOffset())
		return v, nil
	case bool, float64, nil:
		return v, nil
	}
	return nil, p.fault("%q is no value.", p.in[begin:])
}
