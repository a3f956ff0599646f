package main

import (
	"encoding/json"
	"fmt"
)

// Bases of the emulator. Each part has its own: the limit is a base's.
const (
	directBase = "appDirect00000001"
	writeBase  = "appWrites00000001"
	readBase   = "appReads000000001"
	mixBase    = "appMixed000000001"
	killBase   = "appKilled00000001"
	tableName  = "Records"
)

// readable is how many records the bases have that are read.
const readable = 250

type object = map[string]any

// seedText is what the emulator holds at the start.
func seedText() []byte {
	var bases []object
	for _, base := range []string{directBase, writeBase, readBase, mixBase, killBase} {
		var records []object
		if base == readBase || base == mixBase {
			for n := range readable {
				records = append(records, object{"id": recordID(n), "fields": object{"Name": fmt.Sprintf("seed%05d", n), "Qty": n, "State": []string{"new", "paid", "sent"}[n%3]}})
			}
		}
		bases = append(bases, object{"id": base, "name": base, "tables": []object{{
			"name": tableName,
			"fields": []object{
				{"name": "Name", "type": "singleLineText"},
				{"name": "Qty", "type": "number", "options": object{"precision": 0}},
				{"name": "State", "type": "singleSelect", "options": object{"choices": []object{{"name": "new"}, {"name": "paid"}, {"name": "sent"}}}},
			},
			"records": records,
		}}})
	}
	text, err := json.Marshal(object{"bases": bases})
	if err != nil {
		panic(err) // of maps and strings alone
	}
	return text
}

func recordID(n int) string { return fmt.Sprintf("recSeed%010d", n) }

// queries are twenty things to ask of a base: ten lists and ten records.
func queries(base string) []string {
	at := "/v0/" + base + "/" + tableName
	paths := []string{
		at + "?pageSize=20",
		at + "?pageSize=20&sort%5B0%5D%5Bfield%5D=Name",
		at + "?pageSize=20&sort%5B0%5D%5Bfield%5D=Qty&sort%5B0%5D%5Bdirection%5D=desc",
		at + "?maxRecords=5",
		at + "?pageSize=50&fields%5B%5D=Name",
		at + "?maxRecords=10&filterByFormula=%7BState%7D%3D%27paid%27",
		at + "?maxRecords=10&filterByFormula=%7BQty%7D%3E100",
		at + "?maxRecords=10&view=Grid+view",
		at + "?maxRecords=10&returnFieldsByFieldId=1",
		at + "?maxRecords=10&cellFormat=string&timeZone=utc&userLocale=en-us",
	}
	for n := range 10 {
		paths = append(paths, at+"/"+recordID(n))
	}
	return paths
}
