package auditapi

import "encoding/json"

// ExportFormat names the form of an export as NDJSON.
const ExportFormat = "pyairtable-audit-export/1"

// ExportLine is a line of an export; one of its parts is there. The first line is a
// Start, the last one has End beside the newest Head.
type ExportLine struct {
	Start *ExportStart `json:"start,omitempty"`
	Entry *ExportEntry `json:"entry,omitempty"`
	Head  *Head        `json:"head,omitempty"` // of the entries so far
	End   *struct{}    `json:"end,omitempty"`
}

// ExportStart says what precedes the first entry of an export.
type ExportStart struct {
	Format string   `json:"format"`
	Tenant string   `json:"tenant"`
	From   int64    `json:"from"`  // number of the first entry
	Size   int64    `json:"size"`  // of the log
	Chain  []byte   `json:"chain"` // its value before From
	Peaks  [][]byte `json:"peaks"` // right edge of the tree of the first From entries
}

// ExportEntry is an entry. Its hash is that of the bytes of Canonical. Own and Other are
// the personal data, which Canonical commits to by the SHA-256 of their bytes; they are
// absent when they were erased.
type ExportEntry struct {
	Canonical json.RawMessage `json:"canonical"`
	Leaf      []byte          `json:"leaf"`
	Chain     []byte          `json:"chain"`
	Own       json.RawMessage `json:"own,omitempty"`
	Other     json.RawMessage `json:"other,omitempty"`
}
