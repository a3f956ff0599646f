package auditservice_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	goredis "github.com/redis/go-redis/v9"

	auditservice "github.com/pyairtable/pyairtable/audit-service"
	"github.com/pyairtable/pyairtable/audit-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/auditapi"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/apptest"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/authtest"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/origin"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/postgres"
	"github.com/pyairtable/pyairtable/pkg/redis"
	"github.com/pyairtable/pyairtable/pkg/redistest"
	"github.com/pyairtable/pyairtable/pkg/rpc"
	"github.com/pyairtable/pyairtable/pkg/seal"
)

// world is a running service with the databases below it, and an owner of a tenant.
type world struct {
	*apptest.Running
	t      *testing.T
	env    map[string]string
	issuer *authtest.Issuer
	pool   *pgxpool.Pool
	rdb    goredis.UniversalClient
	tenant id.TenantID
	owner  id.UserID
}

func start(t *testing.T) *world {
	t.Helper()
	return startWith(t, authtest.New(t), nil)
}

func startWith(t *testing.T, issuer *authtest.Issuer, vars map[string]string) *world {
	t.Helper()
	w := &world{t: t, issuer: issuer, tenant: id.New[id.Tenant](), owner: id.New[id.User]()}
	w.env = map[string]string{
		"AUTH_SERVICE_URL": w.issuer.URL, "DATABASE_URL": pgtest.URL(t, "audit-service", nil), "REDIS_URL": redistest.URL(t),
		"SEAL_KEYS": seal.NewKey(), "PERMISSIONS": config.PermissionsByRole, "AUDIT_SIGN_EVERY": "100ms", "AUDIT_EGRESS_ALLOWED": "127.0.0.0/8",
	}
	maps.Copy(w.env, vars)
	w.Running = apptest.Start(t, auditservice.Service, w.env)
	var err error
	if w.pool, err = pgxpool.New(t.Context(), w.env["DATABASE_URL"]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.pool.Close)
	if w.rdb, err = redis.New(w.env["REDIS_URL"]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.rdb.Close() })
	return w
}

func (w *world) token(role string) string {
	return w.issuer.Token(w.t, authtest.User(w.tenant, w.owner, role))
}

func (w *world) admin() *rpc.Client { return w.Client(auth.Principal{Token: w.token("owner")}) }

// from is the context of a request by the owner.
func (w *world) from() context.Context {
	return origin.Into(w.t.Context(), origin.Origin{
		User: w.owner.String(), Session: "s1", IP: "203.0.113.9", Agent: "curl/8", Request: "r1",
	})
}

func (w *world) send(list ...events.Event) {
	w.t.Helper()
	if err := events.Send(w.t.Context(), w.rdb, list...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) update(record, before, after string) events.Event {
	return airtableapi.RecordUpdated.New(w.from(), w.tenant, record, 1, airtableapi.RecordChanged{
		BaseID: "app1", TableID: "tbl1", RecordID: record, ChangedFieldIDs: []string{"fld1"}, ActorID: w.owner.String(),
		OldCells: map[string]json.RawMessage{"fld1": json.RawMessage(before)}, NewCells: map[string]json.RawMessage{"fld1": json.RawMessage(after)},
	})
}

// size waits until the owner's log has at least n entries.
func (w *world) size(n int64) {
	w.t.Helper()
	await.True(w.t, "entries are recorded", func() bool {
		var size int64
		err := postgres.ForTenant(w.pool, w.tenant).QueryRow(w.t.Context(), `SELECT coalesce(max(size), 0) FROM logs WHERE tenant_id = $1`, w.tenant).Scan(&size)
		return err == nil && size >= n
	})
}

func (w *world) list(q auditapi.EntryQuery) []auditapi.Entry {
	w.t.Helper()
	var all []auditapi.Entry
	for {
		page, err := rpc.Call(w.t.Context(), w.admin(), auditapi.ListEntries, q)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, page.Items...)
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			return all
		}
	}
}

func (w *world) verify() auditapi.Report {
	w.t.Helper()
	report, err := rpc.Call(w.t.Context(), w.admin(), auditapi.Verify, struct{}{})
	if err != nil {
		w.t.Fatal(err)
	}
	return report
}

func (w *world) export(query string) string {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.URL+auditapi.Export.Prefix+query, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.token("owner"))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		w.t.Fatalf("%d %s %v", resp.StatusCode, body, err)
	}
	return string(body)
}

func (w *world) keys() models.Keys {
	w.t.Helper()
	list, err := rpc.Call(w.t.Context(), w.Client(auth.Principal{}), auditapi.ListKeys, struct{}{})
	if err != nil {
		w.t.Fatal(err)
	}
	keys := models.Keys{}
	for _, k := range list.Keys {
		keys[k.ID] = k.PublicKey
	}
	return keys
}

// behind runs SQL as a superuser would, past triggers, rights and policies.
func (w *world) behind(sql string, args ...any) {
	w.t.Helper()
	err := pgx.BeginFunc(w.t.Context(), w.pool, func(tx pgx.Tx) error {
		for _, s := range []string{
			`GRANT UPDATE ON entries, nodes, heads TO CURRENT_USER`,
			`ALTER TABLE entries DISABLE TRIGGER USER`, `ALTER TABLE nodes DISABLE TRIGGER USER`, `ALTER TABLE logs DISABLE TRIGGER USER`,
			`SELECT set_config('app.tenant', '*', true)`,
		} {
			if _, err := tx.Exec(w.t.Context(), s); err != nil {
				return err
			}
		}
		tag, err := tx.Exec(w.t.Context(), sql, args...)
		if err == nil && tag.RowsAffected() == 0 {
			return errors.New("no row was touched")
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestService_ServesWhatItDeclares(t *testing.T) {
	t.Parallel()
	apptest.Operations(t, start(t).URL, auditapi.Service)
}

func TestRecord_OfEveryEventWhoWhatAndTheChange(t *testing.T) {
	t.Parallel()
	w := start(t)
	e := w.update("rec1", `"old text"`, `"new text"`)
	w.send(e, e, w.update("rec2", `1`, `2`))
	w.send(e)
	w.size(2)
	got := w.list(auditapi.EntryQuery{})
	if len(got) != 2 {
		t.Fatalf("an event that was delivered thrice has %d entries with another's one", len(got))
	}
	first := got[1]
	if first.Action != airtableapi.RecordUpdated.Name || first.Object != "rec1" || first.UserID != w.owner.String() || first.SessionID != "s1" ||
		first.IP != "203.0.113.9" || first.Agent != "curl/8" || first.RequestID != "r1" || first.Result != auditapi.ResultDone {
		t.Errorf("%+v", first)
	}
	if string(first.Before) != `{"fld1":"old text"}` || string(first.After) != `{"fld1":"new text"}` {
		t.Errorf("before %s after %s", first.Before, first.After)
	}
	one, err := rpc.Call(t.Context(), w.admin(), auditapi.GetEntry, auditapi.EntryRef{Seq: 0})
	if err != nil || one.EventID != first.EventID {
		t.Errorf("%+v %v", one, err)
	}
	cell, err := rpc.Call(t.Context(), w.admin(), auditapi.ListHistory, auditapi.HistoryQuery{BaseID: "app1", RecordID: "rec1", FieldID: "fld1"})
	if err != nil || len(cell.Items) != 1 || string(cell.Items[0].Before) != `"old text"` {
		t.Errorf("%+v %v", cell, err)
	}
	none, err := rpc.Call(t.Context(), w.admin(), auditapi.ListHistory, auditapi.HistoryQuery{BaseID: "app1", RecordID: "rec1", FieldID: "fld2"})
	if err != nil || len(none.Items) != 0 {
		t.Errorf("of a field that did not change: %+v %v", none, err)
	}
}

func TestSearch_ByEachFilterAndInPages(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.send(w.update("rec1", `"apple"`, `"Pear"`), w.update("rec2", `"plum"`, `"fig"`),
		authapi.SignedIn.New(t.Context(), w.tenant, "ses", 1, authapi.SignedInData{UserID: w.owner.String(), SessionID: "ses", Method: "password", IP: "198.51.100.7"}))
	w.size(3)
	for what, c := range map[string]struct {
		q    auditapi.EntryQuery
		want int
	}{
		"all": {auditapi.EntryQuery{}, 3}, "object": {auditapi.EntryQuery{Object: "rec2"}, 1}, "user": {auditapi.EntryQuery{User: w.owner.String()}, 3},
		"action": {auditapi.EntryQuery{Action: authapi.SignedIn.Name}, 1}, "prefix": {auditapi.EntryQuery{Action: "com.pyairtable.record.*"}, 2},
		"sealed text": {auditapi.EntryQuery{Text: "pear"}, 1}, "refused": {auditapi.EntryQuery{Result: "refused"}, 0}, "record": {auditapi.EntryQuery{RecordID: "rec1"}, 1},
	} {
		if got := w.list(c.q); len(got) != c.want {
			t.Errorf("%s: %d entries, want %d", what, len(got), c.want)
		}
	}
	q := auditapi.EntryQuery{}
	q.Limit = 1
	var seqs []int64
	for _, e := range w.list(q) {
		seqs = append(seqs, e.Seq)
	}
	if !slices.Equal(seqs, []int64{2, 1, 0}) {
		t.Errorf("in pages: %v", seqs)
	}
}

func TestAccess_AdminsReadTheirOwnLogAlone(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.send(w.update("rec1", `1`, `2`))
	w.size(1)
	for _, role := range []string{"member", "guest", ""} {
		c := w.Client(auth.Principal{Token: w.token(role)})
		if _, err := rpc.Call(t.Context(), c, auditapi.ListEntries, auditapi.EntryQuery{}); !errors.Is(err, auditapi.ErrAdminsOnly) {
			t.Errorf("a %q got %v", role, err)
		}
		if _, err := rpc.Call(t.Context(), c, auditapi.Verify, struct{}{}); !errors.Is(err, auditapi.ErrAdminsOnly) {
			t.Errorf("a %q verifies: %v", role, err)
		}
	}
	stranger := w.Client(auth.Principal{Token: w.issuer.Token(t, authtest.User(id.New[id.Tenant](), id.New[id.User](), "owner"))})
	if page, err := rpc.Call(t.Context(), stranger, auditapi.ListEntries, auditapi.EntryQuery{}); err != nil || len(page.Items) != 0 {
		t.Errorf("a stranger lists %+v, %v", page, err)
	}
	if _, err := rpc.Call(t.Context(), stranger, auditapi.GetEntry, auditapi.EntryRef{}); !errors.Is(err, errs.ErrNotFound) {
		t.Errorf("a stranger got %v", err)
	}
	if _, err := rpc.Call(t.Context(), w.Client(auth.Principal{}), auditapi.ListEntries, auditapi.EntryQuery{}); !errors.Is(err, errs.ErrUnauthenticated) {
		t.Errorf("nobody got %v", err)
	}
}

func TestRefused_RequestsAreRecorded(t *testing.T) {
	t.Parallel()
	w := start(t)
	if _, err := rpc.Call(t.Context(), w.Client(auth.Principal{Token: w.token("guest")}), auditapi.Verify, struct{}{}); err == nil {
		t.Fatal("a guest verifies")
	}
	w.size(1)
	got := w.list(auditapi.EntryQuery{Result: auditapi.ResultRefused})
	if len(got) != 1 || got[0].UserID != w.owner.String() || got[0].Object != auditapi.Verify.Name || !strings.Contains(string(got[0].Facts), `"admins_only"`) {
		t.Errorf("%+v", got)
	}
	if _, err := rpc.Call(t.Context(), w.Client(auth.Principal{}), auditapi.Verify, struct{}{}); err == nil {
		t.Fatal("nobody verifies")
	}
	operator := w.Client(auth.Principal{Token: w.issuer.Token(t, authtest.Service("audit-service"))})
	await.True(t, "what nobody known was refused is recorded", func() bool {
		page, err := rpc.Call(t.Context(), operator, auditapi.ListUnowned, auditapi.EntryQuery{})
		return err == nil && len(page.Items) == 1
	})
	if _, err := rpc.Call(t.Context(), w.admin(), auditapi.ListUnowned, auditapi.EntryQuery{}); err == nil {
		t.Error("a user reads what belongs to nobody")
	}
}

func TestEntries_CanNeitherBeChangedNorDeleted(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.send(w.update("rec1", `1`, `2`))
	w.size(1)
	if _, err := rpc.Call(t.Context(), w.admin(), auditapi.GetHead, struct{}{}); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		`UPDATE entries SET user_id = 'x'`, `DELETE FROM entries`, `TRUNCATE entries`, `UPDATE heads SET size = 9`, `DELETE FROM heads`,
		`DELETE FROM logs`, `UPDATE logs SET size = 0, pruned = 0`, `UPDATE logs SET pruned = 1`,
	} {
		err := pgx.BeginFunc(t.Context(), w.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), `SELECT set_config('app.tenant', '*', true)`); err != nil {
				return err
			}
			_, err := tx.Exec(t.Context(), sql)
			return err
		})
		if err == nil {
			t.Errorf("the service's role may: %s", sql)
		}
	}
}

func TestVerify_FindsAndLocatesWhatASuperuserDid(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sql   string
		kinds []string
		seq   int64
	}{
		"changed":             {`UPDATE entries SET user_id = 'somebody else' WHERE seq = 300`, []string{auditapi.FaultEntry}, 300},
		"time":                {`UPDATE entries SET at = at - interval '1 day' WHERE seq = 7`, []string{auditapi.FaultEntry}, 7},
		"facts no JSON":       {`UPDATE entries SET facts = 'x' WHERE seq = 7`, []string{auditapi.FaultEntry}, 7},
		"cipher":              {`UPDATE entries SET own_cipher = '\x00' WHERE seq = 5`, []string{auditapi.FaultEntry, auditapi.FaultSealed}, 5},
		"deleted":             {`DELETE FROM entries WHERE seq = 100`, []string{auditapi.FaultMissing}, 100},
		"last deleted":        {`DELETE FROM entries WHERE seq = 599`, []string{auditapi.FaultMissing}, 599},
		"leaf":                {`UPDATE entries SET leaf = sha256('x') WHERE seq = 9`, []string{auditapi.FaultEntry, auditapi.FaultChain, auditapi.FaultTree}, 9},
		"swapped":             {`UPDATE entries SET user_id = CASE seq WHEN 3 THEN 'a' ELSE 'b' END, leaf = sha256('y') WHERE seq IN (3, 4)`, []string{auditapi.FaultEntry, auditapi.FaultChain}, 3},
		"inserted at the end": {`INSERT INTO entries SELECT (jsonb_populate_record(e, '{"seq": 600}')).* FROM entries e WHERE seq = 5`, []string{auditapi.FaultExtra}, 600},
		"node":                {`UPDATE nodes SET hash = sha256('x') WHERE level = 8 AND idx = 1`, []string{auditapi.FaultTree}, 256},
		"set back": {`UPDATE logs SET size = 300, chain = (SELECT chain FROM entries e WHERE e.tenant_id = logs.tenant_id AND seq = 299),
			peaks = (SELECT hash FROM nodes n WHERE n.tenant_id = logs.tenant_id AND level = 8 AND idx = 0) || substr(peaks, 1, 0) ||
				sha256('1') || sha256('2') || sha256('3')`, []string{auditapi.FaultExtra, auditapi.FaultTree}, 300},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t)
			var list []events.Event
			for range 600 {
				list = append(list, w.update("rec1", `1`, `2`))
			}
			w.send(list...)
			w.size(600)
			if report := w.verify(); !report.OK || report.Checked != 600 || report.Heads == 0 {
				t.Fatalf("untouched: %+v", report)
			}
			w.behind(c.sql)
			report := w.verify()
			if report.OK || len(report.Faults) == 0 {
				t.Fatal("nothing was found")
			}
			for _, kind := range c.kinds {
				if !slices.ContainsFunc(report.Faults, func(f auditapi.Fault) bool { return f.Kind == kind }) {
					t.Errorf("no %s in %+v", kind, report.Faults)
				}
			}
			if f := report.Faults[0]; f.Seq != c.seq {
				t.Errorf("found at %d, is at %d: %+v", f.Seq, c.seq, report.Faults)
			}
		})
	}
}

// Who can write every row, but does not have the signing key, cannot make a log that
// verifies: the signed heads are not of it.
func TestVerify_FindsALogThatWasRewrittenWhole(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.send(w.update("rec1", `1`, `2`), w.update("rec2", `1`, `2`), w.update("rec3", `1`, `2`))
	w.size(3)
	if _, err := rpc.Call(t.Context(), w.admin(), auditapi.GetHead, struct{}{}); err != nil {
		t.Fatal(err)
	}
	l := models.Log{ID: w.tenant.String()}
	// The forger's log: the same entries, one by somebody else, hashed anew from there on.
	var forged []models.Entry
	for seq := range int64(3) {
		one, err := rpc.Call(t.Context(), w.admin(), auditapi.GetEntry, auditapi.EntryRef{Seq: seq})
		if err != nil {
			t.Fatal(err)
		}
		e := models.Entry{EventID: one.EventID, At: one.At, RecordedAt: one.RecordedAt, Action: one.Action, Source: one.Source, Object: "forged", Facts: string(one.Facts)}
		if err := l.Append(&e, func(int, int64, models.Hash) {}); err != nil {
			t.Fatal(err)
		}
		forged = append(forged, e)
	}
	for _, e := range forged {
		w.behind(`UPDATE entries SET source = $2, object = $3, version = 0, result = '', user_id = '', actor = '', session_id = '', token_id = '', request_id = '',
			base_id = '', record_id = '', fields = '', facts = $4, own_subject = '', own_commitment = '', own_cipher = '', leaf = $5, chain = $6 WHERE seq = $1`,
			e.Seq, e.Source, e.Object, e.Facts, e.Leaf[:], e.Chain[:])
	}
	w.behind(`UPDATE logs SET peaks = $1, chain = $2`, models.Bytes(l.Tree.Peaks), l.Chain[:])
	report := w.verify()
	if report.OK || !slices.ContainsFunc(report.Faults, func(f auditapi.Fault) bool { return f.Kind == auditapi.FaultHead }) {
		t.Errorf("%+v", report)
	}
	if _, err := rpc.Call(t.Context(), w.admin(), auditapi.GetHead, struct{}{}); !errors.Is(err, auditapi.ErrTampered) {
		t.Errorf("the forged log gets a head: %v", err)
	}
}

func TestProofs_HoldForEverySizeAndRefuseWhatIsNot(t *testing.T) {
	t.Parallel()
	w := start(t)
	var list []events.Event
	for range 300 {
		list = append(list, w.update("rec1", `1`, `2`))
	}
	w.send(list...)
	w.size(300)
	hashes := func(path [][]byte) (out []models.Hash) {
		for _, p := range path {
			out = append(out, models.Hash(p))
		}
		return out
	}
	for _, seq := range []int64{0, 1, 255, 256, 299} {
		p, err := rpc.Call(t.Context(), w.admin(), auditapi.ProveInclusion, auditapi.InclusionQuery{Seq: seq})
		if err != nil {
			t.Fatal(err)
		}
		if p.Head == nil || !models.CheckInclusion(models.Hash(p.Leaf), seq, p.Size, hashes(p.Path), models.Hash(p.Root)) {
			t.Errorf("entry %d: %+v", seq, p)
		}
	}
	old, err := rpc.Call(t.Context(), w.admin(), auditapi.ProveInclusion, auditapi.InclusionQuery{Seq: 0, Size: 77})
	if err != nil {
		t.Fatal(err)
	}
	p, err := rpc.Call(t.Context(), w.admin(), auditapi.ProveConsistency, auditapi.ConsistencyQuery{From: 77})
	if err != nil || !models.CheckConsistency(77, p.Size, models.Hash(old.Root), models.Hash(p.Root), hashes(p.Path)) {
		t.Errorf("%+v %v", p, err)
	}
	if _, err := rpc.Call(t.Context(), w.admin(), auditapi.ProveInclusion, auditapi.InclusionQuery{Seq: 300}); !errors.Is(err, errs.ErrNotFound) {
		t.Errorf("an entry that is not there: %v", err)
	}
	if _, err := rpc.Call(t.Context(), w.admin(), auditapi.ProveConsistency, auditapi.ConsistencyQuery{From: 9999}); !errors.Is(err, auditapi.ErrBadSize) {
		t.Errorf("a size that never was: %v", err)
	}
}

func TestExport_VerifiesWithThePublicKeyAlone(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.send(w.update("rec1", `"<a> & b"`, `"second"`), w.update("rec2", `1`, `2`))
	w.size(2)
	head, err := rpc.Call(t.Context(), w.admin(), auditapi.GetHead, struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	early, err := models.HeadOf(head)
	if err != nil {
		t.Fatal(err)
	}
	w.send(w.update("rec3", `1`, `2`))
	w.size(3)
	text := w.export("")
	if !strings.Contains(text, "second") {
		t.Error("the export does not show the data")
	}
	report, err := models.CheckExport(strings.NewReader(text), w.keys(), []models.Head{early})
	if err != nil || !report.OK || report.Checked < 3 {
		t.Fatalf("%+v %v\n%s", report, err, text)
	}
	for what, bad := range map[string]string{
		"data":      strings.Replace(text, "second", "third!", 1),
		"who":       strings.Replace(text, `"version":1`, `"version":2`, 1),
		"no end":    text[:strings.LastIndex(strings.TrimSpace(text), "\n")+1],
		"signature": strings.Replace(text, `"signature":"`, `"signature":"AAAA`, 1),
	} {
		if bad == text {
			t.Fatalf("%s: nothing was changed", what)
		}
		if report, err := models.CheckExport(strings.NewReader(bad), w.keys(), nil); err == nil && report.OK {
			t.Errorf("%s: a changed export verifies", what)
		}
	}
	if report, err := models.CheckExport(strings.NewReader(w.export("?from=2")), w.keys(), nil); err != nil || !report.OK {
		t.Errorf("a part: %+v %v", report, err)
	}
	if table := w.export("?format=csv"); strings.Count(table, "\n") < 4 || !strings.Contains(table, "curl/8") {
		t.Error(table)
	}
	if got := func() []auditapi.Entry {
		await.True(t, "the export is recorded", func() bool { return len(w.list(auditapi.EntryQuery{Action: auditapi.Exported.Name})) == 3 })
		return w.list(auditapi.EntryQuery{Action: auditapi.Exported.Name})
	}(); got[0].UserID != w.owner.String() {
		t.Errorf("%+v", got)
	}
}

func TestAuditVerify_JudgesAnExportAndAnEarlierHead(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.send(w.update("rec1", `"first"`, `2`))
	w.size(1)
	head, err := rpc.Call(t.Context(), w.admin(), auditapi.GetHead, struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := rpc.Call(t.Context(), w.Client(auth.Principal{}), auditapi.ListKeys, struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	w.send(w.update("rec2", `1`, `2`))
	w.size(2)
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	render := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	text := w.export("")
	good, bad := write("good", []byte(text)), write("bad", []byte(strings.Replace(text, "first", "other", 1)))
	command := filepath.Join(dir, "audit-verify")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", command, "./cmd/audit-verify").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := func(export string, head auditapi.Head) int {
		cmd := exec.CommandContext(t.Context(), command, "-keys", write("keys", render(keys)), "-head", write("head", render(head)), export)
		out, err := cmd.CombinedOutput()
		t.Logf("%v\n%s", err, out)
		return cmd.ProcessState.ExitCode()
	}
	if code := run(good, head); code != 0 {
		t.Errorf("a good export: status %d", code)
	}
	if code := run(bad, head); code != 1 {
		t.Errorf("a changed export: status %d", code)
	}
	other := head
	other.Root = bytes.Repeat([]byte{1}, 32)
	if code := run(good, other); code != 1 {
		t.Errorf("a head of another log: status %d", code)
	}
	if code := run(filepath.Join(dir, "absent"), head); code != 2 {
		t.Errorf("no export: status %d", code)
	}
}

func TestErased_UsersDataIsGoneAndTheChainHolds(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.send(w.update("rec1", `"secret"`, `"secret"`))
	w.size(1)
	w.send(userapi.UserDeleted.New(w.from(), w.tenant, w.owner.String(), 1, userapi.UserDeletedData{UserID: w.owner.String(), TenantID: w.tenant.String()}))
	w.size(2)
	late := w.update("rec2", `"late secret"`, `1`)
	w.send(late)
	w.size(3)
	for _, e := range w.list(auditapi.EntryQuery{User: w.owner.String()}) {
		if !e.Erased || e.IP != "" || e.Agent != "" || e.Data != nil || strings.Contains(string(e.Before), "secret") {
			t.Errorf("%+v", e)
		}
	}
	if text := w.export(""); strings.Contains(text, "secret") || strings.Contains(text, "203.0.113.9") {
		t.Error("the export shows an erased user's data")
	}
	if report := w.verify(); !report.OK {
		t.Errorf("%+v", report)
	}
	if report, err := models.CheckExport(strings.NewReader(w.export("")), w.keys(), nil); err != nil || !report.OK {
		t.Errorf("%+v %v", report, err)
	}
}

func TestRetention_PrunesAndWhatIsLeftVerifies(t *testing.T) {
	t.Parallel()
	w := start(t)
	var list []events.Event
	for range 400 {
		list = append(list, w.update("rec1", `1`, `2`))
	}
	w.send(list...)
	w.size(400)
	if err := w.Stop(); err != nil {
		t.Fatal(err)
	}
	// As if 300 had been recorded long ago: the leaves, which hash that, are made anew by
	// the same rules.
	w.age(300)
	w.env["AUDIT_PRUNE_EVERY"] = "1s"
	w.Running = apptest.Start(t, auditservice.Service, w.env)
	if _, err := rpc.Call(t.Context(), w.admin(), auditapi.SetSettings, auditapi.Settings{RetentionDays: 30}); err != nil {
		t.Fatal(err)
	}
	await.True(t, "old entries are pruned", func() bool {
		report := w.verify()
		return report.Pruned == 300
	})
	w.send(w.update("rec9", `1`, `2`))
	await.True(t, "the pruning is recorded", func() bool { return len(w.list(auditapi.EntryQuery{Action: auditapi.Pruned.Name})) == 1 })
	if report := w.verify(); !report.OK || report.Checked < 101 {
		t.Errorf("%+v", report)
	}
	if report, err := models.CheckExport(strings.NewReader(w.export("")), w.keys(), nil); err != nil || !report.OK {
		t.Errorf("%+v %v", report, err)
	}
	if _, err := rpc.Call(t.Context(), w.admin(), auditapi.GetEntry, auditapi.EntryRef{Seq: 299}); !errors.Is(err, errs.ErrNotFound) {
		t.Errorf("a pruned entry: %v", err)
	}
	if _, err := rpc.Call(t.Context(), w.admin(), auditapi.ProveInclusion, auditapi.InclusionQuery{Seq: 10}); !errors.Is(err, auditapi.ErrPruned) {
		t.Errorf("of a pruned entry: %v", err)
	}
	if _, err := rpc.Call(t.Context(), w.admin(), auditapi.ProveInclusion, auditapi.InclusionQuery{Seq: 350}); err != nil {
		t.Errorf("of a kept entry: %v", err)
	}
}

// age makes the first n entries of the owner's log a year old.
func (w *world) age(n int64) {
	w.t.Helper()
	ctx := w.t.Context()
	err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		for _, s := range []string{
			`GRANT UPDATE ON entries, nodes TO CURRENT_USER`, `ALTER TABLE entries DISABLE TRIGGER USER`, `ALTER TABLE heads DISABLE TRIGGER USER`,
			`ALTER TABLE nodes DISABLE TRIGGER USER`, `SELECT set_config('app.tenant', '*', true)`, `DELETE FROM heads`,
		} {
			if _, err := tx.Exec(ctx, s); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, `UPDATE entries SET recorded_at = recorded_at - interval '1 year' WHERE seq < $1`, n); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT tenant_id::text, seq, event_id::text, at, recorded_at, action, source, object, version, result, user_id, actor,
			session_id, token_id, request_id, base_id, record_id, fields, facts, own_subject, own_commitment, own_cipher
			FROM entries WHERE tenant_id = $1 ORDER BY seq`, w.tenant)
		if err != nil {
			return err
		}
		list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e models.Entry, err error) {
			return e, row.Scan(&e.Log, &e.Seq, &e.EventID, &e.At, &e.RecordedAt, &e.Action, &e.Source, &e.Object, &e.Version, &e.Result, &e.User, &e.Actor,
				&e.Session, &e.Token, &e.Request, &e.Base, &e.Record, &e.Fields, &e.Facts, &e.Own.Subject, &e.Own.Commitment, &e.Own.Cipher)
		})
		if err != nil {
			return err
		}
		l := models.Log{ID: w.tenant.String()}
		b := &pgx.Batch{}
		for i := range list {
			e := &list[i]
			if err := l.Append(e, func(level int, index int64, h models.Hash) {
				b.Queue(`UPDATE nodes SET hash = $3 WHERE level = $1 AND idx = $2`, level, index, h[:])
			}); err != nil {
				return err
			}
			b.Queue(`UPDATE entries SET leaf = $2, chain = $3 WHERE seq = $1`, e.Seq, e.Leaf[:], e.Chain[:])
		}
		b.Queue(`UPDATE logs SET peaks = $1, chain = $2`, models.Bytes(l.Tree.Peaks), l.Chain[:])
		for _, table := range []string{"entries", "heads", "nodes"} {
			b.Queue(`ALTER TABLE ` + table + ` ENABLE TRIGGER USER`)
		}
		b.Queue(`REVOKE UPDATE ON entries, nodes FROM CURRENT_USER`)
		return tx.SendBatch(ctx, b).Close()
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestForward_HTTPAtLeastOnceAcrossFailuresAndRestarts(t *testing.T) {
	t.Parallel()
	w := start(t)
	var mu sync.Mutex
	var lines []string
	failures := 2
	collector := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer key" {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		if failures--; failures >= 0 {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		lines = append(lines, strings.Split(strings.TrimSpace(string(body)), "\n")...)
	}))
	t.Cleanup(collector.Close)
	has := func(record string) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, `"uid":"`+record+`"`) })
		}
	}
	zero := int64(0)
	w.send(w.update("rec1", `1`, `2`))
	w.size(1)
	made, err := rpc.Call(t.Context(), w.admin(), auditapi.CreateSink, auditapi.NewSink{Name: "siem", URL: collector.URL, Format: "ocsf", Token: "key", FromSeq: &zero})
	if err != nil {
		t.Fatal(err)
	}
	await.True(t, "the first entry arrives after failures", has("rec1"))
	if err := w.Stop(); err != nil {
		t.Fatal(err)
	}
	w.send(w.update("rec2", `1`, `2`))
	w.Running = apptest.Start(t, auditservice.Service, w.env)
	await.True(t, "what came meanwhile arrives", has("rec2"))
	mu.Lock()
	var first map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || first["class_uid"] != float64(6003) || first["type_uid"] != float64(600303) {
		t.Errorf("%v %v", first, err)
	}
	mu.Unlock()
	stranger := w.Client(auth.Principal{Token: w.issuer.Token(t, authtest.User(id.New[id.Tenant](), id.New[id.User](), "owner"))})
	if _, err := rpc.Call(t.Context(), stranger, auditapi.DeleteSink, auditapi.SinkRef{ID: made.Body.ID}); !errors.Is(err, errs.ErrNotFound) {
		t.Errorf("a stranger deletes it: %v", err)
	}
	off := false
	if s, err := rpc.Call(t.Context(), w.admin(), auditapi.UpdateSink, auditapi.SinkEdit{ID: made.Body.ID, Body: auditapi.SinkPatch{Enabled: &off}}); err != nil || s.Enabled {
		t.Errorf("%+v %v", s, err)
	}
	if _, err := rpc.Call(t.Context(), w.admin(), auditapi.DeleteSink, auditapi.SinkRef{ID: made.Body.ID}); err != nil {
		t.Error(err)
	}
	if list, err := rpc.Call(t.Context(), w.admin(), auditapi.ListSinks, struct{}{}); err != nil || len(list.Items) != 0 {
		t.Errorf("%+v %v", list, err)
	}
	for _, bad := range []string{"http://10.0.0.1/", "http://169.254.169.254/x", "ftp://example.com", "syslog+tcp://10.1.1.1:601", "syslog+tls://example.com"} {
		if _, err := rpc.Call(t.Context(), w.admin(), auditapi.CreateSink, auditapi.NewSink{Name: "x", URL: bad, Format: "cef"}); !errors.Is(err, auditapi.ErrBadSink) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestForward_SyslogInOctetCountedFrames(t *testing.T) {
	t.Parallel()
	w := start(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	var mu sync.Mutex
	var got bytes.Buffer
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			b, _ := io.ReadAll(conn)
			_ = conn.Close()
			mu.Lock()
			got.Write(b)
			mu.Unlock()
		}
	}()
	if _, err := rpc.Call(t.Context(), w.admin(), auditapi.CreateSink, auditapi.NewSink{Name: "syslog", URL: "syslog+tcp://" + listener.Addr().String(), Format: "cef"}); err != nil {
		t.Fatal(err)
	}
	w.send(w.update("rec1", `1`, `2`))
	await.True(t, "the entry arrives", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Contains(got.String(), "duid=rec1")
	})
	mu.Lock()
	defer mu.Unlock()
	if s := got.String(); !strings.Contains(s, "<110>1 ") || !strings.Contains(s, "CEF:0|PyAirtable|PyAirtable|1|com.pyairtable.record.updated.v1|record.updated|3|rt=") {
		t.Error(s)
	}
}
