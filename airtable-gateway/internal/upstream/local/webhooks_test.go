package local_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream/local"
	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

const everything = `{"dataTypes":["tableData","tableFields","tableMetadata"]}`

func createHook(url, filters, includes string) upstream.Call {
	body := `{"specification":{"options":{"filters":` + filters
	if includes != "" {
		body += `,"includes":` + includes
	}
	body += `}}`
	if url != "" {
		body += `,"notificationUrl":"` + url + `"`
	}
	return upstream.Call{Op: upstream.CreateWebhook, Method: "POST", Body: []byte(body + `}`)}
}

func onHook(op upstream.Op, hook, body string) upstream.Call {
	return upstream.Call{Op: op, Method: "POST", Webhook: hook, Body: []byte(body)}
}

func payloads(hook, query string) upstream.Call {
	return upstream.Call{Op: upstream.ListPayloads, Method: "GET", Webhook: hook, RawQuery: query}
}

func (b *bench) hook(filters, includes string) string {
	b.t.Helper()
	return b.ok(createHook("", filters, includes))["id"].(string)
}

func (b *bench) hooks() []object {
	b.t.Helper()
	var out []object
	for _, h := range b.ok(upstream.Call{Op: upstream.ListWebhooks, Method: "GET"})["webhooks"].([]any) {
		out = append(out, h.(object))
	}
	return out
}

// payloadsFrom returns the payloads from the cursor on, less what all have in common, and
// the cursor behind them.
func (b *bench) payloadsFrom(hook string, cursor int) ([]string, int) {
	b.t.Helper()
	var page struct {
		Payloads []struct {
			Changed   json.RawMessage `json:"changedTablesById"`
			Created   json.RawMessage `json:"createdTablesById"`
			Destroyed json.RawMessage `json:"destroyedTableIds"`
			Code      string          `json:"code"`
		} `json:"payloads"`
		Cursor int `json:"cursor"`
	}
	_, body := b.do(payloads(hook, fmt.Sprintf("cursor=%d", cursor)))
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		b.t.Fatal(err)
	}
	var out []string
	for _, p := range page.Payloads {
		out = append(out, string(slices.Concat(p.Changed, p.Created, p.Destroyed))+p.Code)
	}
	return out, page.Cursor
}

// tells checks what the webhook is told by what do does.
func (b *bench) tells(hook string, do func(), want ...string) {
	b.t.Helper()
	_, cursor := b.payloadsFrom(hook, 1)
	do()
	got, _ := b.payloadsFrom(hook, cursor)
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWebhooks_AreMadeListedSwitchedAndDeleted(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	status, body := b.do(createHook("https://example.com/h", `{"dataTypes":["tableData"],"recordChangeScope":"tblOrders"}`, ""))
	made := decode(t, body)
	hook := made["id"].(string)
	key, err := base64.StdEncoding.DecodeString(made["macSecretBase64"].(string))
	if status != 200 || err != nil || len(key) < 32 || !strings.HasPrefix(hook, "ach") || made["expirationTime"] != "2026-05-08T10:00:00.123Z" || len(made) != 3 {
		t.Fatal(body)
	}
	polled := b.hook(everything, "")
	_, list := b.do(upstream.Call{Op: upstream.ListWebhooks, Method: "GET"})
	want := `{"webhooks":[{"id":"` + hook + `","areNotificationsEnabled":true,"isHookEnabled":true,"cursorForNextPayload":1,"notificationUrl":"https://example.com/h",` +
		`"expirationTime":"2026-05-08T10:00:00.123Z","lastSuccessfulNotificationTime":null,"lastNotificationResult":null,` +
		`"specification":{"options":{"filters":{"dataTypes":["tableData"],"recordChangeScope":"tblOrders"}}}},` +
		`{"id":"` + polled + `","areNotificationsEnabled":true,"isHookEnabled":true,"cursorForNextPayload":1,"notificationUrl":null,` +
		`"expirationTime":"2026-05-08T10:00:00.123Z","lastSuccessfulNotificationTime":null,"lastNotificationResult":null,` +
		`"specification":{"options":{"filters":{"dataTypes":["tableData","tableFields","tableMetadata"]}}}}]}`
	if hook > polled { // made at the same moment
		one, two, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(want, `{"webhooks":[`), `]}`), `}}}},`)
		want = `{"webhooks":[` + two + `,` + one + `}}}}]}`
	}
	if diff := cmp.Diff(want, list); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(list, made["macSecretBase64"].(string)) {
		t.Error("the secret is shown a second time")
	}
	if _, body := b.do(onHook(upstream.EnableWebhook, hook, `{"enable":false}`)); body != `{}` {
		t.Error(body)
	}
	for _, h := range b.hooks() {
		if h["areNotificationsEnabled"] != (h["id"] == polled) {
			t.Errorf("%v", h)
		}
	}
	if _, body := b.do(onHook(upstream.DeleteWebhook, hook, "")); body != `{}` {
		t.Error(body)
	}
	if got := b.hooks(); len(got) != 1 || got[0]["id"] != polled {
		t.Errorf("after the deletion: %v", got)
	}
	for _, c := range []upstream.Call{
		onHook(upstream.DeleteWebhook, hook, ""), onHook(upstream.EnableWebhook, hook, `{"enable":true}`),
		onHook(upstream.RefreshWebhook, hook, ""), payloads(hook, ""),
	} {
		b.refused(c, 404, "NOT_FOUND")
	}
	b.refused(onHook(upstream.EnableWebhook, polled, `{}`), 422, "INVALID_REQUEST_UNKNOWN")
	b.refused(payloads(polled, "limit=51"), 422, "INVALID_REQUEST_UNKNOWN")
	b.refused(createHook("", `{"dataTypes":["tableData"],"recordChangeScope":"tblNowhere"}`, ""), 422, "INVALID_REQUEST_UNKNOWN")
}

func TestWebhooks_KeysAreSealed(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	key, err := base64.StdEncoding.DecodeString(b.ok(createHook("", everything, ""))["macSecretBase64"].(string))
	if err != nil {
		t.Fatal(err)
	}
	var stored []byte
	if err := postgres.ForEveryTenant(b.pool).QueryRow(t.Context(), `SELECT secret FROM webhooks`).Scan(&stored); err != nil {
		t.Fatal(err)
	}
	if len(stored) == 0 || bytes.Contains(stored, key) {
		t.Error("the key is stored as it is")
	}
}

func TestWebhooks_OfABaseAreTen(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	var mu sync.Mutex
	outcome := map[int]int{}
	var all sync.WaitGroup
	for range 14 { // at once: none slips through
		all.Go(func() {
			status, _ := b.do(createHook("", everything, ""))
			mu.Lock()
			defer mu.Unlock()
			outcome[status]++
		})
	}
	all.Wait()
	if diff := cmp.Diff(map[int]int{200: 10, 422: 4}, outcome); diff != "" {
		t.Fatal(diff)
	}
	b.refused(createHook("", everything, ""), 422, "TOO_MANY_WEBHOOKS_IN_BASE")
	*b.clock = b.clock.Add(8 * 24 * time.Hour) // expired ones make room
	b.hook(everything, "")
}

func TestWebhooks_URLsMustBePublic(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	for _, url := range []string{"http://169.254.169.254/latest", "http://10.0.0.1/", "http://[::1]/", "ftp://example.com", "example.com", "https://u:p@example.com/"} {
		b.refused(createHook(url, everything, ""), 422, "INVALID_REQUEST_UNKNOWN")
	}
}

func TestWebhooks_ExpireAndAreForgottenAWeekLater(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	start := *b.clock
	at := func(days float64) { *b.clock = start.Add(time.Duration(days * 24 * float64(time.Hour))) }
	read, refreshed, left := b.hook(everything, ""), b.hook(everything, ""), b.hook(everything, "")
	b.made("People", `{"Name":"first"}`)

	at(6)
	b.payloadsFrom(read, 1)
	if got := b.ok(onHook(upstream.RefreshWebhook, refreshed, ""))["expirationTime"]; got != "2026-05-14T10:00:00.123Z" {
		t.Errorf("refreshed until %v", got)
	}
	at(7)
	b.made("People", `{"Name":"second"}`)
	enabled := map[any]any{}
	for _, h := range b.hooks() {
		enabled[h["id"]] = h["isHookEnabled"]
	}
	if diff := cmp.Diff(map[any]any{read: true, refreshed: true, left: false}, enabled); diff != "" {
		t.Error(diff)
	}
	b.refused(onHook(upstream.RefreshWebhook, left, ""), 422, "INVALID_REQUEST_UNKNOWN")
	for hook, want := range map[string]int{read: 1, refreshed: 1, left: 0} { // the first payload is a week old
		if got, _ := b.payloadsFrom(hook, 1); len(got) != want {
			t.Errorf("%d payloads, want %d", len(got), want)
		}
	}

	at(10) // what is left of an expired webhook can be read, and does not bring it back
	second := b.hook(everything, "")
	b.made("People", `{"Name":"third"}`)
	if got, cursor := b.payloadsFrom(left, 1); len(got) != 0 || cursor != 1 {
		t.Errorf("an expired webhook was told %v, cursor %d", got, cursor)
	}
	if got, cursor := b.payloadsFrom(read, 1); len(got) != 2 || cursor != 4 {
		t.Errorf("%d payloads, cursor %d", len(got), cursor)
	}

	at(14.1)
	b.refused(payloads(left, ""), 404, "NOT_FOUND")
	if got := len(b.hooks()); got != 3 {
		t.Errorf("%d webhooks are listed", got)
	}
	at(18)
	webhooks, swept, err := b.store.SweepWebhooks(t.Context())
	if err != nil || webhooks != 1 || swept == 0 {
		t.Errorf("swept %d webhooks, %d payloads, %v", webhooks, swept, err)
	}
	if got, cursor := b.payloadsFrom(second, 1); len(got) != 0 || cursor != 1 {
		t.Errorf("%v, cursor %d", got, cursor)
	}
	var rows int
	if err := postgres.ForEveryTenant(b.pool).QueryRow(t.Context(), `SELECT count(*) FROM webhook_payloads`).Scan(&rows); err != nil || rows != 0 {
		t.Errorf("%d payloads are stored, %v", rows, err)
	}
}

func TestWebhooks_AStrangerFindsNone(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	hook := b.hook(everything, "")
	stranger := b.as(upstream.Caller{Tenant: id.New[id.Tenant](), User: id.New[id.User]()})
	calls := []upstream.Call{
		{Op: upstream.ListWebhooks}, createHook("", everything, ""), payloads(hook, ""), onHook(upstream.RefreshWebhook, hook, ""),
		onHook(upstream.EnableWebhook, hook, `{"enable":false}`), onHook(upstream.DeleteWebhook, hook, ""),
	}
	for _, c := range calls {
		stranger.refused(c, 403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND")
	}
	own := stranger.shop() // a base of the same id: ids are unique within a tenant only
	for _, c := range calls[2:] {
		own.refused(c, 404, "NOT_FOUND")
	}
	own.made("People", `{"Name":"x"}`)
	if got, _ := b.payloadsFrom(hook, 1); len(got) != 0 {
		t.Errorf("told of a stranger's change: %v", got)
	}
}

// Who may not read records is not shown them by a webhook.
func TestWebhooks_ShowNothingBeyondTheTokensScopes(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	data, schema := `{"dataTypes":["tableData"]}`, `{"dataTypes":["tableMetadata"]}`
	records, fields := b.hook(data, ""), b.hook(schema, "")
	for _, tc := range []struct {
		scopes []string
		open   []upstream.Call
		closed []upstream.Call
	}{
		{[]string{"webhook:manage"}, nil, []upstream.Call{createHook("", data, ""), createHook("", schema, ""), payloads(records, ""), payloads(fields, "")}},
		{[]string{"webhook:manage", "data.records:read"}, []upstream.Call{createHook("", data, ""), payloads(records, "")}, []upstream.Call{createHook("", everything, ""), payloads(fields, "")}},
		{[]string{"webhook:manage", "schema.bases:read"}, []upstream.Call{createHook("", schema, ""), payloads(fields, "")}, []upstream.Call{createHook("", data, ""), payloads(records, "")}},
		{[]string{"*"}, []upstream.Call{createHook("", everything, ""), payloads(records, ""), payloads(fields, "")}, nil},
	} {
		for _, c := range tc.open {
			c.Scopes = tc.scopes
			b.ok(c)
		}
		for _, c := range tc.closed {
			c.Scopes = tc.scopes
			b.refused(c, 403, "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND")
		}
	}
}

func TestPayloads_HaveAirtablesForm(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	hook := b.hook(everything, `{"includePreviousCellValues":true}`)
	ann := b.made("People", `{"Name":"Ann"}`)
	order := b.ok(create("Orders", `{"fields":{"No":"1","Qty":2,"Paid":true,"State":"Done","Tags":["b","a"],"Due":"2026-05-01","Buyer":["`+ann+`"],"At":null}}`))["id"].(string)
	b.ok(patch("Orders", order, `{"fields":{"Qty":3,"Paid":false,"State":null,"Tags":["a"],"Buyer":[],"No":"1"}}`))
	b.ok(remove("Orders", order))
	field := b.base.Table("Orders")
	choice := func(f, name string) string {
		for _, c := range field.Field(f).Options.Choices {
			if c.Name == name {
				return fmt.Sprintf(`{"color":%q,"id":%q,"name":%q}`, c.Color, c.ID, c.Name)
			}
		}
		t.Fatal(name)
		return ""
	}
	linkAnn, linkOrder := `[{"id":"`+ann+`","name":"Ann"}]`, `[{"id":"`+order+`","name":"1"}]`
	a, bb, done := choice("Tags", "a"), choice("Tags", "b"), choice("State", "Done")
	_, got := b.do(payloads(hook, ""))
	common := func(n int) string {
		return fmt.Sprintf(`{"timestamp":"2026-05-01T10:00:00.123Z","baseTransactionNumber":%d,"payloadFormat":"v0","actionMetadata":`+
			`{"source":"publicApi","sourceMetadata":{"user":{"id":%q,"permissionLevel":"create"}}},"changedTablesById":`, n, models.UserIDOf(b.who.User))
	}
	want := `{"payloads":[` +
		common(1) + `{"tblPeople":{"createdRecordsById":{"` + ann + `":{"createdTime":"2026-05-01T10:00:00.000Z","cellValuesByFieldId":{"fldName":"Ann"}}}}}},` +
		common(2) + `{"tblOrders":{"createdRecordsById":{"` + order + `":{"createdTime":"2026-05-01T10:00:00.000Z","cellValuesByFieldId":` +
		`{"fldBuyer":` + linkAnn + `,"fldDue":"2026-05-01","fldNo":"1","fldPaid":true,"fldQty":2,"fldState":` + done + `,"fldTags":[` + bb + `,` + a + `]}}}},` +
		`"tblPeople":{"changedRecordsById":{"` + ann + `":{"current":{"cellValuesByFieldId":{"fldOrders":` + linkOrder + `}},"previous":{"cellValuesByFieldId":{"fldOrders":null}}}}}}},` +
		common(3) + `{"tblOrders":{"changedRecordsById":{"` + order + `":{"current":{"cellValuesByFieldId":` +
		`{"fldBuyer":null,"fldPaid":null,"fldQty":3,"fldState":null,"fldTags":[` + a + `]}},"previous":{"cellValuesByFieldId":` +
		`{"fldBuyer":` + linkAnn + `,"fldPaid":true,"fldQty":2,"fldState":` + done + `,"fldTags":[` + bb + `,` + a + `]}}}}},` +
		`"tblPeople":{"changedRecordsById":{"` + ann + `":{"current":{"cellValuesByFieldId":{"fldOrders":null}},"previous":{"cellValuesByFieldId":{"fldOrders":` + linkOrder + `}}}}}}},` +
		common(4) + `{"tblOrders":{"destroyedRecordIds":["` + order + `"]}}}` +
		`],"cursor":5,"mightHaveMore":false}`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPayloads_OneATransaction(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	hook := b.hook(`{"dataTypes":["tableData"]}`, "")
	b.ok(create("People", `{"records":[`+strings.TrimSuffix(strings.Repeat(`{"fields":{"Name":"x"}},`, 10), ",")+`]}`))
	ids := records(b.ok(list("People")))
	for i := range 20 {
		b.ok(patch("People", ids[0]["id"].(string), fmt.Sprintf(`{"fields":{"Name":"%d"}}`, i)))
	}
	b.ok(patch("People", ids[0]["id"].(string), `{"fields":{"Name":"19"}}`)) // changes nothing
	b.refused(create("People", `{"records":[{"fields":{"Name":"ok"}},{"fields":{"Nope":1}}]}`), 422, "UNKNOWN_FIELD_NAME")
	b.ok(createTable(`{"name":"T","fields":[{"name":"a","type":"singleLineText"}]}`)) // none of this webhook's business
	b.ok(create("People", `{"fields":{"Name":"last"}}`))

	got, cursor := b.payloadsFrom(hook, 1)
	if len(got) != 22 || cursor != 23 || strings.Count(got[0], "createdTime") != 10 {
		t.Fatalf("%d payloads, cursor %d: %s", len(got), cursor, got[0])
	}
	last := b.ok(payloads(hook, "cursor=22"))["payloads"].([]any)[0].(object)
	if last["baseTransactionNumber"] != 23.0 {
		t.Errorf("the transaction that this webhook was not told of is not counted: %v", last)
	}
	if got := b.hooks()[0]["cursorForNextPayload"]; got != 23.0 {
		t.Errorf("cursorForNextPayload = %v", got)
	}
}

func TestPayloads_AreReadByCursor(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	hook := b.hook(everything, "")
	for i := range 55 {
		b.made("People", fmt.Sprintf(`{"Name":"%d"}`, i))
	}
	for query, want := range map[string]string{
		"": "50 51 true", "cursor=6": "50 56 false", "cursor=7": "49 56 false", "cursor=51": "5 56 false", "limit=2": "2 3 true",
		"cursor=55": "1 56 false", "cursor=56": "0 56 false", "cursor=99&limit=1": "0 99 false",
	} {
		page := b.ok(payloads(hook, query))
		if got := fmt.Sprint(len(page["payloads"].([]any)), " ", page["cursor"], " ", page["mightHaveMore"]); got != want {
			t.Errorf("%q: %s, want %s", query, got, want)
		}
	}
}

func TestPayloads_FiltersLetThroughWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	data := func(more string) string { return b.hook(`{"dataTypes":["tableData"],`+more+`}`, "") }
	added, removed, updated := data(`"changeTypes":["add"]`), data(`"changeTypes":["remove"]`), data(`"changeTypes":["update"]`)
	people, watching := data(`"recordChangeScope":"tblPeople"`), data(`"watchDataInFieldIds":["fldQty"]`)
	people2 := data(`"recordChangeScope":"tblPeople","watchDataInFieldIds":["fldName"]`)
	client, api := data(`"fromSources":["client"]`), data(`"fromSources":["client","publicApi"]`)
	schemas := b.hook(`{"dataTypes":["tableFields","tableMetadata"]}`, "")

	p := b.made("People", `{"Name":"Ann"}`)
	o := b.made("Orders", `{"No":"1","Buyer":["`+p+`"]}`)
	b.ok(patch("Orders", o, `{"fields":{"Qty":7,"No":"2"}}`))
	b.ok(patch("Orders", o, `{"fields":{"No":"3"}}`))
	b.ok(remove("Orders", o))
	b.ok(remove("People", p))

	created := func(rec, cells string) string {
		return `{"createdRecordsById":{"` + rec + `":{"createdTime":"2026-05-01T10:00:00.000Z","cellValuesByFieldId":` + cells + `}}}`
	}
	link := `[{"id":"` + p + `","name":"Ann"}]`
	for name, tc := range map[string]struct {
		hook string
		want []string
	}{
		"add":    {added, []string{`{"tblPeople":` + created(p, `{"fldName":"Ann"}`) + `}`, `{"tblOrders":` + created(o, `{"fldBuyer":`+link+`,"fldNo":"1"}`) + `}`}},
		"remove": {removed, []string{`{"tblOrders":{"destroyedRecordIds":["` + o + `"]}}`, `{"tblPeople":{"destroyedRecordIds":["` + p + `"]}}`}},
		"update": {updated, []string{
			`{"tblPeople":{"changedRecordsById":{"` + p + `":{"current":{"cellValuesByFieldId":{"fldOrders":[{"id":"` + o + `","name":"1"}]}}}}}}`,
			`{"tblOrders":{"changedRecordsById":{"` + o + `":{"current":{"cellValuesByFieldId":{"fldNo":"2","fldQty":7}}}}}}`,
			`{"tblOrders":{"changedRecordsById":{"` + o + `":{"current":{"cellValuesByFieldId":{"fldNo":"3"}}}}}}`,
			`{"tblPeople":{"changedRecordsById":{"` + p + `":{"current":{"cellValuesByFieldId":{"fldOrders":null}}}}}}`,
		}},
		"table": {people, []string{
			`{"tblPeople":` + created(p, `{"fldName":"Ann"}`) + `}`,
			`{"tblPeople":{"changedRecordsById":{"` + p + `":{"current":{"cellValuesByFieldId":{"fldOrders":[{"id":"` + o + `","name":"1"}]}}}}}}`,
			`{"tblPeople":{"changedRecordsById":{"` + p + `":{"current":{"cellValuesByFieldId":{"fldOrders":null}}}}}}`,
			`{"tblPeople":{"destroyedRecordIds":["` + p + `"]}}`,
		}},
		"field": {watching, []string{
			`{"tblOrders":{"changedRecordsById":{"` + o + `":{"current":{"cellValuesByFieldId":{"fldQty":7}}}}}}`,
			`{"tblOrders":{"destroyedRecordIds":["` + o + `"]}}`, `{"tblPeople":{"destroyedRecordIds":["` + p + `"]}}`,
		}},
		"table and field": {people2, []string{`{"tblPeople":` + created(p, `{"fldName":"Ann"}`) + `}`, `{"tblPeople":{"destroyedRecordIds":["` + p + `"]}}`}},
		"client":          {client, nil},
		"schema":          {schemas, nil},
	} {
		got, _ := b.payloadsFrom(tc.hook, 1)
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if got, _ := b.payloadsFrom(api, 1); len(got) != 6 {
		t.Errorf("publicApi: %v", got)
	}
}

func TestPayloads_IncludeWhatDidNotChange(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	some := b.hook(`{"dataTypes":["tableData"],"watchDataInFieldIds":["fldQty","fldName"]}`, `{"includeCellValuesInFieldIds":["fldNo","fldBuyer","fldQty","fldName"]}`)
	all := b.hook(`{"dataTypes":["tableData"],"recordChangeScope":"tblPeople"}`, `{"includeCellValuesInFieldIds":"all"}`)
	p := b.made("People", `{"Name":"Ann"}`)
	q := b.made("People", `{"Name":"Bob"}`)
	o := b.made("Orders", `{"No":"1","Buyer":["`+p+`","`+q+`"]}`)
	b.tells(some, func() { b.ok(patch("Orders", o, `{"fields":{"Qty":1,"Paid":true}}`)) },
		`{"tblOrders":{"changedRecordsById":{"`+o+`":{"current":{"cellValuesByFieldId":{"fldQty":1}},"unchanged":{"cellValuesByFieldId":{"fldBuyer":`+
			`[{"id":"`+p+`","name":"Ann"},{"id":"`+q+`","name":"Bob"}],"fldNo":"1"}}}}}}`)
	// The links of the other end are not among what this write had to look at.
	b.tells(all, func() { b.ok(patch("People", p, `{"fields":{"Name":"Anna"}}`)) },
		`{"tblPeople":{"changedRecordsById":{"`+p+`":{"current":{"cellValuesByFieldId":{"fldName":"Anna"}},"unchanged":{"cellValuesByFieldId":{"fldOrders":[{"id":"`+o+`","name":"1"}]}}}}}}`)
	b.tells(all, func() { b.ok(patch("Orders", o, `{"fields":{"Buyer":["`+q+`"],"No":"one"}}`)) },
		`{"tblPeople":{"changedRecordsById":{"`+p+`":{"current":{"cellValuesByFieldId":{"fldOrders":null}},"unchanged":{"cellValuesByFieldId":{"fldName":"Anna"}}}}}}`)
}

func TestPayloads_TellOfTheSchema(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	hook := b.hook(everything, `{"includePreviousFieldDefinitions":true}`)
	plain := b.hook(`{"dataTypes":["tableFields"],"recordChangeScope":"tblPeople"}`, "")
	watching := b.hook(`{"dataTypes":["tableFields"],"watchSchemasOfFieldIds":["fldName"]}`, "")

	table := b.ok(createTable(`{"name":"New","description":"d","fields":[{"name":"a","type":"singleLineText"}]}`))
	tbl, fld := table["id"].(string), table["fields"].([]any)[0].(object)["id"].(string)
	b.ok(createTable(`{"name":"Newer","fields":[{"name":"a","type":"email"}]}`))
	rename := upstream.Call{Op: upstream.UpdateTable, Method: "PATCH", Table: tbl}
	rename.Body = []byte(`{"name":"Neu"}`)
	b.ok(rename)
	rename.Body = []byte(`{"description":"dd"}`)
	b.ok(rename)
	link := b.ok(createField("People", `{"name":"L","type":"multipleRecordLinks","options":{"linkedTableId":"`+tbl+`"}}`))
	mirror := link["options"].(object)["inverseLinkFieldId"].(string)
	change := upstream.Call{Op: upstream.UpdateField, Method: "PATCH", Table: "People", Field: "fldName"}
	change.Body = []byte(`{"name":"Full name"}`)
	b.ok(change)
	change.Body = []byte(`{"description":"how we call them"}`)
	b.ok(change)
	o := b.ok(create("Orders", `{"fields":{"State":"brand new"},"typecast":true}`))["id"].(string)

	got, _ := b.payloadsFrom(hook, 1)
	if len(got) != 8 {
		t.Fatalf("%d payloads: %v", len(got), got)
	}
	for i, want := range []string{
		`{"` + tbl + `":{"metadata":{"name":"New","description":"d"},"fieldsById":{"` + fld + `":{"name":"a","type":"singleLineText"}}}}`,
		`"metadata":{"name":"Newer","description":null}`,
		`{"` + tbl + `":{"changedMetadata":{"current":{"name":"Neu"},"previous":{"name":"New"}}}}`,
		`{"` + tbl + `":{"changedMetadata":{"current":{"description":"dd"},"previous":{"description":"d"}}}}`,
		`"tblPeople":{"createdFieldsById":{"` + link["id"].(string) + `":{"name":"L","type":"multipleRecordLinks"}}}`,
		`{"tblPeople":{"changedFieldsById":{"fldName":{"current":{"name":"Full name"},"previous":{"name":"Name"}}}}}`,
		`{"tblPeople":{"changedFieldsById":{"fldName":{"current":{"type":"singleLineText"},"previous":{"type":"singleLineText"}}}}}`,
		`{"tblOrders":{"changedFieldsById":{"fldState":{"current":{"type":"singleSelect"},"previous":{"type":"singleSelect"}}},` +
			`"createdRecordsById":{"` + o + `":{"createdTime":"2026-05-01T10:00:00.000Z","cellValuesByFieldId":{"fldState":{"color":"`,
	} {
		if !strings.Contains(got[i], want) {
			t.Errorf("payload %d: %s\nlacks %s", i+1, got[i], want)
		}
	}
	if want := `"` + tbl + `":{"createdFieldsById":{"` + mirror + `":{"name":"People","type":"multipleRecordLinks"}}}`; !strings.Contains(got[4], want) {
		t.Errorf("%s\nlacks %s", got[4], want)
	}
	renamed, described := `{"tblPeople":{"changedFieldsById":{"fldName":{"current":{"name":"Full name"}}}}}`, `{"tblPeople":{"changedFieldsById":{"fldName":{"current":{"type":"singleLineText"}}}}}`
	got, _ = b.payloadsFrom(plain, 1)
	if diff := cmp.Diff([]string{`{"tblPeople":{"createdFieldsById":{"` + link["id"].(string) + `":{"name":"L","type":"multipleRecordLinks"}}}}`, renamed, described}, got); diff != "" {
		t.Errorf("one table: %s", diff)
	}
	got, _ = b.payloadsFrom(watching, 1)
	if diff := cmp.Diff([]string{renamed, described}, got); diff != "" {
		t.Errorf("one field: %s", diff)
	}
}

func TestPayloads_OfAViewTellWhoComesAndGoes(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	filter := `AND({Qty} > 5, FIND("Ann", ARRAYJOIN({Buyer})) > 0)`
	view, _, err := b.store.CreateView(t.Context(), b.who, local.ViewAt{Base: b.base.ID, Table: "tblOrders"},
		local.ViewDraft{Name: "Big", ViewPatch: local.ViewPatch{Filter: &filter}})
	if err != nil {
		t.Fatal(err)
	}
	big := b.hook(`{"dataTypes":["tableData"],"recordChangeScope":"`+string(view.ID)+`"}`, "")
	grid := b.hook(`{"dataTypes":["tableData"],"recordChangeScope":"`+string(b.base.Table("People").Views[0].ID)+`"}`, "")

	p := b.made("People", `{"Name":"Ann"}`)
	got, _ := b.payloadsFrom(grid, 1)
	if diff := cmp.Diff([]string{`{"tblPeople":{"changedViewsById":{"` + string(b.base.Table("People").Views[0].ID) +
		`":{"createdRecordsById":{"` + p + `":{"createdTime":"2026-05-01T10:00:00.000Z","cellValuesByFieldId":{"fldName":"Ann"}}}}}}}`}, got); diff != "" {
		t.Error(diff)
	}
	in := func(what string) string {
		return `{"tblOrders":{"changedViewsById":{"` + string(view.ID) + `":` + what + `}}}`
	}
	o := ""
	b.tells(big, func() { o = b.made("Orders", `{"No":"1","Qty":1,"Buyer":["`+p+`"]}`) })
	link := `[{"id":"` + p + `","name":"Ann"}]`
	b.tells(big, func() { b.ok(patch("Orders", o, `{"fields":{"Qty":6}}`)) },
		in(`{"createdRecordsById":{"`+o+`":{"createdTime":"2026-05-01T10:00:00.000Z","cellValuesByFieldId":{"fldBuyer":`+link+`,"fldNo":"1","fldQty":6}}}}`))
	b.tells(big, func() { b.ok(patch("Orders", o, `{"fields":{"Qty":7}}`)) },
		in(`{"changedRecordsById":{"`+o+`":{"current":{"cellValuesByFieldId":{"fldQty":7}}}}}`))
	b.tells(big, func() { b.ok(patch("Orders", o, `{"fields":{"Buyer":[]}}`)) }, in(`{"destroyedRecordIds":["`+o+`"]}`))
	b.tells(big, func() { b.ok(patch("Orders", o, `{"fields":{"Qty":8}}`)) })
	b.tells(big, func() { b.ok(patch("People", p, `{"fields":{"Orders":["`+o+`"]}}`)) }, // from the other end
		in(`{"createdRecordsById":{"`+o+`":{"createdTime":"2026-05-01T10:00:00.000Z","cellValuesByFieldId":{"fldBuyer":`+link+`,"fldNo":"1","fldQty":8}}}}`))
	b.tells(big, func() { b.ok(remove("Orders", o)) }, in(`{"destroyedRecordIds":["`+o+`"]}`))

	b.tells(big, func() {
		b.ok(upstream.Call{Op: upstream.DeleteView, Method: "DELETE", View: string(view.ID)})
		b.made("Orders", `{"Qty":9}`)
	}, "INVALID_HOOK")
	for _, h := range b.hooks() {
		if h["isHookEnabled"] != (h["id"] == grid) {
			t.Errorf("%v", h)
		}
	}
	b.refused(onHook(upstream.RefreshWebhook, big, ""), 422, "INVALID_REQUEST_UNKNOWN")
}

// Who reads while others write never misses a payload below the cursor he was given,
// and each webhook's numbers follow the commits of the base.
func TestPayloads_HaveNoGapsWhileManyWrite(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	hook := b.hook(`{"dataTypes":["tableData"]}`, "")
	b.hook(`{"dataTypes":["tableData"],"recordChangeScope":"tblPeople"}`, "") // others' webhooks are told in between
	shared := b.made("People", `{"Name":"everybody's"}`)
	const writers, each = 8, 20
	var writing sync.WaitGroup
	other := local.New(b.pool, local.Options{Now: b.now}) // another replica
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				c := create("People", fmt.Sprintf(`{"fields":{"Name":"%d-%d"}}`, w, i))
				switch w % 4 {
				case 1:
					c = create("Orders", fmt.Sprintf(`{"fields":{"No":"%d-%d","Buyer":[%q]}}`, w, i, shared))
				case 2:
					c = patch("People", shared, fmt.Sprintf(`{"fields":{"Name":"%d-%d"}}`, w, i))
				}
				c.Caller, c.Base = b.who, string(b.base.ID)
				store := b.store
				if w%2 == 0 {
					store = other
				}
				if a, err := store.Do(t.Context(), c); err != nil || a.Status != 200 {
					t.Errorf("%s %v", a.Body, err)
				}
			}
		})
	}
	finished := make(chan struct{})
	go func() { writing.Wait(); close(finished) }()
	seen, cursor, transaction := 0, 1, 0.0
	for done := false; !done || seen < writers*each+1; {
		select {
		case <-finished:
			done = true
		default:
		}
		page := b.ok(payloads(hook, fmt.Sprintf("cursor=%d&limit=7", cursor)))
		got := page["payloads"].([]any)
		for _, p := range got {
			n := p.(object)["baseTransactionNumber"].(float64)
			if n <= transaction {
				t.Fatalf("transaction %v after %v", n, transaction)
			}
			transaction = n
		}
		if want := cursor + len(got); page["cursor"] != float64(want) {
			t.Fatalf("cursor %v after %d payloads from %d", page["cursor"], len(got), cursor)
		}
		seen += len(got)
		cursor += len(got)
		if done && len(got) == 0 {
			break
		}
	}
	if seen != writers*each+1 || int(transaction) != seen {
		t.Errorf("%d payloads, last transaction %v; %d writes", seen, transaction, writers*each+1)
	}
}

// Whoever makes a webhook and reads the base afterwards has missed nothing, however
// many writers are at it.
func TestWebhooks_NoWriteFallsBetweenCreationAndARead(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	stop := make(chan struct{})
	var writing sync.WaitGroup
	for w := range 6 {
		writing.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					b.made("People", fmt.Sprintf(`{"Name":"%d-%d"}`, w, i))
				}
			}
		})
	}
	type reader struct {
		hook  string
		known map[string]bool
	}
	var readers []reader
	for range 8 {
		r := reader{b.hook(everything, ""), map[string]bool{}}
		for offset, first := "", true; offset != "" || first; first = false {
			page := b.ok(list("People", "offset", offset))
			for _, rec := range records(page) {
				r.known[rec["id"].(string)] = true
			}
			offset, _ = page["offset"].(string)
		}
		readers = append(readers, r)
	}
	close(stop)
	writing.Wait()
	var all []string
	rows, err := postgres.ForEveryTenant(b.pool).Query(t.Context(), `SELECT id FROM records WHERE tenant_id = $1 AND table_id = 'tblPeople'`, b.who.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var recID string
		if err := rows.Scan(&recID); err != nil {
			t.Fatal(err)
		}
		all = append(all, recID)
	}
	for _, r := range readers {
		for cursor := 1; ; {
			got, next := b.payloadsFrom(r.hook, cursor)
			if len(got) == 0 {
				break
			}
			for _, p := range got {
				for _, recID := range all {
					if strings.Contains(p, recID) {
						r.known[recID] = true
					}
				}
			}
			cursor = next
		}
		for _, recID := range all {
			if !r.known[recID] {
				t.Errorf("%s was neither read nor told", recID)
			}
		}
	}
}

// The write path asks who watches, and is told nobody.
func TestWebhooks_WithoutAnyNothingIsLogged(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	b.ok(onHook(upstream.DeleteWebhook, b.hook(everything, ""), ""))
	b.made("People", `{"Name":"x"}`)
	var rows, transactions int
	if err := postgres.ForEveryTenant(b.pool).QueryRow(t.Context(), `SELECT (SELECT count(*) FROM webhook_payloads), (SELECT sum(last_transaction) FROM webhook_feeds)`).Scan(&rows, &transactions); err != nil || rows+transactions != 0 {
		t.Errorf("%d payloads, %d transactions, %v", rows, transactions, err)
	}
}

// Names of linked records, views and included cells are computed where they must be.
func TestPayloads_ComputeWhatTheyShow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	base, err := b.store.CreateBase(t.Context(), b.who, models.BaseSpec{Name: "Computed", Tables: []models.TableSpec{
		{ID: "tblLines", Name: "Lines", Fields: []models.FieldSpec{
			{ID: "fldTitle", Name: "Title", Type: models.Formula, Options: option("formula", `{fldItem} & " x" & {fldCount}`)},
			{ID: "fldItem", Name: "Item", Type: models.SingleLineText},
			{ID: "fldCount", Name: "Count", Type: models.Number, Options: option("precision", 0)},
			{ID: "fldIn", Name: "In", Type: models.MultipleRecordLinks, Options: option("linkedTableId", "tblCarts", "inverseLinkFieldId", "fldLines")},
		}},
		{ID: "tblCarts", Name: "Carts", Fields: []models.FieldSpec{
			{ID: "fldOwner", Name: "Owner", Type: models.SingleLineText},
			{ID: "fldItems", Name: "Items", Type: models.Lookup, Options: option("recordLinkFieldId", "fldLines", "fieldIdInLinkedTable", "fldItem")},
			{ID: "fldSum", Name: "Sum", Type: models.Rollup, Options: option("recordLinkFieldId", "fldLines", "fieldIdInLinkedTable", "fldCount", "formula", "SUM(values)")},
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	b.base = base
	filter := "{Sum} > 2"
	view, _, err := b.store.CreateView(t.Context(), b.who, local.ViewAt{Base: base.ID, Table: "Carts"}, local.ViewDraft{Name: "Full", ViewPatch: local.ViewPatch{Filter: &filter}})
	if err != nil {
		t.Fatal(err)
	}
	all := b.hook(`{"dataTypes":["tableData"],"recordChangeScope":"tblCarts"}`, `{"includeCellValuesInFieldIds":"all","includePreviousCellValues":true}`)
	full := b.hook(`{"dataTypes":["tableData"],"recordChangeScope":"`+string(view.ID)+`"}`, "")
	cart := b.made("Carts", `{"Owner":"Ann"}`)
	line := b.made("Lines", `{"Item":"pen","Count":3}`)
	link := `[{"id":"` + line + `","name":"pen x3"}]`
	lookup := `{"linkedRecordIds":["` + line + `"],"valuesByLinkedRecordId":{"` + line + `":["pen"]}}`
	b.tells(all, func() { b.ok(patch("Carts", cart, `{"fields":{"Lines":["`+line+`"]}}`)) },
		`{"tblCarts":{"changedRecordsById":{"`+cart+`":{"current":{"cellValuesByFieldId":{"fldLines":`+link+`}},"previous":{"cellValuesByFieldId":{"fldLines":null}},`+
			`"unchanged":{"cellValuesByFieldId":{"fldItems":`+lookup+`,"fldOwner":"Ann","fldSum":3}}}}}}`)
	got, _ := b.payloadsFrom(full, 1)
	if diff := cmp.Diff([]string{`{"tblCarts":{"changedViewsById":{"` + string(view.ID) + `":{"createdRecordsById":{"` + cart +
		`":{"createdTime":"2026-05-01T10:00:00.000Z","cellValuesByFieldId":{"fldLines":` + link + `,"fldOwner":"Ann"}}}}}}}`}, got); diff != "" {
		t.Error(diff)
	}
	b.tells(all, func() { b.ok(remove("Lines", line)) },
		`{"tblCarts":{"changedRecordsById":{"`+cart+`":{"current":{"cellValuesByFieldId":{"fldLines":null}},"previous":{"cellValuesByFieldId":{"fldLines":`+link+`}},`+
			`"unchanged":{"cellValuesByFieldId":{"fldItems":null,"fldOwner":"Ann","fldSum":0}}}}}}`)
}

// Collaborators are shown as they are in cells, with their permission, and so is who
// made the change.
func TestPayloads_ShowPeople(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	base, err := b.store.CreateBase(t.Context(), b.who, models.BaseSpec{Name: "Team", Tables: []models.TableSpec{{ID: "tblTasks", Name: "Tasks", Fields: []models.FieldSpec{
		{ID: "fldTask", Name: "Task", Type: models.SingleLineText}, {ID: "fldOwner", Name: "Owner", Type: models.SingleCollaborator},
		{ID: "fldTeam", Name: "Team", Type: models.MultipleCollaborators},
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	b.base = base
	for _, p := range []models.Person{{ID: "usrAnn", User: b.who.User, Email: "ann@example.com", Name: "Ann"}, {ID: "usrBob", User: id.New[id.User](), Email: "bob@example.com", Name: "Bob"}} {
		if err := b.store.EnterPerson(t.Context(), b.who.Tenant, p); err != nil {
			t.Fatal(err)
		}
	}
	hook := b.hook(everything, `{"includePreviousCellValues":true}`)
	task := b.made("Tasks", `{"Owner":{"id":"usrBob"},"Team":["usrAnn","usrBob"]}`)
	b.ok(patch("Tasks", task, `{"fields":{"Owner":{"id":"usrAnn"}}}`))
	ann, bob := `{"email":"ann@example.com","id":"usrAnn","name":"Ann","permissionLevel":"create"}`, `{"email":"bob@example.com","id":"usrBob","name":"Bob","permissionLevel":"create"}`
	got, _ := b.payloadsFrom(hook, 1)
	if diff := cmp.Diff([]string{
		`{"tblTasks":{"createdRecordsById":{"` + task + `":{"createdTime":"2026-05-01T10:00:00.000Z","cellValuesByFieldId":{"fldOwner":` + bob + `,"fldTeam":[` + ann + `,` + bob + `]}}}}}`,
		`{"tblTasks":{"changedRecordsById":{"` + task + `":{"current":{"cellValuesByFieldId":{"fldOwner":` + ann + `}},"previous":{"cellValuesByFieldId":{"fldOwner":` + bob + `}}}}}}`,
	}, got); diff != "" {
		t.Error(diff)
	}
	if _, body := b.do(payloads(hook, "")); strings.Count(body, `"sourceMetadata":{"user":{"id":"usrAnn","email":"ann@example.com","permissionLevel":"create","name":"Ann"}}`) != 2 {
		t.Error(body)
	}
}

// A payload is read when the links of its day are dead: it has new ones.
func TestPayloads_LinkToFilesForAsLongAsTheyAreRead(t *testing.T) {
	t.Parallel()
	g := newGallery(t, time.Minute)
	hook := g.hook(everything, `{"includePreviousCellValues":true}`)
	note := g.site.Put("/note", "text/plain", []byte("hello"))
	rec := g.ok(create("Docs", fmt.Sprintf(`{"fields":{"Files":[{"url":%q,"filename":"n.txt"}]}}`, note)))["id"].(string)
	*g.clock = g.clock.Add(24 * time.Hour)
	tables := func(i int) object {
		return g.ok(payloads(hook, ""))["payloads"].([]any)[i].(object)["changedTablesById"].(object)["tblDocs"].(object)
	}
	files := func(cells any) object {
		return cells.(object)["cellValuesByFieldId"].(object)["fldFiles"].([]any)[0].(object)
	}
	created := files(tables(0)["createdRecordsById"].(object)[rec])
	if got := g.content(created["url"].(string)); got != "hello" {
		t.Errorf("the file holds %q", got)
	}
	g.ok(patch("Docs", rec, `{"fields":{"Files":[]}}`))
	previous := files(tables(1)["changedRecordsById"].(object)[rec].(object)["previous"])
	if diff := cmp.Diff(created, previous); diff != "" {
		t.Error(diff)
	}
	delete(created, "url")
	if diff := cmp.Diff(object{"id": created["id"], "filename": "n.txt", "size": 5.0, "type": "text/plain"}, created); diff != "" {
		t.Error(diff)
	}
}

// A write that began before a field was made does not know it: that breaks no webhook
// which watches the field.
func TestPayloads_AWriteOlderThanTheSchemaIsTold(t *testing.T) {
	t.Parallel()
	b := newBench(t).shop()
	rec := b.made("People", `{"Name":"x"}`)
	held, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer held.Rollback(t.Context())
	if err := postgres.Enter(t.Context(), held, b.who.Tenant); err != nil {
		t.Fatal(err)
	}
	if _, err := held.Exec(t.Context(), `SELECT FROM records WHERE tenant_id = $1 AND id = $2 FOR UPDATE`, b.who.Tenant, rec); err != nil {
		t.Fatal(err)
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		b.ok(patch("People", rec, `{"fields":{"Name":"y"}}`))
	}()
	await.True(t, "the write waits for the record", func() bool {
		var waiting int
		err := b.pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting)
		return err == nil && waiting > 0
	})
	field := b.ok(createField("People", `{"name":"Later","type":"email"}`))["id"].(string)
	view, _, err := b.store.CreateView(t.Context(), b.who, local.ViewAt{Base: b.base.ID, Table: "People"}, local.ViewDraft{Name: "Later"})
	if err != nil {
		t.Fatal(err)
	}
	watching := b.hook(`{"dataTypes":["tableData"],"watchDataInFieldIds":["`+field+`","fldName"]}`, "")
	viewing := b.hook(`{"dataTypes":["tableData"],"recordChangeScope":"`+string(view.ID)+`"}`, "")
	if err := held.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-written
	changed := `"changedRecordsById":{"` + rec + `":{"current":{"cellValuesByFieldId":{"fldName":"y"}}}}`
	for hook, want := range map[string]string{
		watching: `{"tblPeople":{` + changed + `}}`, viewing: `{"tblPeople":{"changedViewsById":{"` + string(view.ID) + `":{` + changed + `}}}}`,
	} {
		if got, _ := b.payloadsFrom(hook, 1); len(got) != 1 || got[0] != want {
			t.Errorf("got %v, want %s", got, want)
		}
	}
}
