package coalesce

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/budget"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/marker"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
)

// rider is one caller's call on its way into a batch.
type rider struct {
	call  upstream.Call
	ctx   context.Context // of the caller; it carries its logger and trace
	next  upstream.Upstream
	desk  *desk
	done  chan verdict // of one
	since time.Time

	write    v0.Write // unless alone
	alone    bool     // it shares no batch
	shape    shape
	claim    claim
	priority budget.Priority
	size     int // bytes, about
	left     bool
	told     bool
}

type verdict struct {
	answer upstream.Answer
	err    error
}

// shape is what the calls of one batch have in common.
type shape struct {
	op                  upstream.Op
	method, table       string
	typecast, byFieldID bool
	mergeOn             string
	headers             string
}

// claim is which records a call may write, beside new ones.
type claim struct {
	table string // as the call spells it; "": unknown
	ids   []string
	wild  bool // records that are found by their cells
	// by are the fields that they are found by, and keys the values in a form in which
	// different ones cannot mean the same record; "" and nil if that is not known.
	by   string
	keys []string
}

// board makes a rider of the call.
func (d door) board(ctx context.Context, call upstream.Call) *rider {
	r := &rider{
		call: call, ctx: ctx, next: d.next, done: make(chan verdict, 1), since: time.Now(),
		priority: budget.PriorityOf(call), size: len(call.Body), claim: claim{table: call.Table},
	}
	w, ok := v0.ReadWrite(call)
	switch {
	case !ok:
		r.claimUnread()
	case w.MergeOn != nil:
		r.write, r.alone = w, !r.claimKeys(w) || fetches(w)
	default:
		r.write, r.alone = w, fetches(w)
		r.claimItems(w)
	}
	if optsOut(call.Header) {
		r.alone = true
		d.c.optOuts.Inc()
	}
	r.alone = r.alone || len(w.Items) >= models.MaxBatch || r.size > mostBytes/models.MaxBatch
	r.shape = shape{
		op: call.Op, method: call.Method, table: d.table(call), typecast: w.Typecast, byFieldID: w.ByFieldID,
		mergeOn: strings.Join(w.MergeOn, "\x00"), headers: told(call),
	}
	return r
}

func (d door) table(call upstream.Call) string {
	if d.account.Table != nil {
		if id := d.account.Table(call.Base, call.Table); id != "" {
			return id
		}
	}
	return call.Table
}

// told is what of the headers may make a difference to the answer. The name of a
// client's library does not.
func told(c upstream.Call) string {
	var b strings.Builder
	for _, name := range []string{"Accept", "X-Api-Version", "X-Airtable-Application-Id", "X-Airtable-Client-Secret", marker.Header} {
		fmt.Fprintf(&b, "%q", c.Header.Values(name))
	}
	return b.String()
}

// claimUnread is for calls that cannot be taken apart.
func (r *rider) claimUnread() {
	switch {
	case r.call.Op == upstream.CreateRecords:
	case r.call.Record != "":
		r.claim.ids = []string{r.call.Record}
	default:
		r.claim.wild = true
	}
}

func (r *rider) claimItems(w v0.Write) {
	if r.call.Op == upstream.CreateRecords {
		return
	}
	for _, it := range w.Items {
		r.claim.ids = append(r.claim.ids, it.ID)
	}
}

// claimKeys reports whether the upsert can share a batch: Airtable matches all records of a
// call against the state before it, so no two may mean the same record.
func (r *rider) claimKeys(w v0.Write) bool {
	r.claim.wild = true
	var keys []string
	known := true
	for _, it := range w.Items {
		if it.ID != "" {
			r.claim.ids = append(r.claim.ids, it.ID)
			known = false
			continue
		}
		key, ok := mergeKey(it, w)
		known = known && ok && !slices.Contains(keys, key)
		keys = append(keys, key)
	}
	if known {
		r.claim.by, r.claim.keys = strings.Join(w.MergeOn, "\x00"), keys
	}
	return known
}

// mergeKey is what the item is matched by. With typecast texts mean what they look
// like; such a key says nothing.
func mergeKey(it v0.Item, w v0.Write) (string, bool) {
	var cells map[string]any
	if w.Typecast || json.Unmarshal(it.Fields, &cells) != nil {
		return "", false
	}
	var key strings.Builder
	for _, name := range w.MergeOn {
		v, ok := cells[name]
		if !ok || v == nil || v == "" {
			return "", false // null matches nothing, or all blanks: unconfirmed
		}
		fmt.Fprintf(&key, "%q", likeness(v))
	}
	return key.String(), true
}

// likeness is the same for values that a field might hold equal. Whether letter case
// tells texts apart is unconfirmed; a moment is its day in a date field.
func likeness(v any) string {
	switch v := v.(type) {
	case string:
		text := strings.ToLower(strings.Join(strings.Fields(v), " "))
		if len(text) >= len(time.DateOnly) {
			if _, err := time.Parse(time.DateOnly, text[:len(time.DateOnly)]); err == nil {
				return text[:len(time.DateOnly)]
			}
		}
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			return likeness(n)
		}
		return text
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case []any:
		parts := make([]string, len(v))
		for i, item := range v {
			parts[i] = likeness(item)
		}
		slices.Sort(parts)
		return strings.Join(parts, "\x00")
	}
	return fmt.Sprint(v)
}

// fetches reports whether the call may name files for Airtable to fetch: when one
// fails, the answer says so for the whole batch.
func fetches(w v0.Write) bool {
	for _, it := range w.Items {
		if it.Fields == nil || !bytes.Contains(it.Fields, []byte(`"url"`)) {
			continue
		}
		cells, err := v0.Members(it.Fields)
		if err != nil || slices.ContainsFunc(cells, func(m v0.Member) bool { return m.Value[0] == '[' && bytes.Contains(m.Value, []byte(`"url"`)) }) {
			return true
		}
	}
	return false
}

// tell gives the rider its verdict, once.
func (r *rider) tell(a upstream.Answer, err error) {
	if !r.told {
		r.told = true
		r.done <- verdict{a, err}
	}
}
