package formula

// Names returns the words of the expression that name fields, or a rollup's values,
// as they are written, once each and in order.
func (e *Expr) Names() []string {
	var out []string
	seen := map[string]bool{}
	for _, n := range e.names {
		if !seen[n.Name] {
			seen[n.Name] = true
			out = append(out, n.Name)
		}
	}
	return out
}

// maxInlined bounds how many nodes a formula has after Inline: formulas that double
// at each step would grow beyond all bounds.
const maxInlined = 2_000

// resultNode is the Result of a formula that stands in another.
type resultNode struct {
	f *Formula
	x Node
}

// Pos implements Node.
func (n *resultNode) Pos() int { return n.x.Pos() }

// Inline returns the formula with the formulas of fields in the place of the fields'
// names: of gives the formula of a field by its id, or nil for what is a field of the
// table. The formula returned evaluates to what the formula would, if each of these
// fields held the Result of its formula for the same record and time, though within
// the limits of one evaluation. A formula that would grow too large is returned as it
// is; and so is one that names none of these fields.
func (f *Formula) Inline(of func(field string) *Formula) *Formula {
	in := &inliner{of: of, slots: map[string]int{}, out: &Formula{
		origin: f, rollup: f.rollup, limits: f.limits,
		regexes: f.regexes, zones: f.zones,
	}}
	root := in.copy(f, f.root)
	if in.size > maxInlined || !in.changed {
		return f
	}
	in.out.root, in.out.whole = root, root
	in.out.typ = in.out.typeOf(root)
	return in.out
}

type inliner struct {
	of      func(field string) *Formula
	out     *Formula
	slots   map[string]int // where in the fields of out a field is
	size    int
	changed bool
}

// copy returns a part of f with its fields bound in out. It stops early when the
// whole is too large.
func (in *inliner) copy(f *Formula, n Node) Node {
	if in.size++; in.size > maxInlined {
		return n
	}
	switch n := n.(type) {
	case *FieldNode:
		return in.field(f, n)
	case *SignNode:
		c := *n
		c.X = in.copy(f, n.X)
		return &c
	case *ChainNode:
		c := &ChainNode{First: in.copy(f, n.First), Rest: make([]Link, len(n.Rest))}
		for i, l := range n.Rest {
			c.Rest[i] = Link{l.Op, in.copy(f, l.X)}
		}
		return c
	case *CallNode:
		c := *n
		c.Args = make([]Node, len(n.Args))
		for i, arg := range n.Args {
			if _, named := arg.(*FieldNode); named && n.fn.record { // the field itself is meant
				c.Args[i] = in.bind(f, arg.(*FieldNode))
				continue
			}
			c.Args[i] = in.copy(f, arg)
		}
		return &c
	case *resultNode:
		return &resultNode{n.f, in.copy(f, n.x)}
	}
	return n
}

func (in *inliner) field(f *Formula, n *FieldNode) Node {
	field, known := f.Field(n)
	if !known {
		return in.bind(f, n)
	}
	g := in.of(field.ID)
	if g == nil {
		return in.bind(f, n)
	}
	in.changed = true
	in.adopt(g)
	x := in.copy(g, g.root)
	if g.steady(g.root, g.typ) {
		return x
	}
	return &resultNode{g, x}
}

// bind makes a name of f one of out.
func (in *inliner) bind(f *Formula, n *FieldNode) *FieldNode {
	field := f.fields[n.slot]
	slot, known := in.slots[field.ID]
	if !known {
		slot = len(in.out.fields)
		in.slots[field.ID] = slot
		in.out.fields = append(in.out.fields, field)
	}
	c := *n
	c.slot = slot
	return &c
}

// adopt takes over what g has prepared.
func (in *inliner) adopt(g *Formula) {
	in.out.regexes = merged(in.out.regexes, g.regexes)
	in.out.zones = merged(in.out.zones, g.zones)
}

// merged leaves both maps as they are: formulas share them.
func merged[V any](a, b map[string]V) map[string]V {
	if len(b) == 0 {
		return a
	}
	out := make(map[string]V, len(a)+len(b))
	for _, m := range []map[string]V{a, b} {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

// steady reports whether Result, for the type t, leaves every value of the part as it
// is: whether the part yields nothing but that type, blanks and errors.
func (f *Formula) steady(n Node, t Type) bool {
	switch t.Kind {
	case KindBlank, KindBool, KindList, KindError:
		return true // Result does nothing to them
	}
	if call, ok := n.(*CallNode); ok {
		switch call.Name {
		case "IF":
			return f.allSteady(call.Args[1:], t)
		case "SWITCH":
			return f.allSteady(results(call), t)
		case "SET_TIMEZONE", "SET_LOCALE":
			return false // dates, whatever their type says
		}
		if t.Kind == KindDate && call.fn.eager != nil && len(call.Args) > 0 {
			return false // days and moments, as their arguments are
		}
	}
	own := f.typeOf(n)
	return own == t || own.Kind == KindBlank || own.Kind == KindError
}

func (f *Formula) allSteady(parts []Node, t Type) bool {
	for _, part := range parts {
		if !f.steady(part, t) {
			return false
		}
	}
	return true
}

// results are the parts of a SWITCH that it may yield.
func results(n *CallNode) []Node {
	var out []Node
	for i := 2; i < len(n.Args); i += 2 {
		out = append(out, n.Args[i])
	}
	if len(n.Args)%2 == 0 {
		out = append(out, n.Args[len(n.Args)-1])
	}
	return out
}
