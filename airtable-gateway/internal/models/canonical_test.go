package models_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
)

func canonicalList(t *testing.T, query, body string) string {
	t.Helper()
	var b []byte
	if body != "" {
		b = []byte(body)
	}
	text, _, err := models.CanonicalList(query, b)
	if err != nil {
		t.Fatalf("%s %s: %v", query, body, err)
	}
	return string(text)
}

func TestCanonicalList_ManySpellingsOfOneList(t *testing.T) {
	t.Parallel()
	want := canonicalList(t, "view=Grid&fields[]=A&fields[]=B&pageSize=50&sort[0][field]=X&sort[0][direction]=desc&returnFieldsByFieldId=true", "")
	for _, query := range []string{
		"pageSize=50&view=Grid&fields=B&fields=A&sort[0][direction]=desc&sort[0][field]=X&returnFieldsByFieldId=1",
		"fields[1]=A&fields[0]=B&view=Grid&returnFieldsByFieldId=true&sort%5B3%5D%5Bfield%5D=X&sort%5B3%5D%5Bdirection%5D=desc&limit=50&offset=",
		"view=Grid&fields[]=A&fields[]=B&fields[]=A&pageSize=50&sort[0][field]=X&sort[0][direction]=desc&returnFieldsByFieldId=1&maxRecords=&cellFormat=json&offset=itr1%2Frec1",
	} {
		if got := canonicalList(t, query, ""); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	for _, body := range []string{
		`{"view":"Grid","fields":["A","B"],"pageSize":50,"sort":[{"field":"X","direction":"desc"}],"returnFieldsByFieldId":true}`,
		`{"method":"post","sort":[{"direction":"desc","field":"X"}],"fields":["B","A"],"returnFieldsByFieldId":1,"pageSize":"50","view":"Grid","offset":"itr/rec","maxRecords":null}`,
	} {
		if got := canonicalList(t, "", body); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

// Whatever two queries are drawn, they are written alike if and only if the
// parameters that were drawn are the same.
func TestCanonicalList_OtherMeaningsAreWrittenOtherwise(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(7, 7))
	pick := func(from ...string) string { return from[rnd.IntN(len(from))] }
	draw := func() (meaning, query, body string) {
		q, members := url.Values{}, []string{}
		size, most := 1+rnd.IntN(3), rnd.IntN(3)
		view, formula := pick("", "v", "w", "1v"), pick("", "v", "{A}=1", "1")
		fields, sortBy := pick("", "A", "A,B", "B", "AB"), pick("", "A", "A,B", "B,A", "-A", "-A,B")
		byID, zone, extra := pick("true", "false"), pick("", "utc", "Europe/Berlin"), pick("", "x", "y")
		put := func(k, v string) {
			if v != "" {
				q.Set(k, v)
				members = append(members, fmt.Sprintf("%q:%q", k, v))
			}
		}
		put("pageSize", strconv.Itoa(size))
		if most > 0 {
			put("maxRecords", strconv.Itoa(most))
		}
		put("view", view)
		put("filterByFormula", formula)
		put("returnFieldsByFieldId", byID)
		put("timeZone", zone)
		put("newParameter", extra)
		if fields != "" {
			q["fields[]"] = strings.Split(fields, ",")
			members = append(members, `"fields":["`+strings.ReplaceAll(fields, ",", `","`)+`"]`)
		}
		if sortBy != "" {
			var entries []string
			for i, f := range strings.Split(sortBy, ",") {
				name, desc := strings.CutPrefix(f, "-")
				direction := map[bool]string{true: "desc", false: "asc"}[desc]
				q.Set(fmt.Sprintf("sort[%d][field]", i), name)
				q.Set(fmt.Sprintf("sort[%d][direction]", i), direction)
				entries = append(entries, fmt.Sprintf(`{"field":%q,"direction":%q}`, name, direction))
			}
			members = append(members, `"sort":[`+strings.Join(entries, ",")+`]`)
		}
		rnd.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		return fmt.Sprint(most, "|", view, "|", formula, "|", fields, "|", sortBy, "|", byID, "|", zone, "|", extra),
			q.Encode(), "{" + strings.Join(members, ",") + "}"
	}
	byMeaning, byText := map[string]string{}, map[string]string{}
	for range 20_000 {
		meaning, query, body := draw()
		text := canonicalList(t, query, "")
		if posted := canonicalList(t, "", body); posted != text {
			t.Fatalf("GET %s and POST %s differ", query, body)
		}
		if was, ok := byMeaning[meaning]; ok && was != text {
			t.Fatalf("%s is written in two ways", meaning)
		}
		if was, ok := byText[text]; ok && was != meaning {
			t.Fatalf("%s and %s are written alike", was, meaning)
		}
		byMeaning[meaning], byText[text] = text, meaning
	}
	if len(byMeaning) < 1_000 {
		t.Errorf("only %d meanings were drawn", len(byMeaning))
	}
}

func TestCanonicalList_WhatIsNoListIsRefused(t *testing.T) {
	t.Parallel()
	for _, query := range []string{"pageSize=0", "pageSize=x", "sort=1", "cellFormat=string", "fields[x]=1", "%zz"} {
		if _, _, err := models.CanonicalList(query, nil); err == nil {
			t.Errorf("%s is taken", query)
		}
	}
	if _, _, err := models.CanonicalList("", []byte(`[]`)); err == nil {
		t.Error("a body that is no object is taken")
	}
}

func TestCanonicalRecordAndSchema_TellMeaningsApart(t *testing.T) {
	t.Parallel()
	same := [][2]string{{"", "returnFieldsByFieldId=0"}, {"returnFieldsByFieldId=true", "returnFieldsByFieldId=1&cellFormat=json"}}
	other := [][2]string{{"", "returnFieldsByFieldId=1"}, {"", "x=1"}, {"x=1", "x=2"}, {"", "cellFormat=string&timeZone=utc&userLocale=de"}}
	text := func(q string) string {
		b, err := models.CanonicalRecord(q)
		if err != nil {
			t.Fatal(q, err)
		}
		return string(b)
	}
	for _, p := range same {
		if text(p[0]) != text(p[1]) {
			t.Errorf("%q and %q are one", p[0], p[1])
		}
	}
	for _, p := range other {
		if text(p[0]) == text(p[1]) {
			t.Errorf("%q and %q are not one", p[0], p[1])
		}
	}
	schema := func(q string) string {
		b, err := models.CanonicalSchema(q)
		if err != nil {
			t.Fatal(q, err)
		}
		return string(b)
	}
	if schema("include=a&include=b") != schema("include[]=b&include[]=a") || schema("") == schema("include=a") || schema("offset=1") == schema("") {
		t.Error("schemas are mixed up")
	}
}
