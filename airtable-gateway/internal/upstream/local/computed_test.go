package local_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// field makes a field by the API and returns it.
func (b *bench) field(table, name, kind string, options object) object {
	b.t.Helper()
	body, err := json.Marshal(object{"name": name, "type": kind, "options": options})
	if err != nil {
		b.t.Fatal(err)
	}
	return b.ok(createField(table, string(body)))
}

func (b *bench) formula(table, name, text string) object {
	b.t.Helper()
	return b.field(table, name, "formula", object{"formula": text})
}

// trade is three tables in a row, Invoices <- Orders <- People, with a formula,
// lookup, rollup and count over each link.
func (b *bench) trade() *bench {
	b.t.Helper()
	base, err := b.store.CreateBase(b.t.Context(), b.who, models.BaseSpec{Name: "Trade", Tables: []models.TableSpec{
		{ID: "tblLines", Name: "Lines", Fields: []models.FieldSpec{
			{ID: "fldLine", Name: "Line", Type: models.SingleLineText},
			{ID: "fldQty", Name: "Qty", Type: models.Number, Options: option("precision", 0)},
			{ID: "fldPrice", Name: "Price", Type: models.Currency, Options: option("precision", 2, "symbol", "€")},
			{ID: "fldGift", Name: "Gift", Type: models.Checkbox, Options: option("icon", "check", "color", "greenBright")},
			{ID: "fldLabels", Name: "Labels", Type: models.MultipleSelects, Options: option("choices", []any{option("name", "new"), option("name", "hot")})},
			{ID: "fldSum", Name: "Sum", Type: models.Formula, Options: option("formula", "{Qty} * Price")},
		}},
		{ID: "tblOrders", Name: "Orders", Fields: []models.FieldSpec{
			{ID: "fldTitle", Name: "Title", Type: models.Formula, Options: option("formula", `"#" & {No}`)},
			{ID: "fldNo", Name: "No", Type: models.SingleLineText},
			{ID: "fldLinesOf", Name: "Lines", Type: models.MultipleRecordLinks, Options: option("linkedTableId", "tblLines", "inverseLinkFieldId", "fldOrderOf")},
			{ID: "fldSums", Name: "Sums", Type: models.Lookup, Options: option("recordLinkFieldId", "Lines", "fieldIdInLinkedTable", "Sum")},
			{ID: "fldTotal", Name: "Total", Type: models.Rollup, Options: option("recordLinkFieldId", "fldLinesOf", "fieldIdInLinkedTable", "fldSum", "formula", "SUM(values)")},
			{ID: "fldGross", Name: "Gross", Type: models.Formula, Options: option("formula", "ROUND({Total}*1.2, 2)")},
			{ID: "fldCount", Name: "Count", Type: models.Count, Options: option("recordLinkFieldId", "fldLinesOf")},
			{ID: "fldText", Name: "Text", Type: models.Formula, Options: option("formula", `{Lines} & " of " & {Buyer} & ": " & {Sums}`)},
			{ID: "fldBuyer", Name: "Buyer", Type: models.MultipleRecordLinks, Options: option("linkedTableId", "tblPeople", "inverseLinkFieldId", "fldBought")},
			{ID: "fldAuto", Name: "Auto", Type: models.AutoNumber},
		}},
		{ID: "tblPeople", Name: "People", Fields: []models.FieldSpec{
			{ID: "fldName", Name: "Name", Type: models.SingleLineText},
			{ID: "fldSpent", Name: "Spent", Type: models.Rollup, Options: option("recordLinkFieldId", "fldBought", "fieldIdInLinkedTable", "fldGross", "formula", "SUM(values)")},
			{ID: "fldAll", Name: "All", Type: models.Lookup, Options: option("recordLinkFieldId", "fldBought", "fieldIdInLinkedTable", "fldSums")},
			{ID: "fldWhat", Name: "What", Type: models.Lookup, Options: option("recordLinkFieldId", "fldBought", "fieldIdInLinkedTable", "fldLinesOf")},
			{ID: "fldVerdict", Name: "Verdict", Type: models.Formula, Options: option("formula", `{Name} & IF({Spent} > 100, " is rich", " saves")`)},
		}},
	}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.base = base
	return b
}

func TestComputed_ChainAcrossThreeTablesFollowsItsFarEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t).trade()
	ann := b.made("People", `{"Name":"Ann"}`)
	pen := b.made("Lines", `{"Line":"pen","Qty":2,"Price":1.5}`)
	ink := b.made("Lines", `{"Line":"ink","Qty":1,"Price":7}`)
	order := b.ok(create("Orders", `{"fields":{"No":"7","Lines":["`+pen+`","`+ink+`"],"Buyer":["`+ann+`"]}}`))
	want := object{
		"Title": "#7", "No": "7", "Lines": []any{pen, ink}, "Sums": []any{3.0, 7.0}, "Total": 10.0, "Gross": 12.0,
		"Count": 2.0, "Text": "pen, ink of Ann: 3, 7", "Buyer": []any{ann}, "Auto": 1.0,
	}
	if diff := cmp.Diff(want, fields(order)); diff != "" {
		t.Errorf("answer of the create: %s", diff)
	}
	if diff := cmp.Diff(want, fields(b.ok(get("Orders", order["id"].(string))))); diff != "" {
		t.Errorf("read again: %s", diff)
	}
	person := func() object { return fields(b.ok(get("People", ann))) }
	wantPerson := object{"Name": "Ann", "Orders": []any{order["id"]}, "Spent": 12.0, "All": []any{3.0, 7.0}, "What": []any{pen, ink}, "Verdict": "Ann saves"}
	if diff := cmp.Diff(wantPerson, person()); diff != "" {
		t.Error(diff)
	}
	// The far end changes, three steps away.
	if got := fields(b.ok(patch("Lines", ink, `{"fields":{"Price":100}}`)))["Sum"]; got != 100.0 {
		t.Errorf("answer of the update: %v", got)
	}
	if got := person(); got["Spent"] != 123.6 || got["Verdict"] != "Ann is rich" || !cmp.Equal(got["All"], []any{3.0, 100.0}) {
		t.Errorf("after the far end changed: %v", got)
	}
	b.ok(remove("Lines", pen))
	if got := person(); got["Spent"] != 120.0 || !cmp.Equal(got["All"], []any{100.0}) {
		t.Errorf("after a linked record went: %v", got)
	}
	b.ok(patch("Orders", order["id"].(string), `{"fields":{"Lines":[]}}`))
	if got := person(); got["Spent"] != 0.0 || got["All"] != nil {
		t.Errorf("after the links went: %v", got)
	}
}

func TestComputed_TextOutputAndChosenFields(t *testing.T) {
	t.Parallel()
	b := newBench(t).trade()
	b.made("Orders", `{"No":"7","Lines":"pen, ink","Buyer":"Ann"}`)
	for _, l := range records(b.ok(list("Lines"))) {
		b.ok(patch("Lines", l["id"].(string), `{"fields":{"Qty":1,"Price":2.25,"Gift":true,"Labels":["hot","new"]},"typecast":true}`))
	}
	b.field("Orders", "Money", "rollup", object{"recordLinkFieldId": "fldLinesOf", "fieldIdInLinkedTable": "fldSum", "formula": "SUM(values)",
		"result": object{"type": "currency", "options": object{"precision": 2, "symbol": "€"}}})
	b.field("Orders", "Prices", "multipleLookupValues", object{"recordLinkFieldId": "fldLinesOf", "fieldIdInLinkedTable": "fldPrice"})
	b.field("Orders", "Gifts", "multipleLookupValues", object{"recordLinkFieldId": "fldLinesOf", "fieldIdInLinkedTable": "fldGift"})
	b.field("Orders", "Labels", "multipleLookupValues", object{"recordLinkFieldId": "fldLinesOf", "fieldIdInLinkedTable": "fldLabels"})
	b.formula("Orders", "Bad", `1 + {No} & ERROR()`)
	b.formula("Orders", "NaN", `0/0`)
	text := fields(records(b.ok(list("Orders", "cellFormat", "string", "timeZone", "utc", "userLocale", "en-us")))[0])
	want := object{
		"Title": "#7", "No": "7", "Lines": "pen, ink", "Sums": "2.3, 2.3", "Total": "4.5", "Gross": "5.4", "Count": "2", "Text": "pen, ink of Ann: 2.25, 2.25",
		"Buyer": "Ann", "Auto": "1", "Money": "€4.50", "Prices": "€2.25, €2.25", "Gifts": "checked, checked", "Labels": "hot, new, hot, new", "Bad": "#ERROR!", "NaN": "NaN",
	}
	want["Sums"] = text["Sums"] // of 2.25 with one digit either neighbour would do
	if diff := cmp.Diff(want, text); diff != "" {
		t.Error(diff)
	}
	person := fields(records(b.ok(list("People", "cellFormat", "string", "timeZone", "utc", "userLocale", "en-us")))[0])
	if person["Orders"] != "#7" || person["What"] != "pen, ink" {
		t.Errorf("titles: %v", person)
	}
	got := fields(records(b.ok(list("Orders", "fields[]", "Gross", "fields[]", "Labels", "returnFieldsByFieldId", "1")))[0])
	if len(got) != 2 || got["fldGross"] != 5.4 {
		t.Errorf("chosen fields: %v", got)
	}
}

// TestFormula_ShowsWhatAirtableShows has the worked examples of the language as fields
// of a record: what a cell holds, nil if it is absent.
func TestFormula_ShowsWhatAirtableShows(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	dateFormat := option("name", "iso")
	base, err := b.store.CreateBase(t.Context(), b.who, models.BaseSpec{Name: "Examples", Tables: []models.TableSpec{
		{ID: "tblT", Name: "T", Fields: []models.FieldSpec{
			{Name: "Name", Type: models.SingleLineText},
			{Name: "Qty", Type: models.Number, Options: option("precision", 0)},
			{Name: "Zero", Type: models.Number, Options: option("precision", 0)},
			{Name: "Empty", Type: models.Number, Options: option("precision", 0)},
			{Name: "Note", Type: models.MultilineText},
			{Name: "Done", Type: models.Checkbox, Options: option("icon", "check", "color", "greenBright")},
			{Name: "Due", Type: models.Date, Options: option("dateFormat", dateFormat)},
			{Name: "At", Type: models.DateTime, Options: option("dateFormat", dateFormat, "timeFormat", option("name", "24hour"), "timeZone", "utc")},
			{Name: "Tags", Type: models.MultipleSelects, Options: option("choices", []any{option("name", "red"), option("name", "blue")})},
			{Name: "State", Type: models.SingleSelect, Options: option("choices", []any{option("name", "Todo")})},
			{Name: "Link", Type: models.MultipleRecordLinks, Options: option("linkedTableId", "tblO")},
			{Name: "Ns", Type: models.Lookup, Options: option("recordLinkFieldId", "Link", "fieldIdInLinkedTable", "N")},
			{Name: "Links", Type: models.Count, Options: option("recordLinkFieldId", "Link")},
		}},
		{ID: "tblO", Name: "O", Fields: []models.FieldSpec{
			{Name: "Title", Type: models.SingleLineText}, {Name: "N", Type: models.Number, Options: option("precision", 0)},
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	b.base = base
	one, two := b.made("O", `{"Title":"A-1","N":4}`), b.made("O", `{"Title":"A-2","N":6}`)
	recID := b.made("T", `{"Name":"Ann O'Neil","Qty":3,"Zero":0,"Done":true,"Due":"2024-05-01","At":"2024-05-01T10:30:00.000Z",
		"Tags":["red","blue"],"State":"Todo","Link":["`+one+`","`+two+`"]}`)
	special := func(s string) object { return object{"specialValue": s} }
	failed := object{"error": "#ERROR!"}
	for _, tt := range []struct {
		formula string
		want    any
		result  string
	}{
		{`1+2*3`, 7.0, "number"}, {`7/2`, 3.5, "number"}, {`"a"&1`, "a1", "singleLineText"}, {`Qty>2`, 1.0, "number"}, {`Qty>5`, 0.0, "number"},
		{`{Name}='Ann O\'Neil'`, 1.0, "number"}, {`IF({Empty},"y","n")`, "n", "singleLineText"}, {`IF(Zero&"","y","n")`, "y", "singleLineText"},
		{`IF(Qty>5,"big")`, nil, "singleLineText"}, {`Zero`, 0.0, "number"}, {`Empty`, nil, "number"}, {`BLANK()`, nil, "singleLineText"}, {`""`, nil, "singleLineText"},
		{`AND(Qty>1,Done)`, 1.0, "number"}, {`{Done}`, 1.0, "number"}, {`NOT({Note})`, 1.0, "number"},
		{`SWITCH(Qty,1,"one",3,"three","many")`, "three", "singleLineText"},
		{`1/0`, special("Infinity"), "number"}, {`-1/0`, special("-Infinity"), "number"}, {`0/0`, special("NaN"), "number"}, {`ERROR()`, failed, "singleLineText"}, {`{Name}+1`, failed, "number"},
		{`IF(ISERROR(Qty/Zero),"n/a",Qty/Zero)`, "n/a", "singleLineText"},
		{`IF(Zero,"text",Zero)`, nil, "singleLineText"}, // the number 0 in a field of texts
		{`IF(Zero,"text",Qty)`, "3", "singleLineText"},
		{`ROUND(2.456,2)`, 2.46, "number"}, {`INT(-1.5)`, -2.0, "number"},
		{`FIND("red",Tags)`, 1.0, "number"}, {`FIND("A-2",ARRAYJOIN(Link,", "))`, 6.0, "number"}, {`SEARCH("z","planet")`, nil, "number"},
		{`{Tags}`, "red, blue", "singleLineText"}, {`{State}`, "Todo", "singleLineText"}, {`{Link}`, "A-1, A-2", "singleLineText"},
		{`YEAR(Due)`, 2024.0, "number"}, {`Due`, "2024-05-01", "date"}, {`At`, "2024-05-01T10:30:00.000Z", "dateTime"},
		{`DATEADD(Due,1,"months")`, "2024-06-01", "date"}, {`DATEADD(At,1,"hours")`, "2024-05-01T11:30:00.000Z", "dateTime"}, {`At & ""`, "2024-05-01T10:30:00.000Z", "singleLineText"},
		{`DATETIME_DIFF(DATETIME_PARSE("2024-05-01T12:00:00.000Z"),At,"minutes")`, 90.0, "number"}, {`WORKDAY(Due,3)`, "2024-05-06", "date"},
		{`REGEX_EXTRACT("ab12","[0-9]+")`, "12", "singleLineText"},
		{`RECORD_ID()`, recID, "singleLineText"}, {`CREATED_TIME()`, "2026-05-01T10:00:00.000Z", "dateTime"}, {`LAST_MODIFIED_TIME()`, nil, "dateTime"},
		{`NOW()`, "2026-05-01T10:00:00.123Z", "dateTime"}, {`TODAY()`, "2026-05-01", "date"},
		{`{Ns}`, []any{4.0, 6.0}, "number"}, {`SUM(Ns)`, 10.0, "number"}, {`{Ns} & "!"`, "4, 6!", "singleLineText"}, {`MAX(Ns)*Links`, 12.0, "number"}, {`{Links}`, 2.0, "number"},
	} {
		made := b.formula("T", "F "+tt.formula, tt.formula)
		if got := made["options"].(object)["result"].(object)["type"]; got != tt.result {
			t.Errorf("%s is a %v, want %s", tt.formula, got, tt.result)
		}
		if diff := cmp.Diff(tt.want, fields(b.ok(get("T", recID)))["F "+tt.formula]); diff != "" {
			t.Errorf("%s: %s", tt.formula, diff)
		}
	}
}

func TestRollup_AggregatesValues(t *testing.T) {
	t.Parallel()
	b := newBench(t).trade()
	line := func(fields string) string { return b.made("Lines", fields) }
	lines := []string{
		line(`{"Line":"a","Qty":2,"Price":1.5,"Gift":true,"Labels":["hot","new"]}`), line(`{"Line":"b","Qty":0,"Labels":["hot"]}`), line(`{"Line":"c","Price":4}`),
	}
	full, empty := b.made("Orders", `{"Lines":["`+strings.Join(lines, `","`)+`"]}`), b.made("Orders", `{}`)
	for _, tt := range []struct {
		field, formula string
		full, empty    any
	}{
		{"Qty", "SUM(values)", 2.0, 0.0}, {"Qty", "COUNT(values)", 2.0, 0.0}, {"Qty", "COUNTA(values)", 2.0, 0.0}, {"Qty", "COUNTALL(values)", 3.0, 0.0},
		{"Qty", "AVERAGE(values)", 1.0, object{"specialValue": "NaN"}}, {"Price", "MAX(values)", 4.0, 0.0}, {"Price", "MIN(values)", 1.5, 0.0},
		{"Line", "ARRAYJOIN(values, '/')", "a/b/c", nil}, {"Line", "CONCATENATE(values)", "a, b, c", nil},
		{"Gift", "OR(values)", 1.0, 0.0}, {"Gift", "AND(values)", 0.0, 1.0},
		{"Labels", "ARRAYUNIQUE(values)", []any{"hot", "new"}, nil}, {"Labels", "ARRAYJOIN(ARRAYUNIQUE(ARRAYFLATTEN(values)))", "hot, new", nil},
		{"Labels", "COUNTA(values)", 3.0, 0.0}, {"Sum", "SUM(values) * 2", 6.0, 0.0}, {"Price", "ARRAYCOMPACT(values)", []any{1.5, 4.0}, nil},
		{"Line", "COUNTALL(values) & ' lines'", "3 lines", "0 lines"},
	} {
		name := tt.formula + " of " + tt.field
		b.field("Orders", name, "rollup", object{"recordLinkFieldId": "fldLinesOf", "fieldIdInLinkedTable": "fld" + tt.field, "formula": tt.formula})
		if diff := cmp.Diff([]any{tt.full, tt.empty}, []any{fields(b.ok(get("Orders", full)))[name], fields(b.ok(get("Orders", empty)))[name]}); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestLookup_TakesListsApartAndLeavesEmptyCellsOut(t *testing.T) {
	t.Parallel()
	b := newBench(t).trade()
	first, second := b.made("Lines", `{"Line":"a","Price":1.5,"Gift":true,"Labels":["hot","new"]}`), b.made("Lines", `{"Qty":0}`)
	b.formula("Lines", "Bad", `IF({Qty}=0, ERROR(), "fine")`)
	b.formula("Lines", "Ratio", `1/{Price}`)
	order := b.made("Orders", `{"Lines":["`+second+`","`+first+`"]}`)
	for field, want := range map[string]any{
		"Line": []any{"a"}, "Price": []any{1.5}, "Qty": []any{0.0}, "Gift": []any{nil, true}, "Labels": []any{"hot", "new"}, "Sum": []any{0.0, 0.0},
		"Orders": []any{order, order}, "Bad": []any{object{"error": "#ERROR!"}, object{"error": "#ERROR!"}}, "Ratio": []any{object{"specialValue": "Infinity"}, 1 / 1.5},
	} {
		b.field("Orders", "of "+field, "multipleLookupValues", object{"recordLinkFieldId": "Lines", "fieldIdInLinkedTable": field})
		if diff := cmp.Diff(want, fields(b.ok(get("Orders", order)))["of "+field]); diff != "" {
			t.Errorf("%s: %s", field, diff)
		}
	}
	b.formula("Orders", "Sees", `{of Line} & "|" & {of Gift} & "|" & {of Orders} & "|" & SUM({of Qty}, {of Price})`)
	if got := fields(b.ok(get("Orders", order)))["Sees"]; got != "a|, 1|#, #|1.5" && got != "a|0, 1|#, #|1.5" {
		t.Errorf("a formula sees %q", got)
	}
}

// options returns the options of a field as the schema shows them.
func (b *bench) options(table, name string) object {
	b.t.Helper()
	for _, tb := range b.schema("") {
		for _, f := range tb.(object)["fields"].([]any) {
			if f := f.(object); tb.(object)["name"] == table && f["name"] == name {
				return f["options"].(object)
			}
		}
	}
	b.t.Fatalf("no field %s", name)
	return nil
}

func TestMeta_ShowsComputedFieldsAndKeepsThemThroughRenames(t *testing.T) {
	t.Parallel()
	b := newBench(t).trade()
	b.made("Orders", `{"No":"7","Lines":"pen","Buyer":"Ann"}`)
	number := object{"type": "number", "options": object{"precision": 1.0}}
	text := object{"type": "singleLineText"}
	for name, want := range map[string]object{
		"Gross": {"formula": "ROUND({fldTotal}*1.2, 2)", "isValid": true, "referencedFieldIds": []any{"fldTotal"}, "result": number},
		"Text":  {"formula": `{fldLinesOf} & " of " & {fldBuyer} & ": " & {fldSums}`, "isValid": true, "referencedFieldIds": []any{"fldBuyer", "fldLinesOf", "fldSums"}, "result": text},
		"Total": {"formula": "SUM(values)", "isValid": true, "referencedFieldIds": []any{}, "recordLinkFieldId": "fldLinesOf", "fieldIdInLinkedTable": "fldSum", "result": number},
		"Sums":  {"isValid": true, "recordLinkFieldId": "fldLinesOf", "fieldIdInLinkedTable": "fldSum", "result": number},
		"Count": {"isValid": true, "recordLinkFieldId": "fldLinesOf"},
	} {
		if diff := cmp.Diff(want, b.options("Orders", name)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	before := records(b.ok(list("Orders", "returnFieldsByFieldId", "1")))
	for table, names := range map[string][]string{"Orders": {"No", "Total", "Lines", "Sums", "Buyer", "Gross"}, "Lines": {"Qty", "Price", "Sum"}} {
		for _, name := range names {
			renamed := upstream.Call{Op: upstream.UpdateField, Method: "PATCH", Table: table, Field: name, Body: []byte(`{"name":"was {` + name + `}"}`)}
			b.ok(renamed)
		}
	}
	// A field that takes another's name, or id for a name, is not meant.
	b.ok(createField("Orders", `{"name":"No","type":"singleLineText"}`))
	b.ok(createField("Orders", `{"name":"fldNo","type":"singleLineText"}`))
	if diff := cmp.Diff(before, records(b.ok(list("Orders", "returnFieldsByFieldId", "1")))); diff != "" {
		t.Errorf("renaming changed cells: %s", diff)
	}
}

func TestMeta_RefusesComputedFieldsThatCannotBe(t *testing.T) {
	t.Parallel()
	b := newBench(t).trade()
	const kind, broken = "INVALID_FIELD_TYPE_OPTIONS_FOR_CREATE", "Invalid formula. Please check your formula text."
	for body, message := range map[string]string{
		`{"name":"x","type":"formula","options":{"formula":"1 +"}}`:                                                                       broken,
		`{"name":"x","type":"formula","options":{"formula":""}}`:                                                                          broken,
		`{"name":"x","type":"formula","options":{"formula":"NOPE(1)"}}`:                                                                   broken,
		`{"name":"x","type":"formula","options":{"formula":"{x}"}}`:                                                                       broken, // itself
		`{"name":"x","type":"formula","options":{"formula":"{A} & {Total} & b & {a}"}}`:                                                   "Unknown field names: a, b",
		`{"name":"x","type":"formula","options":{"formula":"SUM(values)"}}`:                                                               "Unknown field names: values",
		`{"name":"x","type":"formula"}`:                                                                                                   "Failed schema validation: x.options.formula is missing",
		`{"name":"x","type":"formula","options":{}}`:                                                                                      "Failed schema validation: x.options.formula is missing",
		`{"name":"x","type":"formula","options":{"formula":"1","isValid":true}}`:                                                          "Failed schema validation: x.options.isValid is not allowed",
		`{"name":"x","type":"formula","options":{"formula":"1","result":{"type":"date"}}}`:                                                "Failed schema validation: x.options.result.options is missing",
		`{"name":"x","type":"formula","options":{"formula":"1","result":{"type":"singleLineText"}}}`:                                      "Failed schema validation: x.options.result.type does not fit the formula",
		`{"name":"x","type":"formula","options":{"formula":"1","result":{"type":"formula"}}}`:                                             "Failed schema validation: x.options.result is not one of the allowed values",
		`{"name":"x","type":"count","options":{"recordLinkFieldId":"fldNo"}}`:                                                             "Failed schema validation: x.options.recordLinkFieldId is not a link field of its table",
		`{"name":"x","type":"count","options":{"recordLinkFieldId":"fldBought"}}`:                                                         "Failed schema validation: x.options.recordLinkFieldId is not a link field of its table",
		`{"name":"x","type":"count"}`:                                                                                                     "Failed schema validation: x.options.recordLinkFieldId is missing",
		`{"name":"x","type":"multipleLookupValues","options":{"recordLinkFieldId":"fldLinesOf"}}`:                                         "Failed schema validation: x.options.fieldIdInLinkedTable is missing",
		`{"name":"x","type":"multipleLookupValues","options":{"recordLinkFieldId":"fldLinesOf","fieldIdInLinkedTable":"fldNo"}}`:          "Failed schema validation: x.options.fieldIdInLinkedTable is not a field of the linked table",
		`{"name":"x","type":"rollup","options":{"recordLinkFieldId":"fldLinesOf","fieldIdInLinkedTable":"fldQty"}}`:                       "Failed schema validation: x.options.formula is missing",
		`{"name":"x","type":"rollup","options":{"recordLinkFieldId":"fldLinesOf","fieldIdInLinkedTable":"fldQty","formula":"SUM({No})"}}`: "Unknown field names: no",
	} {
		status, answer := b.do(createField("Orders", body))
		want := string(models.Marshal(object{"error": object{"message": message, "type": kind}}))
		if status != 422 || !cmp.Equal(decode(t, want), decode(t, answer)) {
			t.Errorf("%s: %d %s, want %s", body, status, answer, want)
		}
	}
	// Nothing was made.
	if n := len(b.schema("")[1].(object)["fields"].([]any)); n != 10 {
		t.Errorf("Orders has %d fields", n)
	}
	b.refused(createTable(`{"name":"T","fields":[{"name":"a","type":"rollup","options":{}}]}`), 422, kind)
	b.refused(createTable(`{"name":"T","fields":[{"name":"a","type":"formula","options":{"formula":"{b}"}},{"name":"b","type":"formula","options":{"formula":"{c}&1"}},{"name":"c","type":"formula","options":{"formula":"a"}}]}`), 422, kind)
	b.ok(createTable(`{"name":"T","fields":[{"name":"a","type":"formula","options":{"formula":"{b}"}},{"name":"b","type":"formula","options":{"formula":"{c}&1"}},{"name":"c","type":"singleLineText"}]}`))
}

func TestMeta_RefusesCyclesAcrossTables(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	link := models.FieldSpec{ID: "fldAB", Name: "Bs", Type: models.MultipleRecordLinks, Options: option("linkedTableId", "tblB", "inverseLinkFieldId", "fldBA")}
	name := models.FieldSpec{Name: "Name", Type: models.SingleLineText}
	computed := func(name, kind string, kv ...any) models.FieldSpec {
		return models.FieldSpec{Name: name, Type: models.FieldType(kind), Options: option(kv...)}
	}
	for what, tables := range map[string][]models.TableSpec{
		"a lookup of a rollup of a formula of the lookup": {
			{ID: "tblA", Name: "A", Fields: []models.FieldSpec{name, link, computed("L", "multipleLookupValues", "recordLinkFieldId", "Bs", "fieldIdInLinkedTable", "R"), computed("F", "formula", "formula", "SUM({L})")}},
			{ID: "tblB", Name: "B", Fields: []models.FieldSpec{name, computed("R", "rollup", "recordLinkFieldId", "fldBA", "fieldIdInLinkedTable", "F", "formula", "SUM(values)")}},
		},
		"two names that are made of each other's": {
			{ID: "tblA", Name: "A", Fields: []models.FieldSpec{computed("Name", "formula", "formula", `"a" & {Bs}`), link}},
			{ID: "tblB", Name: "B", Fields: []models.FieldSpec{computed("Name", "formula", "formula", `"b" & {A}`)}},
		},
		"a name that is made of the names that a lookup finds": {
			{ID: "tblA", Name: "A", Fields: []models.FieldSpec{computed("Name", "formula", "formula", `{L} & ""`), link, computed("L", "multipleLookupValues", "recordLinkFieldId", "Bs", "fieldIdInLinkedTable", "fldBA")}},
			{ID: "tblB", Name: "B", Fields: []models.FieldSpec{name}},
		},
	} {
		_, err := b.store.CreateBase(t.Context(), b.who, models.BaseSpec{Name: "X", Tables: tables})
		if refusal, ok := models.AsError(err); !ok || refusal.Message != "Invalid formula. Please check your formula text." {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestMeta_AFieldWhoseSourceIsGoneIsNotValid(t *testing.T) {
	t.Parallel()
	b := newBench(t).trade()
	b.made("Orders", `{"No":"7","Lines":"pen","Buyer":"Ann"}`)
	for _, sql := range []string{`DELETE FROM fields WHERE id = 'fldPrice'`, `UPDATE bases SET schema_version = schema_version + 1`} {
		if _, err := postgres.ForEveryTenant(b.pool).Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range [][2]string{{"Lines", "Sum"}, {"Orders", "Sums"}, {"Orders", "Total"}, {"Orders", "Gross"}, {"People", "Verdict"}} {
		if o := b.options(f[0], f[1]); o["isValid"] != false || o["result"] != nil {
			t.Errorf("%s: %v", f[1], o)
		}
	}
	if o := b.options("Orders", "Count"); o["isValid"] != true {
		t.Errorf("Count: %v", o)
	}
	for _, output := range [][]string{nil, {"cellFormat", "string", "timeZone", "utc", "userLocale", "en"}} {
		if got := records(b.ok(list("Orders", append(output, "sort[0][field]", "Gross", "filterByFormula", "ISERROR({Gross})")...))); len(got) != 1 {
			t.Errorf("%v: %v", output, got)
		}
	}
	got := fields(records(b.ok(list("Orders")))[0])
	if diff := cmp.Diff(object{"error": "#ERROR!"}, got["Gross"]); diff != "" || got["Title"] != "#7" || got["Count"] != 1.0 {
		t.Errorf("%s: %v", diff, got)
	}
}
