// Package formula is Airtable's formula language: of filterByFormula, formula
// fields and the aggregation of rollups.
//
//	f, err := formula.Compile(`AND({Qty} > 2, FIND("red", {Tags}))`, schema, formula.Limits{})
//	if err != nil {
//		return formula.FilterMessage(err) // Airtable's words
//	}
//	if f.Matches(&formula.Env{Now: now, Cell: cellOf(record)}) { … }
//
// A text is parsed (Parse), bound to the fields of a table (Expr.Check, which also
// finds the type of its result) and evaluated for a record (Formula.Eval). Nothing
// that a formula does is an error of Go's: what goes wrong while evaluating is an
// error value, as Airtable shows it. FromCell makes values of cells, Value.JSON and
// Formula.Result make cells of values. Order says in which order formula fields
// must be computed and which can not; Inline makes one formula of a formula and those of
// the fields that it names. Package sqlgen does the work of a filter in
// PostgreSQL where that gives exactly the same answer.
//
// Formulas come from strangers. The source, the nesting, the size of what arises and
// the work of an evaluation are bounded (Limits); what goes beyond is refused when
// parsing and an error value when evaluating.
//
// Where Airtable's behaviour is not known, the choice is one constant or function
// with the word unconfirmed in its comment.
package formula
