package gallery

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func TestOpen_SeedsMakeSense(t *testing.T) {
	t.Parallel()
	g, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Seeds()) < 3 {
		t.Errorf("%d templates come with the product", len(g.Seeds()))
	}
	for _, s := range g.Seeds() {
		if s.Name == "" || s.Description == "" || s.Category == "" || s.Icon == "" || len(s.Tags) == 0 {
			t.Errorf("%s says too little of itself: %+v", s.Key, s)
		}
		var links, views int
		types := map[string]bool{}
		for _, table := range s.Tables {
			views += len(table.Views)
			for _, f := range table.Fields {
				types[f.Type] = true
				if f.Table != "" {
					links++
				}
			}
			if len(table.Records) == 0 {
				t.Errorf("%s: %s shows nothing of its use", s.Key, table.Name)
			}
		}
		for _, kind := range []string{"singleSelect", "formula", "rollup", "multipleLookupValues"} {
			if !types[kind] {
				t.Errorf("%s has no %s", s.Key, kind)
			}
		}
		if links < 2 || views <= len(s.Tables) {
			t.Errorf("%s has %d ends of links and %d views", s.Key, links, views)
		}
		if found, ok := g.Seed(s.Key); !ok || found.Name != s.Name || found.Count() == 0 {
			t.Errorf("%s is found as %+v", s.Key, found.Name)
		}
	}
	if _, ok := g.Seed("none"); ok {
		t.Error("a template that is none is found")
	}
}

const small = `{"key":"small","name":"Small","description":"","category":"","tags":[],"icon":"","tables":[
	{"name":"A","fields":[{"name":"Name","type":"singleLineText"},{"name":"State","type":"singleSelect","choices":["On","Off"]},
		{"name":"Due","type":"date","options":{"dateFormat":{"name":"iso"}}},{"name":"Bs","type":"multipleRecordLinks","table":"B","inverse":"As"},
		{"name":"Big","type":"formula","formula":"UPPER({Name})"}],
	 "views":[{"name":"All","type":"grid","filter":"{State} = 'On'","sort":[{"field":"Due"}]}],
	 "records":[{"Name":"one","State":"On","Due":3,"Bs":["x"]}]},
	{"name":"B","fields":[{"name":"Name","type":"singleLineText"},{"name":"As","type":"multipleRecordLinks","table":"A","inverse":"Bs"},
		{"name":"Dues","type":"rollup","via":"As","target":"Due","formula":"MAX(values)"}],
	 "views":[{"name":"All","type":"grid"}],"records":[{"Name":"x"}]}]}`

func seedOf(text string) (*Gallery, error) {
	return read(fstest.MapFS{"small.json": &fstest.MapFile{Data: []byte(text)}})
}

func TestContent_IsASnapshotOfTheDay(t *testing.T) {
	t.Parallel()
	g, err := seedOf(small)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := g.Seed("small")
	day := time.Date(2026, 5, 30, 23, 0, 0, 0, time.UTC)
	text, err := s.Content(day)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Content(day); err != nil || again != text {
		t.Errorf("the second time it is another: %v", err)
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) != 4 || lines[3] != `{"end":{"records":2}}` {
		t.Fatalf("lines %q", lines)
	}
	var head header
	var one, two struct{ Record record }
	for line, into := range map[string]any{lines[0]: &head, lines[1]: &one, lines[2]: &two} {
		if err := json.Unmarshal([]byte(line), into); err != nil {
			t.Fatal(err)
		}
	}
	a, b := head.Tables[0], head.Tables[1]
	link, back := a.Fields[3], b.Fields[1]
	if link.Options["linkedTableId"] != b.ID || link.Options["inverseLinkFieldId"] != back.ID || back.Options["linkedTableId"] != a.ID {
		t.Errorf("the link %v, back %v", link, back)
	}
	if got := a.Fields[4].Options["formula"]; got != "UPPER({"+a.Primary+"})" {
		t.Errorf("the formula %v", got)
	}
	if got := a.Views[0]; got.Filter != "{"+a.Fields[1].ID+"} = 'On'" || got.Sort[0].Field != a.Fields[2].ID {
		t.Errorf("the view %+v", got)
	}
	if got := b.Fields[2].Options; got["recordLinkFieldId"] != back.ID || got["fieldIdInLinkedTable"] != a.Fields[2].ID {
		t.Errorf("the rollup %v", got)
	}
	if got := one.Record; got.Cells[a.Fields[2].ID] != "2026-06-02" || got.Links[link.ID][0] != two.Record.ID || !strings.HasPrefix(got.Cells[a.Fields[1].ID].(string), "sel") {
		t.Errorf("a record %+v", got)
	}
	if got := two.Record.Links[back.ID]; len(got) != 1 || got[0] != one.Record.ID {
		t.Errorf("the other end %v", got)
	}
}

func TestOpen_RefusesSeedsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for what, change := range map[string][2]string{
		"another key":            {`"key":"small"`, `"key":"large"`},
		"an unknown member":      {`"icon":""`, `"colour":""`},
		"no grid first":          {`"name":"All","type":"grid","filter"`, `"name":"All","type":"kanban","filter"`},
		"a formula of no field":  {`UPPER({Name})`, `UPPER({Title})`},
		"a filter of no field":   {`{State} = 'On'`, `{Stage} = 'On'`},
		"a sort by no field":     {`"sort":[{"field":"Due"}]`, `"sort":[{"field":"Dew"}]`},
		"an order of no field":   {`"filter":"{State} = 'On'"`, `"order":["None"]`},
		"hiding no field":        {`"filter":"{State} = 'On'"`, `"hidden":["None"]`},
		"a link to no table":     {`"table":"B"`, `"table":"C"`},
		"a link from nothing":    {`"inverse":"As"`, `"inverse":"Name"`},
		"a rollup by no link":    {`"via":"As"`, `"via":"Az"`},
		"a rollup of no field":   {`"target":"Due"`, `"target":"Dew"`},
		"a rollup by what links": {`"via":"As"`, `"via":"Name"`},
		"no choice":              {`"State":"On"`, `"State":"Up"`},
		"no number of days":      {`"Due":3`, `"Due":"soon"`},
		"a cell of no field":     {`"Due":3`, `"Dew":3`},
		"a link to no record":    {`"Bs":["x"]`, `"Bs":["y"]`},
	} {
		if !strings.Contains(small, change[0]) {
			t.Errorf("%s: nothing is changed", what)
		}
		if _, err := seedOf(strings.Replace(small, change[0], change[1], 1)); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}
