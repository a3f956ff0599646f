package auditapi

import (
	"encoding/json"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
)

// Results of what an entry tells of.
const (
	ResultDone    = "done"
	ResultRefused = "refused"
)

// Entry is one line of a tenant's log.
type Entry struct {
	Seq        int64     `json:"seq" doc:"The entry's number in the tenant's log, from 0 without gaps."`
	EventID    string    `json:"event_id" format:"uuid"`
	At         time.Time `json:"at" doc:"When it happened."`
	RecordedAt time.Time `json:"recorded_at"`
	Action     string    `json:"action" doc:"The event's type, such as com.pyairtable.record.updated.v1."`
	Source     string    `json:"source" doc:"The service that said it."`
	Object     string    `json:"object" doc:"The event's subject: the id of what it happened to."`
	Version    int64     `json:"version,omitempty" doc:"Of the object."`
	Result     string    `json:"result" enum:"done,refused"`

	UserID    string `json:"user_id,omitempty" doc:"Who did it, or in whose name."`
	Actor     string `json:"actor,omitempty" doc:"Who acted for the user."`
	SessionID string `json:"session_id,omitempty"`
	TokenID   string `json:"token_id,omitempty"`
	IP        string `json:"ip,omitempty"`
	Agent     string `json:"agent,omitempty"`
	RequestID string `json:"request_id,omitempty"`

	Facts  json.RawMessage `json:"facts" doc:"What of the event's data names no person: ids, states, roles."`
	Data   json.RawMessage `json:"data,omitempty" doc:"The rest of the event's data."`
	Before json.RawMessage `json:"before,omitempty" doc:"What it was before, where the event tells it."`
	After  json.RawMessage `json:"after,omitempty" doc:"What it is now, where the event tells it."`
	Erased bool            `json:"erased,omitempty" doc:"Personal data of this entry went with an erased user."`
	Leaf   []byte          `json:"leaf" doc:"The entry's hash in the Merkle tree, base64."`
}

// EntryPage is a page of entries, newest first.
type EntryPage = api.Page[Entry]

// EntryQuery selects entries; all that is given must hold.
type EntryQuery struct {
	api.PageQuery
	User     string    `query:"user_id" maxLength:"36" doc:"Who did it."`
	Action   string    `query:"action" maxLength:"200" doc:"The event's type, or its beginning followed by *."`
	Object   string    `query:"object" maxLength:"200" doc:"The id of what it happened to."`
	BaseID   string    `query:"base_id" maxLength:"64"`
	RecordID string    `query:"record_id" maxLength:"64"`
	Result   string    `query:"result" enum:"done,refused"`
	From     time.Time `query:"from" doc:"Recorded at or after."`
	To       time.Time `query:"to" doc:"Recorded before."`
	Text     string    `query:"text" maxLength:"200" doc:"Somewhere in the entry, in any case. A page looks through a bounded number of entries and may be short, or empty, with a next_cursor."`
}

// HistoryQuery asks for what became of a record, or of one cell of it.
type HistoryQuery struct {
	api.PageQuery
	BaseID   string `query:"base_id" required:"true" minLength:"1" maxLength:"64"`
	RecordID string `query:"record_id" required:"true" minLength:"1" maxLength:"64"`
	FieldID  string `query:"field_id" maxLength:"64"`
}

// EntryRef names an entry.
type EntryRef struct {
	Seq int64 `path:"seq" minimum:"0"`
}

// Head is a signed tree head. The signature is Ed25519 over the text
// "pyairtable audit head v1\n", then tenant, size, root, chain and signed_at, each
// followed by "\n": hashes in base64, the time in RFC 3339 with microseconds.
type Head struct {
	Tenant    string    `json:"tenant" format:"uuid"`
	Size      int64     `json:"size"`
	Root      []byte    `json:"root"`
	Chain     []byte    `json:"chain"`
	SignedAt  time.Time `json:"signed_at"`
	KeyID     string    `json:"key_id"`
	Signature []byte    `json:"signature"`
}

// Key is a public key that signs heads.
type Key struct {
	ID        string    `json:"id"`
	Algorithm string    `json:"algorithm" enum:"Ed25519"`
	PublicKey []byte    `json:"public_key" doc:"32 bytes, base64."`
	CreatedAt time.Time `json:"created_at"`
}

// KeyList are all keys that have ever signed, newest first.
type KeyList struct {
	Keys []Key `json:"keys" nullable:"false"`
}

// InclusionQuery asks for the proof that an entry is in a tree.
type InclusionQuery struct {
	Seq  int64 `query:"seq" minimum:"0"`
	Size int64 `query:"size" minimum:"0" doc:"Of the tree; the newest signed head's if 0."`
}

// ConsistencyQuery asks for the proof that a tree is an extension of another.
type ConsistencyQuery struct {
	From int64 `query:"from" required:"true" minimum:"1"`
	To   int64 `query:"to" minimum:"0" doc:"The newest signed head's if 0."`
}

// Proof is a Merkle proof as in RFC 9162, section 2.1.
type Proof struct {
	Size int64    `json:"size" doc:"Of the tree that is proved against."`
	Root []byte   `json:"root"`
	Leaf []byte   `json:"leaf,omitempty" doc:"Of an inclusion."`
	Path [][]byte `json:"path" nullable:"false"`
	Head *Head    `json:"head,omitempty" doc:"A signed head of that size, if there is one."`
}

// Kinds of faults.
const (
	FaultEntry   = "entry_changed"   // the content does not have the hash that was recorded
	FaultMissing = "entry_missing"   // the numbers have a gap
	FaultExtra   = "entry_extra"     // an entry that was never recorded
	FaultChain   = "chain_broken"    // the entry does not follow from the one before
	FaultTree    = "tree_differs"    // the stored tree is not that of the entries
	FaultHead    = "head_differs"    // a signed head is not of these entries, or not signed
	FaultSealed  = "personal_broken" // sealed personal data was changed
)

// Fault is one thing that does not verify.
type Fault struct {
	Kind   string `json:"kind"`
	Seq    int64  `json:"seq" doc:"The entry, or the first one that it can be."`
	Last   int64  `json:"last,omitempty" doc:"The last one that it can be."`
	Detail string `json:"detail"`
}

// Report is what verifying a log has found.
type Report struct {
	OK      bool    `json:"ok"`
	Size    int64   `json:"size"`
	Pruned  int64   `json:"pruned" doc:"Entries below have been pruned; what follows verifies against the kept edge of the tree."`
	Checked int64   `json:"checked" doc:"Entries looked at."`
	Heads   int     `json:"heads" doc:"Signed heads compared."`
	Faults  []Fault `json:"faults" nullable:"false" doc:"At most 100."`
}

// Settings are a tenant's.
type Settings struct {
	RetentionDays int `json:"retention_days" minimum:"0" maximum:"36500" doc:"Entries older than that are pruned; 0 keeps them."`
}

// Formats of what is forwarded.
const (
	FormatCEF  = "cef"
	FormatOCSF = "ocsf"
)

// NewSink is what a sink is made of.
type NewSink struct {
	Name    string `json:"name" minLength:"1" maxLength:"100"`
	URL     string `json:"url" maxLength:"500" doc:"https://host/path, http://host/path, syslog+tls://host:6514 or syslog+tcp://host:601."`
	Format  string `json:"format" enum:"cef,ocsf"`
	Token   string `json:"token,omitempty" maxLength:"500" doc:"Sent to an HTTP collector as Authorization: Bearer."`
	FromSeq *int64 `json:"from_seq,omitempty" minimum:"0" doc:"The first entry that is sent; by default what is recorded from now on."`
}

// SinkPatch changes a sink; what is absent stays.
type SinkPatch struct {
	Name    *string `json:"name,omitempty" minLength:"1" maxLength:"100"`
	Token   *string `json:"token,omitempty" maxLength:"500"`
	Enabled *bool   `json:"enabled,omitempty"`
	NextSeq *int64  `json:"next_seq,omitempty" minimum:"0" doc:"Send again from here."`
}

// Sink is where a tenant's entries are forwarded to. Each is sent at least once.
type Sink struct {
	ID        string    `json:"id" format:"uuid"`
	Name      string    `json:"name"`
	URL       string    `json:"url"`
	Format    string    `json:"format"`
	HasToken  bool      `json:"has_token"`
	Enabled   bool      `json:"enabled"`
	NextSeq   int64     `json:"next_seq" doc:"The first entry that was not taken yet."`
	Failures  int       `json:"failures" doc:"In a row; 0 when all is well."`
	LastError string    `json:"last_error,omitempty"`
	CreatedAt time.Time `json:"created_at"`
}

// SinkRef names a sink.
type SinkRef struct {
	ID string `path:"id" format:"uuid"`
}

// SinkEdit changes a sink.
type SinkEdit struct {
	ID   string `path:"id" format:"uuid"`
	Body SinkPatch
}

// CreatedSink is the answer to CreateSink.
type CreatedSink struct {
	Location string `header:"Location"`
	Body     Sink
}

// SinkList are a tenant's sinks.
type SinkList struct {
	Items []Sink `json:"items" nullable:"false"`
}
