package models

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/pyairtable/pyairtable/pkg/api/auditapi"
)

// Event is an entry as it is told to others: opened, as far as it was not erased.
type Event struct {
	*Entry
	IP, Agent     string
	Data          json.RawMessage // members of the event's data that are personal
	Before, After json.RawMessage
	Erased        bool
}

// short is the action without what all have: record.updated.
func (e Event) short() string {
	s := strings.TrimPrefix(e.Action, "com.pyairtable.")
	if i := strings.LastIndex(s, ".v"); i > 0 {
		s = s[:i]
	}
	return s
}

func (e Event) refused() bool { return e.Result == auditapi.ResultRefused }

var (
	cefHeader = strings.NewReplacer(`\`, `\\`, `|`, `\|`, "\n", " ", "\r", " ")
	cefValue  = strings.NewReplacer(`\`, `\\`, `=`, `\=`, "\n", `\n`, "\r", `\r`)
)

// Severities of CEF, from 0 to 10.
const (
	severityDone    = 3
	severityRefused = 6
)

// CEF is the event in the ArcSight Common Event Format, version 0.
func (e Event) CEF() string {
	severity, outcome := severityDone, "success"
	if e.refused() {
		severity, outcome = severityRefused, "failure"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "CEF:0|PyAirtable|PyAirtable|1|%s|%s|%d|", cefHeader.Replace(e.Action), cefHeader.Replace(e.short()), severity)
	first := true
	add := func(key, value string) {
		if value == "" {
			return
		}
		if !first {
			b.WriteByte(' ')
		}
		first = false
		b.WriteString(key + "=" + cefValue.Replace(value))
	}
	add("rt", strconv.FormatInt(e.At.UnixMilli(), 10))
	add("externalId", e.EventID)
	add("outcome", outcome)
	add("suid", e.User)
	add("src", e.IP)
	add("requestClientApplication", e.Agent)
	add("duid", e.Object)
	for i, custom := range []struct{ label, value string }{
		{"tenant", e.Log}, {"requestId", e.Request}, {"sessionId", e.Session}, {"tokenId", e.Token}, {"actor", e.Actor}, {"source", e.Source},
	} {
		if custom.value != "" {
			add(fmt.Sprintf("cs%dLabel", i+1), custom.label)
			add(fmt.Sprintf("cs%d", i+1), custom.value)
		}
	}
	add("cn1Label", "seq")
	add("cn1", strconv.FormatInt(e.Seq, 10))
	add("msg", e.Facts)
	return b.String()
}

// OCSF is the event as an API Activity (class 6003) of the Open Cybersecurity Schema
// Framework, version 1.3.0.
func (e Event) OCSF() ([]byte, error) {
	const class = 6003
	activity, name := e.activity()
	status, statusName, severity, severityName := 1, "Success", 1, "Informational"
	if e.refused() {
		status, statusName, severity, severityName = 2, "Failure", 3, "Medium"
	}
	type object = map[string]any
	user := object{"uid": e.User, "type_id": 1}
	if e.User == "" {
		user = object{"type_id": 3, "type": "System", "name": e.Source}
	}
	actor := object{"user": user}
	if e.Session != "" {
		actor["session"] = object{"uid": e.Session}
	}
	if e.Actor != "" {
		actor["invoked_by"] = e.Actor
	}
	out := object{
		"category_uid": 6, "category_name": "Application Activity", "class_uid": class, "class_name": "API Activity",
		"activity_id": activity, "activity_name": name, "type_uid": class*100 + activity,
		"time": e.At.UnixMilli(), "severity_id": severity, "severity": severityName, "status_id": status, "status": statusName,
		"metadata": object{
			"version": "1.3.0", "uid": e.EventID, "tenant_uid": e.Log, "sequence": e.Seq,
			"product": object{"name": "PyAirtable", "vendor_name": "PyAirtable"}, "logged_time": e.RecordedAt.UnixMilli(),
		},
		"actor":        actor,
		"api":          object{"operation": e.Action, "service": object{"name": strings.TrimPrefix(e.Source, "/")}, "request": object{"uid": e.Request}},
		"src_endpoint": object{"ip": e.IP},
		"http_request": object{"user_agent": e.Agent},
		"resources":    []object{{"uid": e.Object}},
		"unmapped": object{
			"facts": json.RawMessage(e.Facts), "data": e.Data, "before": e.Before, "after": e.After, "erased": e.Erased, "leaf": e.Leaf[:],
			"token_id": e.Token,
		},
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("render entry %d: %w", e.Seq, err)
	}
	return b, nil
}

// activity is OCSF's number for what was done.
func (e Event) activity() (int, string) {
	_, verb, _ := strings.Cut(e.short(), ".")
	for _, a := range []struct {
		id    int
		name  string
		verbs []string
	}{
		{1, "Create", []string{"created", "added", "registered", "started", "sent", "linked", "taken"}},
		{3, "Update", []string{"updated", "changed", "moved", "accepted", "restored", "verified"}},
		{4, "Delete", []string{"unlinked", "deleted", "removed", "revoked", "pruned"}},
		{2, "Read", []string{"exported"}},
	} {
		for _, v := range a.verbs {
			if verb == v || strings.HasSuffix(verb, "_"+v) {
				return a.id, a.name
			}
		}
	}
	return 99, "Other"
}

// Render is the event in a sink's format.
func (e Event) Render(format string) ([]byte, error) {
	if format == auditapi.FormatCEF {
		return []byte(e.CEF()), nil
	}
	return e.OCSF()
}

// Syslog frames a message for a stream: RFC 5424 with octet counting (RFC 6587, RFC 5425).
func (e Event) Syslog(host string, body []byte) []byte {
	const facility = 13 // log audit
	severity := 6       // informational
	if e.refused() {
		severity = 4 // warning
	}
	msg := fmt.Appendf(nil, "<%d>1 %s %s pyairtable - %s - ", facility*8+severity, e.At.UTC().Format(stamp), host, msgID(e.short()))
	msg = append(msg, body...)
	return append(fmt.Appendf(nil, "%d ", len(msg)), msg...)
}

// msgID has at most 32 printable characters.
func msgID(s string) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), 32)]
}
