// Package sqlgen makes PostgreSQL do what it can of a filterByFormula.
//
//	filter := sqlgen.Compile(f, now, table, 3) // $1 and $2 are the caller's
//	rows := query(`SELECT … FROM records r WHERE r.tenant_id = $1 AND r.table_id = $2 AND `+filter.SQL, filter.Args…)
//	if filter.Rest != nil {
//		keep of the rows those that filter.Rest.Matches
//	}
//
// SQL and evaluator agree: a record passes Filter exactly if it passes the formula.
// What PostgreSQL would do in a slightly different way (the order of texts, letter
// case, arithmetic that overflows, numbers as text, errors) is left to the
// evaluator, for which Rest is what remains. Of AND(a, b), a can be in SQL and b in
// Rest; and SQL may hold a condition that is only necessary, when Rest holds the
// exact one.
//
// The one exception are formulas that exceed their limit of work: what is done here
// is not counted.
package sqlgen

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pyairtable/pyairtable/pkg/formula"
)

// Filter is a formula as a condition on records.
type Filter struct {
	SQL  string // a condition that is never null, fit to stand after AND
	Args []any  // its parameters, from the number that was asked for

	// Rest is what the records that SQL lets through must pass, evaluated with the
	// same time; nil: nothing.
	Rest *formula.Formula
}

// PostgreSQL takes 65,535 parameters, and long conditions plan slowly.
const (
	maxArgs = 10_000
	maxSQL  = 1 << 20
)

// Compile makes a filter of a formula at a time. firstArg is the number of its
// first parameter. It always succeeds; a filter whose SQL is TRUE has the whole
// formula as its Rest.
func Compile(f *formula.Formula, now time.Time, table Table, firstArg int) Filter {
	c := &compiler{f: f, env: &formula.Env{Now: now}, table: table, first: firstArg, slots: map[any]int{}, work: f.Limits().Work}
	if v, ok := c.constant(f.Root()); ok {
		return Filter{SQL: truth(v.Truthy()).sql}
	}
	var sqls []string
	var rest []formula.Node
	for _, part := range conjuncts(f.Root(), nil) {
		cond, ok := c.condition(part)
		if ok && cond.sql != sqlTrue {
			sqls = append(sqls, cond.sql)
		}
		if !ok || !cond.exact {
			rest = append(rest, part)
		}
	}
	out := c.render(allOf(sqls))
	if c.work < 0 || len(out.Args) > maxArgs || len(out.SQL) > maxSQL {
		return Filter{SQL: sqlTrue, Rest: f}
	}
	switch {
	case len(rest) > 0 && isAnd(f.Root()):
		out.Rest = f.And(rest)
	case len(rest) > 0: // not AND of it, which looks into lists
		out.Rest = f
	}
	return out
}

func isAnd(n formula.Node) bool {
	call, ok := n.(*formula.CallNode)
	return ok && call.Name == "AND"
}

// conjuncts returns the arguments of nested ANDs, or the root alone.
func conjuncts(n formula.Node, out []formula.Node) []formula.Node {
	call, ok := n.(*formula.CallNode)
	if !ok || call.Name != "AND" {
		return append(out, n)
	}
	for _, arg := range call.Args {
		out = conjuncts(arg, out)
	}
	return out
}

const (
	sqlTrue  = "TRUE"
	sqlFalse = "FALSE"
)

// cond is a condition that holds for every record for which a part of the formula
// is true. If it is exact it holds for no other record, and the part is never an
// error. It is never null.
type cond struct {
	sql   string
	exact bool
}

func exactly(sql string) (cond, bool) { return cond{sql, true}, true }

func truth(b bool) cond {
	if b {
		return cond{sqlTrue, true}
	}
	return cond{sqlFalse, true}
}

func (c cond) negated() cond {
	switch c.sql {
	case sqlTrue:
		return cond{sqlFalse, c.exact}
	case sqlFalse:
		return cond{sqlTrue, c.exact}
	}
	return cond{"(NOT " + c.sql + ")", c.exact}
}

func allOf(sqls []string) string { return joined(sqls, " AND ", sqlTrue, sqlFalse) }

func anyOf(sqls []string) string { return joined(sqls, " OR ", sqlFalse, sqlTrue) }

// joined leaves out what does not matter, and is what decides alone if that occurs.
func joined(sqls []string, op, neutral, deciding string) string {
	var kept []string
	for _, sql := range sqls {
		if sql == deciding {
			return deciding
		}
		if sql != neutral {
			kept = append(kept, sql)
		}
	}
	switch len(kept) {
	case 0:
		return neutral
	case 1:
		return kept[0]
	}
	return "(" + strings.Join(kept, op) + ")"
}

type compiler struct {
	f     *formula.Formula
	env   *formula.Env
	table Table
	first int
	args  []any
	slots map[any]int // where in args a text or number is
	work  int         // that evaluating constants may still cost
}

// arg returns a mark for the parameter of a value: a text, a number, a list of texts
// or, as []byte, JSON. Equal texts and numbers share one. What is given up leaves
// values behind that no mark stands for; render numbers the others.
func (c *compiler) arg(v any) string {
	slot, known := 0, false
	switch v.(type) {
	case string, float64:
		if slot, known = c.slots[v]; !known {
			c.slots[v] = len(c.args)
		}
	}
	if !known {
		slot = len(c.args)
		c.args = append(c.args, v)
	}
	return mark + strconv.Itoa(slot) + mark
}

// mark cannot occur in the SQL otherwise: nothing of a client's stands there.
const mark = "\x00"

// render puts parameters in the place of marks.
func (c *compiler) render(sql string) Filter {
	var out Filter
	numbers := map[string]string{}
	pieces := strings.Split(sql, mark)
	for i := 1; i < len(pieces); i += 2 {
		number, known := numbers[pieces[i]]
		if !known {
			slot, err := strconv.Atoi(pieces[i])
			if err != nil {
				return Filter{SQL: sqlTrue, Rest: c.f} // Table.Contains broke a mark
			}
			number = "$" + strconv.Itoa(c.first+len(out.Args))
			numbers[pieces[i]] = number
			out.Args = append(out.Args, c.args[slot])
		}
		pieces[i] = number
	}
	out.SQL = strings.Join(pieces, "")
	return out
}

// constant evaluates a part that depends on no record. All of them together may cost
// what evaluating the formula may.
func (c *compiler) constant(n formula.Node) (formula.Value, bool) {
	part := c.f.Part(n)
	if part.UsesRecord() || mentions(n) {
		return formula.Value{}, false
	}
	return part.EvalWithin(c.env, &c.work), true
}

// mentions reports whether a part names a field.
func mentions(n formula.Node) bool {
	found := false
	formula.Walk(n, func(n formula.Node) {
		_, field := n.(*formula.FieldNode)
		found = found || field
	})
	return found
}

// condition returns false if SQL can say nothing about the part.
func (c *compiler) condition(n formula.Node) (cond, bool) {
	if v, ok := c.constant(n); ok {
		if v.Kind() == formula.KindError || v.Kind() == formula.KindList {
			return cond{}, false
		}
		return truth(v.Truthy()), true
	}
	if cond, ok := c.finite(n); ok {
		return cond, true
	}
	switch n := n.(type) {
	case *formula.FieldNode:
		return c.present(n)
	case *formula.ChainNode:
		if len(n.Rest) == 1 {
			return c.comparison(n.First, n.Rest[0].Op, n.Rest[0].X)
		}
	case *formula.CallNode:
		return c.call(n)
	}
	return cond{}, false
}

func (c *compiler) call(n *formula.CallNode) (cond, bool) {
	switch n.Name {
	case "AND":
		return c.and(n.Args)
	case "OR":
		return c.or(n.Args)
	case "NOT":
		inner, ok := c.condition(n.Args[0])
		return inner.negated(), ok && inner.exact
	case "XOR":
		return c.xor(n.Args)
	case "IF":
		return c.choose(n.Args)
	case "FIND", "SEARCH":
		return c.found(n)
	case "IS_SAME", "IS_BEFORE", "IS_AFTER":
		return c.relation(n)
	case "RECORD_ID":
		return truth(true), true
	}
	return cond{}, false
}

// and leaves out what SQL cannot do: the others are necessary all the same.
func (c *compiler) and(args []formula.Node) (cond, bool) {
	out := cond{exact: true}
	var sqls []string
	for _, arg := range args {
		part, ok := c.condition(arg)
		out.exact = out.exact && ok && part.exact
		if ok {
			sqls = append(sqls, part.sql)
		}
	}
	out.sql = allOf(sqls)
	return out, len(sqls) > 0
}

func (c *compiler) or(args []formula.Node) (cond, bool) {
	sqls, args := c.grouped(args)
	out := cond{exact: true}
	for _, arg := range args {
		part, ok := c.condition(arg)
		if !ok {
			return cond{}, false
		}
		out.exact = out.exact && part.exact
		sqls = append(sqls, part.sql)
	}
	out.sql = anyOf(sqls)
	return out, true
}

// grouped makes one condition of all the comparisons of the record's id, and of each
// text field, with texts; clients send hundreds of them. The other terms are
// returned.
func (c *compiler) grouped(args []formula.Node) (sqls []string, others []formula.Node) {
	var order []string
	groups := map[string][]string{}
	for _, arg := range args {
		key, text, ok := c.equation(arg)
		if !ok {
			others = append(others, arg)
			continue
		}
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], text)
	}
	for _, key := range order {
		if key == "" {
			sqls = append(sqls, `(r.id = ANY(`+c.arg(groups[key])+`::text[]))`)
			continue
		}
		if texts := groups[key]; len(texts) <= maxIndexed && c.table.Contains != nil {
			for _, text := range texts {
				sqls = append(sqls, c.equalText(key, text))
			}
			continue
		}
		sqls = append(sqls, `(`+c.textOf(key)+` = ANY(`+c.arg(groups[key])+`::text[]))`)
	}
	return sqls, others
}

// equation recognises RECORD_ID() = 'text' (key "") and {text field} = 'text'; the
// text is neither empty nor one that PostgreSQL cannot hold.
func (c *compiler) equation(n formula.Node) (key, text string, ok bool) {
	chain, ok := n.(*formula.ChainNode)
	if !ok || len(chain.Rest) != 1 || chain.Rest[0].Op != "=" {
		return "", "", false
	}
	subject, other := chain.First, chain.Rest[0].X
	v, ok := c.constant(other)
	if !ok {
		subject = other
		if v, ok = c.constant(chain.First); !ok {
			return "", "", false
		}
	}
	if text = v.String(); v.Kind() != formula.KindText || text == "" || !storable(text) {
		return "", "", false
	}
	switch subject := subject.(type) {
	case *formula.CallNode:
		return "", text, subject.Name == "RECORD_ID"
	case *formula.FieldNode:
		field, known := c.f.Field(subject)
		return field.ID, text, known && c.table.Columns[field.ID].Storage == AsText
	}
	return "", "", false
}

func (c *compiler) xor(args []formula.Node) (cond, bool) {
	var sqls []string
	for _, arg := range args {
		part, ok := c.condition(arg)
		if !ok || !part.exact {
			return cond{}, false
		}
		sqls = append(sqls, part.sql+"::int")
	}
	return exactly("((" + strings.Join(sqls, " + ") + ") % 2 = 1)")
}

func (c *compiler) choose(args []formula.Node) (cond, bool) {
	question, ok := c.condition(args[0])
	if !ok {
		return cond{}, false
	}
	yes, ok := c.condition(args[1])
	if !ok {
		return cond{}, false
	}
	no := truth(false)
	if len(args) == 3 {
		if no, ok = c.condition(args[2]); !ok {
			return cond{}, false
		}
	}
	first := allOf([]string{question.sql, yes.sql})
	if !question.exact { // it may hold when the answer is no
		return cond{sql: anyOf([]string{first, no.sql})}, true
	}
	second := allOf([]string{question.negated().sql, no.sql})
	return cond{anyOf([]string{first, second}), yes.exact && no.exact}, true
}

// storable reports whether PostgreSQL can hold a text.
func storable(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }
