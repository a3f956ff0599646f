package v0

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
)

func write(method, target, body string) upstream.Call {
	path, query, _ := strings.Cut(target, "?")
	c, ok := Parse(method, "/v0/app1/"+path)
	if !ok {
		panic(target)
	}
	c.RawQuery, c.Body = query, []byte(body)
	return c
}

func TestReadWrite_MakesABatchOfEveryForm(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ method, target, body, path, query, batch string }{
		{"POST", "T", `{ "fields" : {"a" : 1.50, "é":"\u00e9"} }`, "T", "", `{"records":[{"fields":{"a" : 1.50, "é":"\u00e9"}}]}`},
		{"POST", "a%2Fb", `{"records":[ {"fields":{},"createdTime":"x"} ],"typecast":true,"returnFieldsByFieldId":true}`, "a%2Fb", "", `{"records":[{"fields":{},"createdTime":"x"}],"typecast":true,"returnFieldsByFieldId":true}`},
		{"PATCH", "T/rec1", `{"fields":{},"typecast":false}`, "T", "", `{"records":[{"id":"rec1","fields":{}}]}`},
		{"PUT", "T/%72ec1", `{"fields":{}}`, "T", "", `{"records":[{"id":"rec1","fields":{}}]}`},
		{"PATCH", "T", `{"records":[{"id":"rec1","fields":{}},{"id":"rec2","fields":{}}]}`, "T", "", `{"records":[{"id":"rec1","fields":{}},{"id":"rec2","fields":{}}]}`},
		{"PATCH", "T", `{"performUpsert":{"fieldsToMergeOn":["a\"b"]},"records":[{"fields":{}}]}`, "T", "", `{"records":[{"fields":{}}],"performUpsert":{"fieldsToMergeOn":["a\"b"]}}`},
		{"DELETE", "T/rec1", "", "T", "records%5B%5D=rec1", ""},
		{"DELETE", "T?records[]=rec1&records%5B%5D=rec2", "", "T", "records%5B%5D=rec1&records%5B%5D=rec2", ""},
	} {
		c := write(tc.method, tc.target, tc.body)
		w, ok := ReadWrite(c)
		b := w.Batch(c)
		if !ok || b.Path != "/v0/app1/"+tc.path || b.RawQuery != tc.query || string(b.Body) != tc.batch || b.Record != "" {
			t.Errorf("%s %s: ok %v, %s?%s %s", tc.method, tc.target, ok, b.Path, b.RawQuery, b.Body)
		}
		if again, ok := ReadWrite(b); !ok || len(again.Items) != len(w.Items) || again.Single {
			t.Errorf("%s %s: the batch reads as %+v", tc.method, tc.target, again)
		}
	}
}

func TestReadWrite_LeavesAloneWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	eleven := strings.TrimSuffix(strings.Repeat(`{"fields":{}},`, 11), ",")
	for _, request := range []string{
		`POST T `, `POST T []`, `POST T {"fields":1}`, `POST T {}`, `POST T {"fields":{},"fields":{}}`, `POST T {"fields":{},"new":1}`,
		`POST T {"fields":{}} x`, `POST T {"fields":{},"records":[]}`, `POST T {"records":[]}`, `POST T {"records":[` + eleven + `]}`, `POST T {"records":[1]}`,
		`POST T {"fields":{},"typecast":1}`, `POST T {"fields":{},"typecast":null}`, `POST T?x=1 {"fields":{}}`,
		`POST T {"records":[{"fields":{}}],"performUpsert":{"fieldsToMergeOn":["a"]}}`, `PATCH T {"fields":{}}`, `PATCH T {"records":[{"fields":{}}]}`,
		`PATCH T {"records":[{"id":"x","fields":{}}]}`, `PATCH T {"records":[{"id":"rec1","fields":{}},{"id":"rec1","fields":{}}]}`, `PATCH T/rec1 {"records":[]}`,
		`PATCH T {"records":[{"fields":{}}],"performUpsert":{}}`, `PATCH T {"records":[{"fields":{}}],"performUpsert":null}`,
		`PATCH T {"records":[{"fields":{}}],"performUpsert":{"fieldsToMergeOn":["a","b","c","d"]}}`,
		`DELETE T `, `DELETE T?records=rec1 `, `DELETE T?records[]=x `, `DELETE T?records[]=rec1&records[]=rec1 `, `DELETE T?records[]=rec1&x=1 `, `DELETE T/rec1?x=1 `,
		`DELETE T/rec1 {"a":1}`, `GET T `,
	} {
		method, rest, _ := strings.Cut(request, " ")
		target, body, _ := strings.Cut(rest, " ")
		if w, ok := ReadWrite(write(method, target, body)); ok {
			t.Errorf("%s: read as %+v", request, w)
		}
	}
}

func TestReadWritten_PartsAreTheAnswersBytes(t *testing.T) {
	t.Parallel()
	c := write("PATCH", "T", `{"performUpsert":{"fieldsToMergeOn":["a"]},"records":[{"fields":{}},{"fields":{}},{"fields":{}}]}`)
	w, _ := ReadWrite(c)
	const body = `{"createdRecords":["rec2","rec3"], "records":[{"id":"rec1", "n":1.0}, {"id":"rec2"},{"id":"rec3"}],"updatedRecords":["rec1"],"details":{"message":"m"}}`
	got, ok := ReadWritten(w, upstream.Answer{Status: 200, Body: []byte(body)})
	if !ok {
		t.Fatal("not read")
	}
	for _, tc := range []struct {
		single  bool
		from, n int
		want    string
	}{
		{false, 0, 1, `{"createdRecords":[],"records":[{"id":"rec1", "n":1.0}],"updatedRecords":["rec1"],"details":{"message":"m"}}`},
		{false, 1, 2, `{"createdRecords":["rec2","rec3"],"records":[{"id":"rec2"},{"id":"rec3"}],"updatedRecords":[],"details":{"message":"m"}}`},
	} {
		if part := string(got.Part(tc.single, tc.from, tc.n)); part != tc.want {
			t.Errorf("part %d+%d: %s", tc.from, tc.n, part)
		}
	}
	bare := got.Drop("createdRecords", "updatedRecords", "details")
	if part := string(bare.Part(true, 0, 1)); part != `{"id":"rec1", "n":1.0}` {
		t.Error(part)
	}
	if part := string(got.Drop("createdRecords", "updatedRecords").Part(true, 1, 1)); part != `{"id":"rec2","details":{"message":"m"}}` {
		t.Error(part)
	}
}

func TestReadWritten_RefusesOtherRecordsThanThoseWritten(t *testing.T) {
	t.Parallel()
	w, _ := ReadWrite(write("DELETE", "T?records[]=rec1&records[]=rec2", ""))
	for _, body := range []string{`{"records":[{"id":"rec1"}]}`, `{"records":[{"id":"rec2"},{"id":"rec1"}]}`, `{"records":[{},{}]}`, `{}`, `x`, `{"records":1}`} {
		if _, ok := ReadWritten(w, upstream.Answer{Status: http.StatusOK, Body: []byte(body)}); ok {
			t.Errorf("%s was read", body)
		}
	}
}

func FuzzReadWrite_ABatchSaysWhatTheCallSaid(f *testing.F) {
	f.Add(`{"fields":{"a":[1,{"b":null}]},"typecast":true}`)
	f.Add(`{"records":[{"id":"rec1","fields":{"a":"\ud800"}}],"performUpsert":{"fieldsToMergeOn":["a"]}}`)
	f.Fuzz(func(t *testing.T, body string) {
		for _, target := range []string{"POST T", "PATCH T", "PUT T/rec1"} {
			method, path, _ := strings.Cut(target, " ")
			c := write(method, path, body)
			w, ok := ReadWrite(c)
			if !ok {
				continue
			}
			again, ok := ReadWrite(w.Batch(c))
			if !ok || len(again.Items) != len(w.Items) || again.Typecast != w.Typecast {
				t.Fatalf("%s %s became %s", target, body, w.Batch(c).Body)
			}
			for i, it := range again.Items {
				if string(it.Fields) != string(w.Items[i].Fields) || it.ID != w.Items[i].ID || !json.Valid(it.Raw) {
					t.Fatalf("%s %s: item %d became %s", target, body, i, it.Raw)
				}
			}
		}
	})
}
