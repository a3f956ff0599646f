package local_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

func comment(rec, body string) upstream.Call {
	return upstream.Call{Op: upstream.CreateComment, Method: "POST", Table: "Tasks", Record: rec, Body: []byte(body)}
}

func comments(rec string, kv ...string) upstream.Call {
	q := url.Values{}
	for i := 0; i < len(kv); i += 2 {
		q.Set(kv[i], kv[i+1])
	}
	return upstream.Call{Op: upstream.ListComments, Method: "GET", Table: "Tasks", Record: rec, RawQuery: q.Encode()}
}

func edit(rec, com, body string) upstream.Call {
	return upstream.Call{Op: upstream.UpdateComment, Method: "PATCH", Table: "Tasks", Record: rec, Comment: com, Body: []byte(body)}
}

func retract(rec, com string) upstream.Call {
	return upstream.Call{Op: upstream.DeleteComment, Method: "DELETE", Table: "Tasks", Record: rec, Comment: com}
}

// told are the comment events so far, as "type subject version".
func (b *bench) told() (kinds []string, last airtableapi.CommentChanged) {
	b.t.Helper()
	rows, err := b.pool.Query(b.t.Context(), `SELECT event FROM outbox WHERE tenant_id = $1 AND event ->> 'type' LIKE '%.comment.%' ORDER BY seq`, b.who.Tenant)
	if err != nil {
		b.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var raw []byte
		var e events.Event
		if err := rows.Scan(&raw); err != nil {
			b.t.Fatal(err)
		}
		if err := json.Unmarshal(raw, &e); err != nil {
			b.t.Fatal(err)
		}
		last = airtableapi.CommentChanged{}
		if err := json.Unmarshal(e.Data, &last); err != nil {
			b.t.Fatal(err)
		}
		kinds = append(kinds, strings.TrimPrefix(e.Type, "com.pyairtable.comment.")+" "+strconv.FormatInt(e.Version, 10))
	}
	return kinds, last
}

func TestComments_AreMadeAnsweredEditedAndDeleted(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	rec := w.made("Tasks", `{"State":"x"}`)
	status, body := w.ann.do(comment(rec, `{"text":"Hi @[usrBob] and @[usrNobody] and @[usrBob]"}`))
	first := decode(t, body)["id"].(string)
	want := `{"author":{"email":"ann@example.com","id":"usrAnn","name":"Ann"},"createdTime":"2026-05-01T10:00:00.123Z","id":"` + first + `","lastUpdatedTime":null,` +
		`"mentioned":{"usrBob":{"displayName":"Bob","email":"bob@example.com","id":"usrBob","type":"user"}},"text":"Hi @[usrBob] and @[usrNobody] and @[usrBob]"}`
	if status != 200 || body != want || !models.IsID("com", first) || len(first) != 17 {
		t.Errorf("%d\ngot  %s\nwant %s", status, body, want)
	}
	kinds, data := w.told()
	if diff := cmp.Diff(airtableapi.CommentChanged{
		BaseID: string(w.base.ID), TableID: "tblTasks", RecordID: rec, CommentID: first, AuthorID: w.ann.who.User.String(),
		Text: "Hi @[usrBob] and @[usrNobody] and @[usrBob]", MentionedUserIDs: []string{w.bob.who.User.String()},
	}, data); diff != "" || len(kinds) != 1 {
		t.Error(kinds, diff)
	}

	*w.clock = w.clock.Add(time.Minute)
	reply := w.bob.ok(comment(rec, `{"text":"Hi","parentCommentId":"`+first+`"}`))
	if reply["parentCommentId"] != first || reply["mentioned"] != nil {
		t.Errorf("reply: %v", reply)
	}
	edited := w.bob.ok(edit(rec, reply["id"].(string), `{"text":"Hello @[usrAnn]"}`))
	if edited["text"] != "Hello @[usrAnn]" || edited["lastUpdatedTime"] != "2026-05-01T10:01:00.123Z" || edited["mentioned"] == nil ||
		edited["parentCommentId"] != first || edited["createdTime"] != "2026-05-01T10:01:00.123Z" {
		t.Errorf("edited: %v", edited)
	}
	all := w.ok(comments(rec))
	if diff := cmp.Diff(object{"comments": []any{edited, decode(t, body)}, "offset": nil}, all); diff != "" {
		t.Error(diff)
	}
	if _, text := w.do(comments(rec)); !strings.HasSuffix(text, `,"offset":null}`) {
		t.Errorf("the last page has no null offset: %s", text)
	}
	// What was answered goes; the answer stays and answers nothing.
	if _, text := w.ann.do(retract(rec, first)); text != `{"deleted":true,"id":"`+first+`"}` {
		t.Errorf("deleted: %s", text)
	}
	left := w.ok(comments(rec))["comments"].([]any)
	if len(left) != 1 || left[0].(object)["parentCommentId"] != nil {
		t.Errorf("left: %v", left)
	}
	kinds, data = w.told()
	if diff := cmp.Diff([]string{"created.v1 1", "created.v1 1", "updated.v1 2", "deleted.v1 2"}, kinds); diff != "" || data.Text != "" || data.CommentID != first {
		t.Error(diff, data)
	}
}

func TestComments_OnlyOnesOwnCanBeChanged(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	rec, other := w.made("Tasks", `{"State":"x"}`), w.made("Tasks", `{"State":"y"}`)
	com := w.ann.ok(comment(rec, `{"text":"mine"}`))["id"].(string)
	for _, c := range []upstream.Call{edit(rec, com, `{"text":"yours"}`), retract(rec, com), edit(rec, com, `{}`)} {
		w.bob.refused(c, 403, "INVALID_PERMISSIONS")
	}
	stranger := w.as(upstream.Caller{Tenant: id.New[id.Tenant](), User: w.ann.who.User})
	for _, c := range []upstream.Call{comments(rec), comment(rec, `{"text":"x"}`), edit(rec, com, `{"text":"x"}`), retract(rec, com)} {
		stranger.refused(c, 403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND")
	}
	for _, c := range []upstream.Call{edit(other, com, `{"text":"x"}`), retract(other, com), edit(rec, "comAAAAAAAAAAAAAA", `{"text":"x"}`),
		retract("recAAAAAAAAAAAAAA", com), comments("recAAAAAAAAAAAAAA"), comment("recAAAAAAAAAAAAAA", `{"text":"x"}`)} {
		w.ann.refused(c, 404, "MODEL_ID_NOT_FOUND")
	}
	for _, c := range []upstream.Call{comments("nonsense"), edit(rec, "nonsense", `{"text":"x"}`)} {
		w.ann.refused(c, 404, "NOT_FOUND")
	}
	if kinds, _ := w.told(); len(kinds) != 1 {
		t.Errorf("refused changes were told of: %v", kinds)
	}
	if got := w.ok(comments(rec))["comments"].([]any)[0].(object)["text"]; got != "mine" {
		t.Errorf("text %v", got)
	}
}

func TestComments_BadBodiesAndQueries(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	rec, other := w.made("Tasks", `{"State":"x"}`), w.made("Tasks", `{"State":"y"}`)
	elsewhere := w.ok(comment(other, `{"text":"x"}`))["id"].(string)
	mine := w.ok(comment(rec, `{"text":"x"}`))["id"].(string)
	for _, body := range []string{`{}`, `{"text":""}`, `{"text":5}`, `{"text":null}`, `{"text":"` + strings.Repeat("x", models.MaxText+1) + `"}`,
		`{"text":"x","parentCommentId":"` + elsewhere + `"}`, `{"text":"x","parentCommentId":"comAAAAAAAAAAAAAA"}`, `{"text":"x","parentCommentId":"recX"}`, `{"text":"x","parentCommentId":7}`} {
		w.refused(comment(rec, body), 422, "INVALID_REQUEST_UNKNOWN")
	}
	for _, body := range []string{``, `[]`, `{`} {
		w.refused(comment(rec, body), 422, "INVALID_REQUEST_BODY")
		w.refused(edit(rec, mine, body), 422, "INVALID_REQUEST_BODY")
	}
	w.refused(edit(rec, mine, `{"text":""}`), 422, "INVALID_REQUEST_UNKNOWN")
	for _, size := range []string{"0", "101", "x", "-1"} {
		w.refused(comments(rec, "pageSize", size), 422, "INVALID_REQUEST_UNKNOWN")
	}
	token := ""
	w.ok(comment(other, `{"text":"second"}`))
	if next, ok := w.ok(comments(other, "pageSize", "1"))["offset"].(string); ok {
		token = next
	}
	for _, offset := range []string{"x", "itrAAAAAAAAAAAAAA/1", token + "0", token} {
		w.refused(comments(rec, "offset", offset), 422, "INVALID_OFFSET_VALUE")
	}
	w.ok(comments(other, "offset", token))
	w.ok(comments(other, "offset", ""))
}

func TestComments_AWalkMeetsEachOnceNewestFirst(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	rec := w.made("Tasks", `{"State":"x"}`)
	for i := range 7 {
		w.ok(comment(rec, fmt.Sprintf(`{"text":"%d"}`, i)))
	}
	var met []string
	offset := ""
	for {
		page := w.ok(comments(rec, "pageSize", "3", "offset", offset))
		for _, c := range page["comments"].([]any) {
			met = append(met, c.(object)["text"].(string))
		}
		w.ok(comment(rec, `{"text":"meanwhile"}`)) // is newer than what is left of the walk
		if page["offset"] == nil {
			break
		}
		offset = page["offset"].(string)
	}
	if diff := cmp.Diff([]string{"6", "5", "4", "3", "2", "1", "0"}, met); diff != "" {
		t.Error(diff)
	}
}

func TestComments_AreCountedWithRecordsWhenAskedFor(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	rec, quiet := w.made("Tasks", `{"State":"x"}`), w.made("Tasks", `{"State":"y"}`)
	for range 2 {
		w.ok(comment(rec, `{"text":"x"}`))
	}
	one := get("Tasks", rec)
	one.RawQuery = "recordMetadata[]=commentCount"
	post := upstream.Call{Op: upstream.ListRecords, Method: "POST", Table: "Tasks", Body: []byte(`{"recordMetadata":["commentCount"]}`)}
	for name, list := range map[string][]object{
		"list": records(w.ok(list("Tasks", "recordMetadata[]", "commentCount"))), "POST": records(w.ok(post)),
		"sorted": records(w.ok(list("Tasks", "recordMetadata[]", "commentCount", "sort[0][field]", "State"))), "one": {w.ok(one)},
	} {
		for _, r := range list {
			if want := map[string]any{rec: 2.0, quiet: nil}[r["id"].(string)]; r["commentCount"] != want {
				t.Errorf("%s: %v, want %v", name, r["commentCount"], want)
			}
		}
	}
	if _, body := w.do(list("Tasks")); strings.Contains(body, "commentCount") {
		t.Errorf("not asked for, and told: %s", body)
	}
	w.refused(list("Tasks", "recordMetadata[]", "likes"), 422, "INVALID_REQUEST_UNKNOWN")
}

func TestComments_GoWithTheirRecord(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	rec := w.made("Tasks", `{"State":"x"}`)
	parent := w.ok(comment(rec, `{"text":"x"}`))["id"].(string)
	w.ok(comment(rec, `{"text":"y","parentCommentId":"`+parent+`"}`))
	w.ok(remove("Tasks", rec))
	var n int
	if err := postgres.ForEveryTenant(w.pool).QueryRow(t.Context(), `SELECT count(*) FROM comments WHERE tenant_id = $1`, w.who.Tenant).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d comments are left, %v", n, err)
	}
	w.refused(comments(rec), 404, "MODEL_ID_NOT_FOUND")
}

func TestComments_RacedWithTheRecordsDeletionAreKeptOrRefused(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	for range 10 {
		rec := w.made("Tasks", `{"State":"x"}`)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if status, body := w.do(comment(rec, `{"text":"x"}`)); status != 200 && !strings.Contains(body, "MODEL_ID_NOT_FOUND") {
					t.Errorf("%d %s", status, body)
				}
			})
		}
		wg.Go(func() { w.ok(remove("Tasks", rec)) })
		wg.Wait()
		w.refused(comments(rec), 404, "MODEL_ID_NOT_FOUND")
	}
}
