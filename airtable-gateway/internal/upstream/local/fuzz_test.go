package local_test

import (
	"strings"
	"testing"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
)

// newReplica is a second store on the same database.
func newReplica(b *bench) *bench {
	other := *b
	other.store = local.New(b.pool, local.Options{Now: b.now})
	return &other
}

var ops = []upstream.Op{
	upstream.ListBases, upstream.CreateBase, upstream.BaseSchema, upstream.CreateTable, upstream.UpdateTable, upstream.CreateField, upstream.UpdateField,
	upstream.ListRecords, upstream.GetRecord, upstream.CreateRecords, upstream.UpdateRecords, upstream.DeleteRecords, upstream.ListViews, upstream.FetchView, upstream.DeleteView, upstream.Other,
	upstream.ListComments, upstream.CreateComment, upstream.UpdateComment, upstream.DeleteComment,
}

// garbage is what clients should never send, and what has tripped databases.
var garbage = []string{
	``, `null`, `0`, `[]`, `"x"`, `{`, `{"fields":null}`, `{"fields":[]}`, `{"fields":{"":1}}`, "{\"fields\":{\"No\":\"a\\u0000b\"}}", "{\"fields\":{\"No\":\"\xff\xfe\"}}",
	`{"fields":{"No":"\ud800"}}`, `{"fields":{"Qty":1e999}}`, `{"fields":{"Qty":-0}}`, `{"fields":{"Qty":1e-320}}`, `{"fields":{"Due":"0000-00-00"}}`, `{"fields":{"Due":"99999-01-01"}}`,
	`{"fields":{"At":1e300}}`, `{"fields":{"At":"0001-01-01T00:00:00+14:00"}}`, `{"typecast":true,"fields":{"State":"\u0000"}}`, `{"typecast":true,"fields":{"Tags":["x\u0000",{}]}}`,
	`{"typecast":true,"fields":{"Buyer":"\u0000,a\u0000"}}`, `{"typecast":true,"fields":{"Buyer":[null,1,true,{"id":7}]}}`, `{"fields":{"Buyer":[{"id":"rec\u0000"}]}}`,
	`{"records":[{"id":"rec\u0000","fields":{}}]}`, `{"records":[{"id":5,"fields":{}}]}`, `{"records":{}}`, `{"records":[null]}`, `{"records":[{"fields":{"No":{}}}],"performUpsert":7}`,
	`{"records":[{"fields":{"No":"a\u0000"}}],"performUpsert":{"fieldsToMergeOn":["No"]}}`, `{"records":[{"fields":{"Due":"x"}}],"performUpsert":{"fieldsToMergeOn":[1]}}`,
	`{"name":"\u0000","fields":[{"name":"\u0000","type":"singleLineText"}]}`, `{"name":"T","fields":[{"name":"a","type":"number","options":{"precision":1e99}}]}`,
	`{"name":"T","workspaceId":"\u0000","tables":[{"name":"T","fields":[{"name":"a","type":"singleLineText"}]}]}`, `{"name":null,"description":null}`, `{"description":"\u0000"}`,
	`{"name":"x","type":"dateTime","options":{"dateFormat":{"name":"iso"},"timeFormat":{"name":"24hour"},"timeZone":"../../etc/passwd"}}`,
	`{"name":"x","type":"singleSelect","options":{"choices":[{"name":"a","id":"sel\u0000"},{"name":"\u0000"},7]}}`,
	`{"pageSize":1.5}`, `{"pageSize":"10","maxRecords":"1e3","fields":"No","sort":[7]}`, `{"sort":[{"field":"No","direction":7}]}`, `{"offset":7}`, `{"offset":"itr\u0000/rec"}`,
	`{"offset":"itrAAAAAAAAAAAAAA/recB9999999999999"}`, `{"sort":[{"field":"Qty"}],"offset":"itrAAAAAAAAAAAAAA/recB9999999999999"}`, `{"cellFormat":"string","timeZone":"\u0000","userLocale":"\u0000"}`,
	`{"view":"\u0000"}`, strings.Repeat(`{"fields":`, 3000), `{"fields":{"Tags":` + strings.Repeat(`[`, 20000) + `}}`,
	`pageSize=1&pageSize=2&fields[0]=No&fields[99999999999999999999]=x`, `sort[0]=x`, `sort[0][field]=No&sort=7`, `sort[a][field]=No`, `records[]=%00`, `offset=%00&view=%ff`, `%zz`, `fields[=No&fields]=x&[]=`,
	`{"text":"a\u0000@[usr\u0000]@[usrA]@[","parentCommentId":"com\u0000"}`, `{"text":"x","parentCommentId":"comAAAAAAAAAAAAAA"}`, "{\"text\":\"\xff\"}", `{"recordMetadata":["commentCount",7]}`,
	`recordMetadata[]=commentCount&recordMetadata=%00`, `offset=itrAAAAAAAAAAAAAA/com99999999999999&pageSize=1`,
	`{"typecast":true,"fields":{"Owner":"\u0000","Team":"a\u0000,,@","Code":"\u0000"}}`, `{"fields":{"Owner":{"id":"usr\u0000"},"Team":[{"email":"\u0000"},null,{}]}}`,
	`{"fields":{"Owner":{"email":"%_\\"},"Code":{"text":"\u0000","type":"\u0000"}}}`, `{"fields":{"Code":{"text":{"text":"x"}}}}`, `{"name":"x","type":"lastModifiedBy","options":{"referencedFieldIds":["fld\u0000"]}}`,
	`records[]=recA&records[]=recA`, `returnFieldsByFieldId=maybe`,
}

func (b *bench) survives(t *testing.T, op int, method, table, record, field, query string, body []byte) {
	c := upstream.Call{
		Op: ops[op%len(ops)], Method: method, Base: string(b.base.ID), Table: table, Record: record, Field: field,
		Comment: strings.Replace(field, "fld", "com", 1), RawQuery: query, Body: body, Caller: b.who,
	}
	a, err := b.store.Do(t.Context(), c)
	if err != nil || a.Status >= 500 || a.Status < 200 {
		t.Errorf("%s %s %q %q %q ?%q %.300q: %d %s %v", c.Op, method, table, record, field, query, body, a.Status, a.Body, err)
	}
}

func TestDo_GarbageIsRefusedNotFailed(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	for name, kind := range map[string]string{"Owner": "singleCollaborator", "Team": "multipleCollaborators", "Code": "barcode"} {
		b.field("Orders", name, kind, nil)
	}
	recID := b.made("Orders", `{"No":"1"}`)
	for _, g := range garbage {
		for op := range ops {
			for _, method := range []string{"GET", "POST", "PATCH", "PUT"} {
				for _, record := range []string{"", recID} {
					b.survives(t, op, method, "tblOrders", record, "fldOdd", g, []byte(g))
				}
			}
		}
		b.survives(t, 9, "GET", g, g, g, "", nil)
		c := list("Orders")
		c.Base = g
		b.do(c)
	}
}

func FuzzDo(f *testing.F) {
	b := newBench(f).shop()
	recID := b.made("Orders", `{"No":"1"}`)
	for i, g := range garbage {
		f.Add(i, "PATCH", "tblOrders", recID, "fldOdd", g, []byte(g))
	}
	f.Add(9, "POST", "tblOrders", "", "", "", []byte(`{"typecast":true,"records":[{"fields":{"No":1,"Tags":"x","Buyer":"a,b","Due":"1/2/2026","At":5,"Paid":1}}]}`))
	f.Add(10, "PATCH", "tblOrders", "", "", "", []byte(`{"records":[{"fields":{"No":"1","State":"Done"}}],"performUpsert":{"fieldsToMergeOn":["No","State"]}}`))
	f.Fuzz(func(t *testing.T, op int, method, table, record, field, query string, body []byte) {
		b.survives(t, max(op, 0), method, table, record, field, query, body)
	})
}
