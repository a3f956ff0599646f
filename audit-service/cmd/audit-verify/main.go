// Command audit-verify verifies an export of an audit log, with nothing but the export
// and the public keys.
//
//	curl …/api/v1/audit/keys > keys.json
//	curl …/api/v1/audit/export | audit-verify -keys keys.json
//
// -head names a file with a head that was obtained earlier (GET /api/v1/audit/head): the
// log must be its continuation. The command prints a report as JSON and ends with status 1
// if something does not verify, with 2 if it could not be read.
package main

import (
	"crypto/ed25519"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/pyairtable/pyairtable/audit-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/api/auditapi"
)

func main() {
	keys := flag.String("keys", "", "file with the public keys, as GET /api/v1/audit/keys answers them")
	head := flag.String("head", "", "file with a head that was obtained earlier")
	flag.Parse()
	report, err := verify(*keys, *head, flag.Arg(0))
	if err != nil {
		fmt.Fprintln(os.Stderr, "audit-verify:", err)
		os.Exit(2)
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	if err := out.Encode(report); err != nil || !report.OK {
		os.Exit(1)
	}
}

// verify reads the export at path, or standard input if there is none.
func verify(keyFile, headFile, path string) (auditapi.Report, error) {
	var list auditapi.KeyList
	if err := read(keyFile, &list); err != nil {
		return auditapi.Report{}, fmt.Errorf("keys: %w", err)
	}
	keys := models.Keys{}
	for _, k := range list.Keys {
		keys[k.ID] = ed25519.PublicKey(k.PublicKey)
	}
	var earlier []models.Head
	if headFile != "" {
		var wire auditapi.Head
		if err := read(headFile, &wire); err != nil {
			return auditapi.Report{}, fmt.Errorf("head: %w", err)
		}
		h, err := models.HeadOf(wire)
		if err != nil {
			return auditapi.Report{}, fmt.Errorf("head: %w", err)
		}
		earlier = append(earlier, h)
	}
	var in io.Reader = os.Stdin
	if path != "" {
		f, err := os.Open(path)
		if err != nil {
			return auditapi.Report{}, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	return models.CheckExport(in, keys, earlier)
}

func read(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}
