package formula

import (
	"slices"
	"strings"
	"time"
)

// Type is what a formula or field yields, as far as it is known without a record.
type Type struct {
	Kind Kind
	Elem Kind // of a list: the kind of all its elements, or KindText
	Day  bool // of a date, or of a list of dates: no time of day
}

// Field is a field that formulas may name.
type Field struct {
	ID, Name string
	Type     Type
}

// Schema says what the words of a formula mean.
type Schema struct {
	Fields []Field

	// Values makes the identifier values known, as in a rollup's aggregation, and is
	// the type of its elements. nil: there are none.
	Values *Type
}

// Formula is a formula bound to a table. It is immutable and safe for use by many
// goroutines.
type Formula struct {
	src     string
	whole   Node // what src was parsed to
	root    Node // whole, or the part that this is
	typ     Type
	fields  []Field // by FieldNode.slot; no ID: the rollup's values
	rollup  *Type
	limits  Limits
	origin  *Formula                  // what this is, with the formulas of fields in their place; nil: nothing
	regexes map[string]*pattern       // of literal patterns; nil: malformed
	zones   map[string]*time.Location // of literal names
}

// Compile is Parse and Check.
func Compile(src string, schema Schema, limits Limits) (*Formula, error) {
	e, err := Parse(src, limits)
	if err != nil {
		return nil, err
	}
	return e.Check(schema)
}

// Check binds the formula to a table and finds its type. The error is an *Error
// that names all unknown fields. Types are not enforced, as Airtable does not:
// what does not fit is an error value when it is evaluated.
func (e *Expr) Check(schema Schema) (*Formula, error) {
	f := &Formula{src: e.src, whole: e.root, root: e.root, rollup: schema.Values, limits: e.limits,
		regexes: map[string]*pattern{}, zones: map[string]*time.Location{}}
	var unknown *Error
	known, missing := newDictionary(schema), map[string]bool{}
	for _, n := range e.names {
		field, ok := known.find(n)
		f.fields = append(f.fields, field)
		if ok {
			continue
		}
		if unknown == nil {
			unknown = &Error{Pos: n.at, Reason: "unknown field"}
		}
		if name := strings.ToLower(n.Name); !missing[name] {
			missing[name] = true
			unknown.UnknownFields = append(unknown.UnknownFields, name)
		}
	}
	if unknown != nil {
		return nil, unknown
	}
	f.prepare(f.root)
	f.typ = f.typeOf(f.root)
	return f, nil
}

// dictionary finds fields by words.
type dictionary struct {
	values bool
	tiers  []tier
}

// tier is one way to spell fields; the first field of a spelling counts.
type tier struct {
	spelling func(name string) string
	fields   map[string]Field
}

// newDictionary resolves names as written, as ids, in another letter case, and at
// last (unconfirmed) without the blanks around them.
func newDictionary(s Schema) dictionary {
	d := dictionary{values: s.Values != nil}
	asWritten := func(name string) string { return name }
	trimmed := func(name string) string { return strings.ToLower(strings.TrimSpace(name)) }
	d.add(s.Fields, asWritten, func(f Field) string { return f.Name })
	d.add(s.Fields, asWritten, func(f Field) string { return f.ID })
	d.add(s.Fields, strings.ToLower, func(f Field) string { return f.Name })
	d.add(s.Fields, trimmed, func(f Field) string { return f.Name })
	return d
}

func (d *dictionary) add(fields []Field, spelling func(string) string, word func(Field) string) {
	t := tier{spelling, make(map[string]Field, len(fields))}
	for _, f := range fields {
		key := spelling(word(f))
		if _, taken := t.fields[key]; !taken {
			t.fields[key] = f
		}
	}
	d.tiers = append(d.tiers, t)
}

func (d *dictionary) find(n *FieldNode) (Field, bool) {
	if d.values && n.Bare && strings.EqualFold(n.Name, "values") {
		return Field{}, true
	}
	for _, t := range d.tiers {
		if f, ok := t.fields[t.spelling(n.Name)]; ok {
			return f, true
		}
	}
	return Field{}, false
}

// Type returns what the formula yields. If its branches differ it is text, and
// Result turns values into that.
func (f *Formula) Type() Type { return f.typ }

// Fields returns the ids of the fields that the formula names, sorted.
func (f *Formula) Fields() []string {
	var ids []string
	for _, field := range f.fields {
		if field.ID != "" {
			ids = append(ids, field.ID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Source returns the text that was parsed, with each field written as name says, in
// braces: by its id, so that a formula survives the renaming of fields, or by its
// present name for people. A name with a backslash before a brace cannot be written
// and comes out as another.
func (f *Formula) Source(name func(Field) string) string {
	if f.origin != nil {
		return f.origin.Source(name)
	}
	var b strings.Builder
	end := 0
	Walk(f.whole, func(n Node) {
		ref, ok := n.(*FieldNode)
		if !ok {
			return
		}
		if field, known := f.Field(ref); known {
			b.WriteString(f.src[end:ref.at])
			b.WriteString("{" + strings.ReplaceAll(name(field), "}", `\}`) + "}")
			end = ref.end
		}
	})
	return b.String() + f.src[end:]
}

// Root returns the formula's outermost part.
func (f *Formula) Root() Node { return f.root }

// Field returns the field that n names; false if n is the rollup's values.
func (f *Formula) Field(n *FieldNode) (Field, bool) {
	field := f.fields[n.slot]
	return field, field.ID != ""
}

// Part returns a part of the formula as a formula of its own.
func (f *Formula) Part(n Node) *Formula {
	part := *f
	part.root, part.typ = n, f.typeOf(n)
	return &part
}

// And returns the conjunction of parts of the formula as a formula of its own.
func (f *Formula) And(parts []Node) *Formula {
	return f.Part(&CallNode{Name: "AND", Args: parts, fn: functions["AND"]})
}

// Walk calls visit for n and all nodes below it.
func Walk(n Node, visit func(Node)) {
	visit(n)
	switch n := n.(type) {
	case *SignNode:
		Walk(n.X, visit)
	case *ChainNode:
		Walk(n.First, visit)
		for _, l := range n.Rest {
			Walk(l.X, visit)
		}
	case *CallNode:
		for _, arg := range n.Args {
			Walk(arg, visit)
		}
	case *resultNode:
		Walk(n.x, visit)
	}
}

// UsesClock reports whether the formula's value changes as time goes by.
func (f *Formula) UsesClock() bool {
	return f.calls(func(n *CallNode) bool {
		return n.fn.clock && (n.Name != "DATETIME_PARSE" || len(n.Args) > 1)
	})
}

// UsesRecord reports whether the formula asks for the record's id or its stamps.
func (f *Formula) UsesRecord() bool {
	return f.calls(func(n *CallNode) bool { return n.fn.record })
}

func (f *Formula) calls(such func(n *CallNode) bool) bool {
	found := false
	Walk(f.root, func(n Node) {
		if call, ok := n.(*CallNode); ok && such(call) {
			found = true
		}
	})
	return found
}

// maxPrepared is how many literals are prepared; what is beyond costs work in each
// evaluation.
const maxPrepared = 64

// prepare compiles literal patterns and loads literal zones once.
func (f *Formula) prepare(root Node) {
	Walk(root, func(n Node) {
		call, ok := n.(*CallNode)
		if !ok || len(call.Args) < 2 || len(f.regexes)+len(f.zones) >= maxPrepared {
			return
		}
		arg, ok := call.Args[1].(*TextNode)
		if !ok {
			return
		}
		switch call.Name {
		case "REGEX_MATCH", "REGEX_EXTRACT", "REGEX_REPLACE":
			if _, done := f.regexes[arg.Value]; !done {
				f.regexes[arg.Value] = compilePattern(arg.Value)
			}
		case "SET_TIMEZONE":
			if _, done := f.zones[arg.Value]; !done {
				f.zones[arg.Value] = loadZone(arg.Value)
			}
		}
	})
}

func (f *Formula) typeOf(n Node) Type {
	switch n := n.(type) {
	case *TextNode:
		return Type{Kind: KindText}
	case *FieldNode:
		if field, ok := f.Field(n); ok {
			return field.Type
		}
		return Type{Kind: KindList, Elem: f.rollup.Kind, Day: f.rollup.Day}
	case *ChainNode:
		return chainType(n.Rest[0].Op)
	case *CallNode:
		return n.fn.result(f, n)
	case *resultNode:
		return n.f.typ
	}
	return Type{Kind: KindNumber}
}

func chainType(op string) Type {
	switch op {
	case "&":
		return Type{Kind: KindText}
	case "+", "-", "*", "/":
		return Type{Kind: KindNumber}
	}
	return Type{Kind: KindBool}
}

// join is the type of a value that is of the one or the other.
func join(a, b Type) Type {
	switch {
	case a == b, b.Kind == KindBlank, b.Kind == KindError:
		return a
	case a.Kind == KindBlank, a.Kind == KindError:
		return b
	case a.number() && b.number():
		return Type{Kind: KindNumber}
	case a.Kind == KindDate && b.Kind == KindDate:
		return Type{Kind: KindDate}
	}
	return Type{Kind: KindText}
}

func (t Type) number() bool { return t.Kind == KindNumber || t.Kind == KindBool }

// element is what a list holds, and any other type itself.
func (t Type) element() Type {
	if t.Kind != KindList {
		return t
	}
	return Type{Kind: t.Elem, Day: t.Day}
}

// Result turns a value of the formula into its type, as a formula field shows it:
// where branches mix text and numbers, numbers become text, and the number 0
// becomes blank. Errors stay, and so do numbers that do not fit otherwise.
func (f *Formula) Result(v Value) Value {
	switch f.typ.Kind {
	case KindText:
		if v.numeric() && v.num == 0 {
			return Blank()
		}
		if v.kind != KindError && v.kind != KindBlank {
			return Text(v.String())
		}
	case KindNumber:
		if v.kind == KindBool {
			return Number(v.num)
		}
	case KindDate:
		if v.kind == KindDate && v.day != f.typ.Day {
			v.num, v.day = dayStart(v), f.typ.Day
		}
	}
	return v
}

// dayStart is the milliseconds of the start of a moment's day; of a day, itself.
func dayStart(v Value) float64 { return Day(v.local()).num }
