package local_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
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
