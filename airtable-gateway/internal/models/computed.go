package models

import (
	"maps"
	"slices"
	"strings"

	"github.com/pyairtable/pyairtable/pkg/formula"
)

// Calculation is what a derived field (formula, rollup, lookup or count) computes,
// bound to the other fields of its base. It is immutable.
type Calculation struct {
	// Formula is that of a formula, or the aggregation of a rollup.
	Formula *formula.Formula
	Refs    []*Field // the fields that the formula of a formula field names

	Via    *Field // the link that a rollup, lookup or count follows
	Target *Field // what a rollup or lookup takes of the linked records

	// Height is above that of every derived field that must be computed first; the
	// lowest is 1.
	Height int

	yields formula.Type
	shown  *Field // shows results: its type and options are those of the result
	fault  error  // why it cannot be computed
}

// Computed is what a derived field holds for one record: what formulas see of it, and
// what clients do, nil for nothing.
type Computed struct {
	Value formula.Value
	Shown any
}

// Broken is what a field holds whose definition is not valid (any more).
//
// Unconfirmed: that its cells show an error rather than nothing.
func Broken() Computed { return failed("the field is not valid") }

// TooDear is what is shown where computing would take too much.
func TooDear() Computed { return failed("too much work") }

func failed(reason string) Computed {
	v := formula.Fail(reason)
	return Computed{v, v.JSON()}
}

// Derived reports whether the type's values are computed from other cells when they
// are read.
func (t FieldType) Derived() bool { return behaviours[t].order == ByValue }

// Calculation returns what a derived field computes; nil for other fields and for
// those whose base is not bound.
func (f *Field) Calculation() *Calculation { return f.calc }

// Valid reports whether the calculation can be done.
func (c *Calculation) Valid() bool { return c.fault == nil }

// Linked returns the table that a link field points to; nil if it is gone.
func (b *Base) Linked(f *Field) *Table { return b.Table(string(f.Options.LinkedTable)) }

// Derived returns the base's derived fields that can be computed, in an order in which
// each comes after all that it needs.
func (b *Base) Derived() []*Field { return b.derived }

// Bind makes the calculations of all derived fields. What they name must be there
// already (Index); a field that names what is not, or needs itself, is not valid.
func (b *Base) Bind() {
	drafts, needs := map[FieldID]*draftCalculation{}, map[string][]string{}
	for _, t := range b.Tables {
		for _, f := range t.Fields {
			if f.Type.Derived() {
				d := b.draft(t, f)
				drafts[f.ID], needs[string(f.ID)] = d, d.needs
			}
		}
	}
	b.derived = nil
	plan := formula.Order(needs)
	for _, id := range plan.Order {
		f := b.Field(FieldID(id))
		f.calc = b.calculation(f, drafts[f.ID])
		if f.calc.Valid() {
			b.derived = append(b.derived, f)
		}
	}
	for _, id := range plan.Cyclic {
		b.Field(FieldID(id)).calc = &Calculation{fault: InvalidFormula(formula.FieldMessage(nil))}
	}
}

// fieldLimits keep the text of a derived field to what a text field holds: 100,000
// characters.
var fieldLimits = formula.Limits{Text: 4 * MaxText}

// draftCalculation is a calculation whose types are not known yet.
type draftCalculation struct {
	Calculation
	expr  *formula.Expr
	needs []string // ids of fields whose values must be there
}

func (b *Base) draft(t *Table, f *Field) *draftCalculation {
	d := &draftCalculation{}
	if f.Type != Formula {
		d.Via = t.fields[string(f.Options.Via)]
		if d.Via == nil || d.Via.Type != MultipleRecordLinks || b.Linked(d.Via) == nil {
			d.fault = invalidOptions("%s.options.recordLinkFieldId is not a link field of its table", f.Name)
			return d
		}
	}
	if f.Type == Rollup || f.Type == Lookup {
		if d.Target = b.Linked(d.Via).fields[string(f.Options.Target)]; d.Target == nil {
			d.fault = invalidOptions("%s.options.fieldIdInLinkedTable is not a field of the linked table", f.Name)
			return d
		}
		b.need(d, d.Target)
	}
	if f.Type == Lookup || f.Type == Count {
		return d
	}
	if d.expr, d.fault = formula.Parse(f.Options.Formula, fieldLimits); d.fault != nil {
		d.fault = InvalidFormula(formula.FieldMessage(d.fault))
		return d
	}
	if f.Type == Formula {
		for _, name := range d.expr.Names() {
			if ref := b.Field(FieldID(name)); ref != nil && ref.Table == t.ID {
				d.Refs = append(d.Refs, ref)
				b.need(d, ref)
			}
		}
	}
	return d
}

// need notes that the value of a field must be known: of links, what the linked
// records are called.
func (b *Base) need(d *draftCalculation, f *Field) {
	d.needs = append(d.needs, string(f.ID))
	if f.Type == MultipleRecordLinks {
		if linked := b.Linked(f); linked != nil {
			d.needs = append(d.needs, string(linked.Primary))
		}
	}
}

// calculation finishes a draft when all that it needs has been.
func (b *Base) calculation(f *Field, d *draftCalculation) *Calculation {
	c := &d.Calculation
	c.Height = 1
	for _, id := range d.needs {
		if need := b.Field(FieldID(id)); need != nil && need.calc != nil {
			c.Height = max(c.Height, need.calc.Height+1)
			if c.fault == nil {
				c.fault = need.calc.fault
			}
		}
	}
	if c.fault != nil {
		return c
	}
	switch f.Type {
	case Lookup:
		entry := c.Target.entry()
		c.yields = formula.Type{Kind: formula.KindList, Elem: entry.Kind, Day: entry.Day}
		c.shown = c.Target
		if c.Target.calc != nil {
			c.shown = c.Target.calc.shown
		}
		return c
	case Count:
		c.yields, c.shown = formula.Type{Kind: formula.KindNumber}, &Field{Type: Number}
		return c
	}
	var schema formula.Schema
	for _, ref := range c.Refs {
		// By ids alone: a field that is called like another's id must not hide it.
		schema.Fields = append(schema.Fields, formula.Field{ID: string(ref.ID), Name: string(ref.ID), Type: ref.Yields()})
	}
	if f.Type == Rollup {
		entry := c.Target.entry()
		schema.Values = &entry
	}
	checked, err := d.expr.Check(schema)
	if err != nil {
		c.fault = InvalidFormula(formula.FieldMessage(err))
		return c
	}
	c.Formula, c.yields = checked, checked.Type()
	c.shown = &Field{Type: SingleLineText}
	if result := defaultResult(c.yields); f.Options.Result == nil {
		c.shown.Type, c.shown.Options = result.Type, result.Options
	} else {
		c.shown.Type, c.shown.Options = f.Options.Result.Type, f.Options.Result.Options
		if !fits(c.yields, c.shown.Type) {
			c.fault = invalidOptions("%s.options.result.type does not fit the formula", f.Name)
		}
	}
	return c
}

// Yields returns what formulas of its table see of the field.
func (f *Field) Yields() formula.Type {
	switch {
	case f.calc != nil && f.calc.Valid():
		return f.calc.yields
	case f.Type == CreatedTime || f.Type == LastModifiedTime:
		return formula.Type{Kind: formula.KindDate, Day: f.Options.ResultType == Date}
	}
	t, _ := formula.FieldType(string(f.Type))
	return t
}

// entry is what one entry of a lookup of the field is to formulas.
func (f *Field) entry() formula.Type {
	t := f.Yields()
	if t.Kind == formula.KindList {
		return formula.Type{Kind: t.Elem, Day: t.Day}
	}
	return t
}

// How results are shown when nothing was chosen. Unconfirmed: all of it.
const resultPrecision = 1

func defaultResult(t formula.Type) Result {
	if t.Kind == formula.KindList {
		t = formula.Type{Kind: t.Elem, Day: t.Day}
	}
	switch {
	case t.Kind == formula.KindBool:
		return Result{Number, Options{}}
	case t.Kind == formula.KindNumber:
		return Result{Number, Options{Precision: resultPrecision}}
	case t.Kind == formula.KindDate && t.Day:
		return Result{Date, Options{DateFormat: "local"}}
	case t.Kind == formula.KindDate:
		return Result{DateTime, Options{DateFormat: "local", TimeFormat: "12hour", TimeZone: "utc"}}
	}
	return Result{Type: SingleLineText}
}

// fits reports whether results of type t can be shown as asked for.
func fits(t formula.Type, as FieldType) bool {
	if t.Kind == formula.KindList {
		t.Kind = t.Elem
	}
	switch t.Kind {
	case formula.KindNumber, formula.KindBool:
		return as != SingleLineText && as != Date && as != DateTime
	case formula.KindDate:
		return as == Date || as == DateTime
	}
	return as == SingleLineText
}

// Show returns what clients see of a value that the calculation yields, which has the
// calculation's type: Formula.Result of it.
func (c *Calculation) Show(v formula.Value) any {
	switch kind := v.Kind(); {
	case kind == formula.KindBool && c.shown.Type == Checkbox, kind == formula.KindNumber && c.shown.Type == Checkbox:
		if !v.Truthy() {
			return nil
		}
		return true
	case kind == formula.KindDate && c.shown.Type == Date:
		return v.Time().Format(dateLayout)
	case kind == formula.KindDate:
		return Timestamp(v.Time())
	case kind == formula.KindList && len(v.Items()) > 0:
		out := make([]any, len(v.Items()))
		for i, item := range v.Items() {
			out[i] = c.Show(item)
		}
		return out
	}
	return v.JSON()
}

// text shows what clients see as a person would see it.
func (c *Calculation) text(v any, d Display) string {
	switch v := v.(type) {
	case map[string]any:
		if text, ok := v["error"].(string); ok {
			return text
		}
		if text, ok := v["specialValue"].(string); ok {
			return text
		}
	case []any:
		var parts []string
		for _, item := range v {
			if text := c.text(item, d); text != "" {
				parts = append(parts, text)
			}
		}
		return strings.Join(parts, ", ")
	case string:
		switch {
		case c.shown == nil:
			return v
		case c.shown.Type == MultipleRecordLinks:
			return d.Titles[RecordID(v)]
		case c.shown.Yields().Kind != formula.KindDate:
			return v
		}
	}
	if v == nil || c.shown == nil {
		return ""
	}
	return c.shown.Text(v, d)
}

// TitlesOf returns the table whose records' titles Text of the field's values takes;
// nil if it takes none.
func (b *Base) TitlesOf(f *Field) *Table {
	if f.calc != nil && f.calc.shown != nil {
		f = f.calc.shown
	}
	if f.Type != MultipleRecordLinks {
		return nil
	}
	return b.Linked(f)
}

// Computed returns what the derived field holds for a record, which it must have been
// computed for.
func (f *Field) Computed(r *Record) Computed {
	if f.calc == nil || !f.calc.Valid() {
		return Broken()
	}
	return r.Computed[f.ID]
}

func readComputed(f *Field, r *Record) (any, error) { return f.Computed(r).Shown, nil }

// ShownOptions returns the options as the schema shows them: with what the store finds
// out about them; nil for types without.
func (f *Field) ShownOptions() map[string]any {
	out := f.WireOptions()
	if f.calc == nil {
		return out
	}
	out["isValid"] = f.calc.Valid()
	if f.Type == Count {
		return out
	}
	if f.Type != Lookup {
		refs := []string{}
		if f.calc.Formula != nil {
			refs = append(refs, f.calc.Formula.Fields()...)
		}
		out["referencedFieldIds"] = refs
	}
	out["result"] = nil
	if f.calc.Valid() {
		out["result"] = Result{f.calc.shown.Type, f.calc.shown.Options}.wire()
	}
	return out
}

// Result says how a derived field shows its values: as a field of this type would.
type Result struct {
	Type    FieldType
	Options Options
}

func (r Result) wire() map[string]any {
	shown := Field{Type: r.Type, Options: r.Options}
	out := map[string]any{"type": string(r.Type)}
	if options := shown.WireOptions(); options != nil {
		out["options"] = options
	}
	return out
}

// resultTypes are those that may be chosen.
var resultTypes = []FieldType{SingleLineText, Number, Currency, Percent, Duration, Checkbox, Date, DateTime}

// result reads how results shall be shown; nil leaves it to the store. Airtable has
// it in its schemas but refuses it when a field is created; there it is set by hand,
// which this store has no other place for.
func (r *optionReader) result() *Result {
	if r.in["result"] == nil {
		return nil
	}
	in, _ := r.in["result"].(map[string]any)
	t, _ := in["type"].(string)
	options, ok := in["options"].(map[string]any)
	if !slices.Contains(resultTypes, FieldType(t)) || !ok && in["options"] != nil {
		r.fail("result", "is not one of the allowed values")
		return nil
	}
	out := &Result{Type: FieldType(t)}
	if out.Options, r.err = ParseOptions(out.Type, strings.TrimSuffix(r.at, ".options")+".options.result", options); r.err != nil {
		return nil
	}
	return out
}

func readFormula(r *optionReader) Options { return Options{Formula: r.text("formula", nil)} }

func wireFormula(o Options) map[string]any { return map[string]any{"formula": o.Formula} }

func readRollup(r *optionReader) Options {
	o := readLookup(r)
	o.Formula = r.text("formula", nil)
	return o
}

func wireRollup(o Options) map[string]any {
	m := wireLookup(o)
	m["formula"] = o.Formula
	return m
}

func readLookup(r *optionReader) Options {
	o := readCount(r)
	o.Target = FieldID(r.text("fieldIdInLinkedTable", nil))
	return o
}

func wireLookup(o Options) map[string]any {
	m := wireCount(o)
	m["fieldIdInLinkedTable"] = string(o.Target)
	return m
}

func readCount(r *optionReader) Options {
	return Options{Via: FieldID(r.text("recordLinkFieldId", nil))}
}

func wireCount(o Options) map[string]any {
	return map[string]any{"recordLinkFieldId": string(o.Via)}
}

// maxFormula bounds the text of a field's formula with fields by id: all of a base's
// are parsed whenever its schema is read.
const maxFormula = 64 << 10

// derive binds the new derived fields. They may have been given fields by name, in
// any letter case where Airtable allows it, and are kept by id. It refuses those that
// cannot be computed.
func (d *Draft) derive() error {
	var fresh []*Field
	for _, f := range d.added() {
		if f.Type.Derived() {
			fresh = append(fresh, f)
		}
	}
	for _, f := range fresh {
		if err := d.resolve(f); err != nil {
			return err
		}
	}
	d.Base.Bind()
	for _, f := range fresh {
		if !f.calc.Valid() {
			return f.calc.fault
		}
	}
	return nil
}

func (d *Draft) resolve(f *Field) error {
	t := d.Base.Table(string(f.Table))
	if via := t.Field(string(f.Options.Via)); via != nil {
		f.Options.Via = via.ID
		if linked := d.Base.Linked(via); linked != nil && via.Type == MultipleRecordLinks {
			if target := linked.Field(string(f.Options.Target)); target != nil {
				f.Options.Target = target.ID
			}
		}
	}
	if f.Type != Formula && f.Type != Rollup {
		return nil
	}
	schema := formula.Schema{Values: &formula.Type{}}
	if f.Type == Formula {
		schema.Values = nil
		for _, other := range t.Fields {
			schema.Fields = append(schema.Fields, formula.Field{ID: string(other.ID), Name: other.Name})
		}
	}
	checked, err := formula.Compile(f.Options.Formula, schema, formula.Limits{})
	if err != nil {
		return InvalidFormula(formula.FieldMessage(err))
	}
	f.Options.Formula = checked.Source(func(field formula.Field) string { return field.ID })
	if len(f.Options.Formula) > maxFormula {
		return InvalidFormula(formula.FieldMessage(nil))
	}
	return nil
}

// added returns all fields that the draft added.
func (d *Draft) added() []*Field {
	fields := slices.Clone(d.Fields)
	for _, t := range d.Tables {
		fields = append(fields, t.Fields...)
	}
	return fields
}

// InvalidFormula refuses a field's formula in the words of package formula.
func InvalidFormula(message string) *Error {
	return &Error{Status: unprocessable, Type: "INVALID_FIELD_TYPE_OPTIONS_FOR_CREATE", Message: message}
}

// decided are the options that the store finds out by itself and Airtable refuses.
var decided = map[FieldType][]string{
	MultipleRecordLinks: {"isReversed", "prefersSingleRecordLink", "inverseLinkFieldId"},
	Formula:             {"isValid", "referencedFieldIds"},
	Rollup:              {"isValid", "referencedFieldIds"},
	Lookup:              {"isValid", "result"},
	Count:               {"isValid", "result"},
}

// refuseDecided refuses what a client must not ask for.
func refuseDecided(spec FieldSpec, options map[string]any) error {
	for _, key := range slices.Sorted(maps.Keys(options)) {
		if slices.Contains(decided[spec.Type], key) {
			return invalidOptions("%s.options.%s is not allowed", spec.Name, key)
		}
	}
	return nil
}
