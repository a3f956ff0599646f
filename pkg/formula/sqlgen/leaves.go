package sqlgen

import (
	"encoding/json"
	"math"
	"slices"
	"strings"

	"github.com/pyairtable/pyairtable/pkg/formula"
)

// maxIndexed is how many values a field may be compared with by an index each.
const maxIndexed = 8

// maxDomain is for how many choices a part is evaluated beforehand, and maxPart how
// large the part may be.
const (
	maxDomain = 500
	maxPart   = 200
)

// finite evaluates a part that depends on one select or checkbox alone for each
// value that the cell may have. Whatever the part does, the answer is exact.
func (c *compiler) finite(n formula.Node) (cond, bool) {
	id, ok := c.onlyField(n)
	if !ok {
		return cond{}, false
	}
	column := c.table.Columns[id]
	cells := []any{nil, true}
	if column.Storage == AsChoice {
		cells = cells[:1]
		for _, choice := range column.Choices {
			cells = append(cells, choice.ID)
		}
	}
	if len(cells) > maxDomain {
		return cond{}, false
	}
	out, ok := c.outcomes(n, column, cells)
	switch {
	case !ok:
		return cond{}, false
	case column.Storage == AsChoice:
		return c.chosen(id, out)
	case out.blank == out.checked:
		return truth(out.blank), true
	}
	box := cond{`COALESCE((r.cells -> ` + c.arg(id) + `::text) = 'true'::jsonb, FALSE)`, true}
	if out.blank {
		return box.negated(), true
	}
	return box, true
}

// outcomes says for which cells a part is true.
type outcomes struct {
	blank, checked bool
	yes, no        []string // ids of choices
}

// outcomes fails if the part is an error or a list for one of the cells.
func (c *compiler) outcomes(n formula.Node, column Column, cells []any) (out outcomes, ok bool) {
	part := c.f.Part(n)
	for _, cell := range cells {
		value := column.value(cell)
		v := part.EvalWithin(&formula.Env{Now: c.env.Now, Cell: func(string) formula.Value { return value }}, &c.work)
		if v.Kind() == formula.KindError || v.Kind() == formula.KindList {
			return out, false
		}
		switch cell := cell.(type) {
		case nil:
			out.blank = v.Truthy()
		case bool:
			out.checked = v.Truthy()
		case string:
			if v.Truthy() {
				out.yes = append(out.yes, cell)
			} else {
				out.no = append(out.no, cell)
			}
		}
	}
	return out, true
}

// onlyField returns the id of the one field that a part depends on, if its cells
// can have but few values.
func (c *compiler) onlyField(n formula.Node) (id string, ok bool) {
	size := 0
	ok = !c.f.Part(n).UsesRecord()
	formula.Walk(n, func(n formula.Node) {
		size++
		ref, isField := n.(*formula.FieldNode)
		if !isField {
			return
		}
		field, known := c.f.Field(ref)
		ok = ok && known && (id == "" || id == field.ID)
		id = field.ID
	})
	storage := c.table.Columns[id].Storage
	return id, ok && size <= maxPart && (storage == AsChoice || storage == AsCheckbox)
}

func (c *compiler) chosen(id string, out outcomes) (cond, bool) {
	ids := out.yes
	if out.blank {
		ids = out.no
	}
	if len(ids) == 0 {
		return truth(out.blank), true
	}
	in := `COALESCE((r.cells ->> ` + c.arg(id) + `::text) = ANY(` + c.arg(ids) + `::text[]), FALSE)`
	if out.blank {
		return exactly("(NOT " + in + ")")
	}
	if len(ids) <= maxIndexed && c.table.Contains != nil {
		var sqls []string
		for _, choice := range ids {
			sqls = append(sqls, c.contains(id, choice))
		}
		in = allOf([]string{anyOf(sqls), in})
	}
	return exactly(in)
}

func (c *compiler) contains(field string, value any) string {
	object, err := json.Marshal(map[string]any{field: value})
	if err != nil { // only of numbers that are none, and those are not asked for
		return sqlTrue
	}
	return c.table.Contains(c.arg(object))
}

// textOf is the text of a text column, ” if blank.
func (c *compiler) textOf(id string) string {
	p := c.arg(id) + `::text`
	return `(CASE WHEN jsonb_typeof(r.cells -> ` + p + `) = 'string' THEN r.cells ->> ` + p + ` ELSE '' END COLLATE "C")`
}

// numberOf is the number of a number column, 0 if blank.
func (c *compiler) numberOf(id string) string {
	if c.table.Columns[id].Storage == RowNumber {
		return `r.number::float8`
	}
	p := c.arg(id) + `::text`
	return `(CASE WHEN jsonb_typeof(r.cells -> ` + p + `) = 'number' THEN (r.cells ->> ` + p + `)::float8 ELSE 0 END)`
}

// dateOf is the ISO form of a date column, ” if blank.
func (c *compiler) dateOf(id string) string {
	const moment, day = `'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'`, `'YYYY-MM-DD'`
	stamp := func(column, form string) string {
		return `(COALESCE(to_char(date_trunc('milliseconds', ` + column + ` AT TIME ZONE 'UTC'), ` + form + `), '') COLLATE "C")`
	}
	form := `____-__-__T__:__:__.___Z`
	switch c.table.Columns[id].Storage {
	case RowCreated:
		return stamp(`r.created_at`, moment)
	case RowCreatedDay:
		return stamp(`r.created_at`, day)
	case RowModified:
		return stamp(`r.modified_at`, moment)
	case RowModifiedDay:
		return stamp(`r.modified_at`, day)
	case AsDate:
		form = `____-__-__`
	}
	p := c.arg(id) + `::text`
	return `(CASE WHEN jsonb_typeof(r.cells -> ` + p + `) = 'string' AND r.cells ->> ` + p + ` LIKE '` + form + `' THEN r.cells ->> ` + p + ` ELSE '' END COLLATE "C")`
}

// momentOf is a date column in the form of a moment. Of a blank it is less than that
// of any date.
func (c *compiler) momentOf(id string) string {
	switch c.table.Columns[id].Storage {
	case AsDate, RowCreatedDay, RowModifiedDay:
		return `(` + c.dateOf(id) + ` || 'T00:00:00.000Z')`
	}
	return c.dateOf(id)
}

// class is how a column's values compare.
type class uint8

const (
	noClass class = iota
	textClass
	numberClass
	dateClass
)

func (c *compiler) class(n formula.Node) (id string, k class) {
	ref, ok := n.(*formula.FieldNode)
	if !ok {
		return "", noClass
	}
	field, ok := c.f.Field(ref)
	if !ok {
		return "", noClass
	}
	switch c.table.Columns[field.ID].Storage {
	case AsText:
		return field.ID, textClass
	case AsNumber, RowNumber:
		return field.ID, numberClass
	case AsDate, AsDateTime, RowCreated, RowCreatedDay, RowModified, RowModifiedDay:
		return field.ID, dateClass
	}
	return "", noClass
}

// present is a field as a condition.
func (c *compiler) present(n *formula.FieldNode) (cond, bool) {
	id, k := c.class(n)
	switch k {
	case textClass:
		return exactly(`(` + c.textOf(id) + ` <> '')`)
	case numberClass:
		return exactly(`(` + c.numberOf(id) + ` <> 0)`)
	case dateClass:
		return exactly(`(` + c.dateOf(id) + ` <> '')`)
	}
	return cond{}, false
}

// mirrored is the operator with its sides exchanged.
func mirrored(op string) string {
	switch op[0] {
	case '<':
		return ">" + op[1:]
	case '>':
		return "<" + op[1:]
	}
	return op
}

func (c *compiler) comparison(left formula.Node, op string, right formula.Node) (cond, bool) {
	if strings.Contains("+-*/&", op) {
		return cond{}, false
	}
	if v, ok := c.constant(right); ok {
		return c.against(left, op, v)
	}
	if v, ok := c.constant(left); ok {
		return c.against(right, mirrored(op), v)
	}
	a, k := c.class(left)
	b, other := c.class(right)
	if k != other || k == noClass {
		return cond{}, false
	}
	return c.columns(a, op, b, k)
}

// sqlOp is the operator as PostgreSQL writes it.
func sqlOp(op string) string {
	if op == "!=" {
		return "<>"
	}
	return op
}

// columns compares two columns of one class.
func (c *compiler) columns(a, op, b string, k class) (cond, bool) {
	switch {
	case k == numberClass:
		return exactly(`(` + c.numberOf(a) + ` ` + sqlOp(op) + ` ` + c.numberOf(b) + `)`)
	case op == "=" || op == "!=":
		x, y := c.textOf, c.textOf
		if k == dateClass {
			x, y = c.momentOf, c.momentOf
			if blankForm(c.table.Columns[a]) != blankForm(c.table.Columns[b]) {
				return cond{}, false
			}
		}
		return exactly(`(` + x(a) + ` ` + sqlOp(op) + ` ` + y(b) + `)`)
	}
	return cond{}, false
}

// blankForm tells the columns whose momentOf is ” for a blank from the others.
func blankForm(c Column) bool {
	return c.Storage == AsDate || c.Storage == RowCreatedDay || c.Storage == RowModifiedDay
}

// against compares a part with a constant.
func (c *compiler) against(n formula.Node, op string, v formula.Value) (cond, bool) {
	if v.Kind() == formula.KindError || v.Kind() == formula.KindList || v.Kind() == formula.KindText && !storable(v.String()) {
		return cond{}, false
	}
	switch n := n.(type) {
	case *formula.FieldNode:
		id, k := c.class(n)
		switch k {
		case textClass:
			return c.textAgainst(id, op, v)
		case numberClass:
			return c.numberAgainst(id, op, v)
		case dateClass:
			return c.dateAgainst(id, op, v)
		}
	case *formula.ChainNode:
		return c.emptiness(n, op, v)
	case *formula.CallNode:
		return c.callAgainst(n, op, v)
	}
	return cond{}, false
}

// same is an equality for = and its negation for !=; other operators are left to
// the evaluator.
func same(op, sql string) (cond, bool) {
	equal := cond{sql, true}
	switch op {
	case "=":
		return equal, true
	case "!=":
		return equal.negated(), true
	}
	return cond{}, false
}

// blankLike reports whether a constant is blank to everything: blank or "".
func blankLike(v formula.Value) bool {
	return v.Kind() == formula.KindBlank || v.Kind() == formula.KindText && v.String() == ""
}

func numeric(v formula.Value) bool {
	return v.Kind() == formula.KindNumber || v.Kind() == formula.KindBool
}

// ordersAsBytes reports whether a text compares with any other by code unit as it
// does by byte: it has no character from U+D800 on.
func ordersAsBytes(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 0xD800 }) < 0
}

func (c *compiler) textAgainst(id, op string, v formula.Value) (cond, bool) {
	switch {
	case op != "=" && op != "!=":
		if v.Kind() != formula.KindText && v.Kind() != formula.KindBlank || !ordersAsBytes(v.String()) {
			return cond{}, false
		}
		return exactly(`(` + c.textOf(id) + ` ` + op + ` ` + c.arg(v.String()) + `::text)`)
	case blankLike(v), numeric(v) && v.Float() == 0:
		return same(op, `(`+c.textOf(id)+` = '')`)
	case numeric(v):
		return same(op, sqlFalse)
	}
	return same(op, c.equalText(id, v.String()))
}

// equalText is that a text column has this text, which is not empty.
func (c *compiler) equalText(id, text string) string {
	sql := c.textOf(id) + ` = ` + c.arg(text) + `::text`
	if c.table.Contains != nil {
		sql = c.contains(id, text) + ` AND ` + sql
	}
	return `(` + sql + `)`
}

func (c *compiler) numberAgainst(id, op string, v formula.Value) (cond, bool) {
	n := v.Float()
	switch {
	case math.IsNaN(n):
		return truth(op == "!="), true
	case !numeric(v) && !blankLike(v):
		return same(op, sqlFalse)
	}
	sql := c.numberOf(id) + ` ` + sqlOp(op) + ` ` + c.arg(n) + `::float8`
	if op == "=" && n != 0 && !math.IsInf(n, 0) && c.table.Contains != nil && c.table.Columns[id].Storage == AsNumber {
		sql = c.contains(id, n) + ` AND ` + sql
	}
	return exactly(`(` + sql + `)`)
}

func (c *compiler) dateAgainst(id, op string, v formula.Value) (cond, bool) {
	switch {
	case v.Kind() == formula.KindDate:
		sql := `(` + c.momentOf(id) + ` ` + sqlOp(op) + ` ` + c.arg(v.Time().Format(momentForm)) + `::text)`
		if op == "=" || op == "!=" {
			return exactly(sql)
		}
		return exactly(`(` + c.dateOf(id) + ` <> '' AND ` + sql + `)`)
	case blankLike(v):
		switch op {
		case "<", ">":
			return truth(false), true
		case "<=", ">=":
			op = "="
		}
		return same(op, `(`+c.dateOf(id)+` = '')`)
	case numeric(v) && v.Float() == 0:
		return same(op, `(`+c.dateOf(id)+` = '')`)
	case numeric(v):
		return same(op, sqlFalse)
	case ordersAsBytes(v.String()):
		return exactly(`(` + c.dateOf(id) + ` ` + sqlOp(op) + ` ` + c.arg(v.String()) + `::text)`)
	}
	return cond{}, false
}

// emptiness is {Field}&"" = "", by which people tell an empty number from a 0.
func (c *compiler) emptiness(n *formula.ChainNode, op string, v formula.Value) (cond, bool) {
	if n.Rest[0].Op != "&" || !blankLike(v) {
		return cond{}, false
	}
	parts := []formula.Node{n.First}
	for _, link := range n.Rest {
		parts = append(parts, link.X)
	}
	var sqls []string
	for _, part := range parts {
		if v, ok := c.constant(part); ok && blankLike(v) {
			continue
		}
		sql, ok := c.empty(part)
		if !ok {
			return cond{}, false
		}
		sqls = append(sqls, sql)
	}
	return same(op, allOf(sqls))
}

func (c *compiler) empty(n formula.Node) (string, bool) {
	id, k := c.class(n)
	switch k {
	case textClass:
		return `(` + c.textOf(id) + ` = '')`, true
	case dateClass:
		return `(` + c.dateOf(id) + ` = '')`, true
	case numberClass:
		if c.table.Columns[id].Storage == AsNumber {
			return `(jsonb_typeof(r.cells -> ` + c.arg(id) + `::text) IS DISTINCT FROM 'number')`, true
		}
	}
	return "", false
}

func (c *compiler) callAgainst(n *formula.CallNode, op string, v formula.Value) (cond, bool) {
	switch n.Name {
	case "RECORD_ID":
		if v.Kind() == formula.KindText {
			return same(op, `(r.id = `+c.arg(v.String())+`::text)`)
		}
	case "FIND", "SEARCH":
		return c.foundAgainst(n, op, v)
	case "LOWER", "UPPER":
		text, exact, ok := c.searchable(n)
		if !ok || exact || op != "=" || v.Kind() != formula.KindText || v.String() == "" {
			return cond{}, false
		}
		return cond{sql: `(` + text + ` = ` + c.arg(v.String()) + `::text OR ` + c.beyondASCII(n.Args[0]) + `)`}, true
	}
	return cond{}, false
}

// searchable is the text of a text or date column, or of LOWER or UPPER of it: then
// only for texts in ASCII, for letter case beyond is not what it is in Go.
func (c *compiler) searchable(n formula.Node) (sql string, exact, ok bool) {
	if call, isCall := n.(*formula.CallNode); isCall {
		if call.Name != "LOWER" && call.Name != "UPPER" {
			return "", false, false
		}
		if _, k := c.class(call.Args[0]); k != textClass {
			return "", false, false
		}
		text, _, _ := c.searchable(call.Args[0])
		return strings.ToLower(call.Name) + `(` + text + `)`, false, true
	}
	switch id, k := c.class(n); k {
	case textClass:
		return c.textOf(id), true, true
	case dateClass:
		return c.dateOf(id), true, true
	}
	return "", false, false
}

func (c *compiler) beyondASCII(n formula.Node) string {
	id, _ := c.class(n)
	text := c.textOf(id)
	return `octet_length(` + text + `) <> length(` + text + `)`
}

// found is FIND or SEARCH of a constant in a column, as a condition.
func (c *compiler) found(n *formula.CallNode) (cond, bool) {
	what, ok := c.constant(n.Args[0])
	if !ok || len(n.Args) != 2 || what.Kind() == formula.KindError || !storable(what.String()) {
		return cond{}, false
	}
	text, exact, ok := c.searchable(n.Args[1])
	if !ok {
		return cond{}, false
	}
	if what.String() == "" {
		return truth(true), true
	}
	sql := `strpos(` + text + `, ` + c.arg(what.String()) + `::text) > 0`
	if !exact {
		call, _ := n.Args[1].(*formula.CallNode)
		sql += ` OR ` + c.beyondASCII(call.Args[0])
	}
	return cond{`(` + sql + `)`, exact}, true
}

// foundAgainst knows the comparisons that ask whether something was found at all.
func (c *compiler) foundAgainst(n *formula.CallNode, op string, v formula.Value) (cond, bool) {
	if !numeric(v) && !blankLike(v) {
		return cond{}, false
	}
	found, ok := c.found(n)
	if !ok {
		return cond{}, false
	}
	switch zero := v.Float() == 0; {
	case zero && (op == ">" || op == "!="), v.Float() == 1 && op == ">=":
		return found, true
	case zero && (op == "=" || op == "<="), v.Float() == 1 && op == "<":
		return found.negated(), found.exact
	}
	return cond{}, false
}

// relation is IS_SAME, IS_BEFORE or IS_AFTER of a date column and a constant.
func (c *compiler) relation(n *formula.CallNode) (cond, bool) {
	unit := "milliseconds"
	if len(n.Args) == 3 {
		v, ok := c.constant(n.Args[2])
		if !ok || v.Kind() == formula.KindError {
			return cond{}, false
		}
		unit = v.String()
	}
	id, k := c.class(n.Args[0])
	v, ok := c.constant(n.Args[1])
	name := n.Name
	if !ok {
		id, k = c.class(n.Args[1])
		if v, ok = c.constant(n.Args[0]); !ok {
			return cond{}, false
		}
		name = map[string]string{"IS_SAME": "IS_SAME", "IS_BEFORE": "IS_AFTER", "IS_AFTER": "IS_BEFORE"}[name]
	}
	if k != dateClass || len(n.Args) == 3 && c.table.Columns[id].Zone != nil {
		return cond{}, false
	}
	if blankLike(v) {
		return truth(false), true
	}
	return c.dateWithin(id, name, v.Date(), unit)
}

func (c *compiler) dateWithin(id, name string, v formula.Value, unit string) (cond, bool) {
	if v.Kind() != formula.KindDate {
		return cond{}, false
	}
	from, to := v.Bounds(unit)
	if from.Kind() != formula.KindDate || to.Kind() != formula.KindDate {
		return cond{}, false
	}
	column := c.momentOf(id)
	low := column + ` >= ` + c.arg(from.Time().Format(momentForm)) + `::text`
	high := column + ` < ` + c.arg(to.Time().Format(momentForm)) + `::text`
	sqls := []string{c.dateOf(id) + ` <> ''`}
	switch name {
	case "IS_SAME":
		sqls = append(sqls, low, high)
	case "IS_BEFORE":
		sqls = append(sqls, strings.Replace(low, ` >= `, ` < `, 1))
	case "IS_AFTER":
		sqls = append(sqls, strings.Replace(high, ` < `, ` >= `, 1))
	}
	return exactly(allOf(slices.Clip(sqls)))
}
