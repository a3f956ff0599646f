package formula_test

import (
	"fmt"
	"time"

	"github.com/pyairtable/pyairtable/pkg/formula"
)

func Example() {
	table := formula.Schema{Fields: []formula.Field{
		{ID: "fldQty", Name: "Qty", Type: formula.Type{Kind: formula.KindNumber}},
		{ID: "fldDue", Name: "Due", Type: formula.Type{Kind: formula.KindDate, Day: true}},
	}}
	record := map[string]any{"fldQty": 3.0, "fldDue": "2024-05-01"}
	types := map[string]formula.Type{"fldQty": table.Fields[0].Type, "fldDue": table.Fields[1].Type}
	env := &formula.Env{
		Now:  time.Date(2024, 5, 2, 0, 0, 0, 0, time.UTC),
		Cell: func(id string) formula.Value { return formula.FromCell(types[id], record[id]) },
	}

	late, err := formula.Compile(`AND({Qty} > 2, IS_BEFORE({Due}, TODAY()))`, table, formula.Limits{})
	fmt.Println(late.Matches(env), err)

	label, err := formula.Compile(`Qty & " by " & DATETIME_FORMAT(DATEADD(Due, 1, "month"), "D MMM YYYY")`, table, formula.Limits{})
	fmt.Println(label.Eval(env), label.Type().Kind, err)

	_, err = formula.Compile(`{Quantity} > 2`, table, formula.Limits{})
	fmt.Println(formula.FilterMessage(err))
	// Output:
	// true <nil>
	// 3 by 1 Jun 2024 text <nil>
	// The formula for filtering records is invalid: Unknown field names: quantity
}
