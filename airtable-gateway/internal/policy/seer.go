package policy

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/marker"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
)

// seer answers calls on a base with what the sight shows of it.
type seer struct {
	up    upstream.Upstream
	local bool
	sight *Sight
}

// admit refuses what the caller may not do on the table that the call names.
func (v *seer) admit(c upstream.Call, l levels, action string) error {
	switch c.Op {
	case upstream.CreateTable, upstream.UpdateTable, upstream.CreateField, upstream.UpdateField,
		upstream.ListWebhooks, upstream.CreateWebhook, upstream.DeleteWebhook, upstream.EnableWebhook,
		upstream.RefreshWebhook, upstream.ListPayloads, upstream.Other:
		if v.sight.masks {
			return models.ErrNotPermitted
		}
	}
	tables, err := v.tablesOf(c)
	if err != nil {
		return err
	}
	for _, t := range tables {
		if !l.may(action, t.id) {
			return models.ErrNotPermitted
		}
	}
	if len(tables) == 0 && action != permissionapi.Read && !l.base[action] {
		return models.ErrNotPermitted
	}
	return nil
}

// tablesOf are the tables that the call is about, in which one of them has what it names.
func (v *seer) tablesOf(c upstream.Call) ([]*seenTable, error) {
	switch {
	case c.Table != "":
		t := v.sight.find(c.Table)
		if t == nil {
			return nil, models.ErrModelNotFound
		}
		return []*seenTable{t}, nil
	case c.Op == upstream.UploadAttachment:
		if tables := v.withField(c.Field); len(tables) > 0 {
			return tables, nil
		}
		return nil, models.UnknownField(c.Field)
	case c.View != "":
		t := v.withView(c.View)
		if t == nil {
			return nil, models.ErrNoView
		}
		return []*seenTable{t}, nil
	}
	return nil, nil
}

func (v *seer) withField(idOrName string) (out []*seenTable) {
	for _, t := range v.sight.schema.tables {
		if seen := v.sight.tables[t.id]; seen != nil && seen.field(idOrName) != nil {
			out = append(out, seen)
		}
	}
	return out
}

func (v *seer) withView(id string) *seenTable {
	for _, t := range v.sight.tables {
		if _, ok := t.view(id); ok {
			return t
		}
	}
	return nil
}

// Do implements upstream.Upstream. What is refused is an answer, as it is of an upstream.
func (v *seer) Do(ctx context.Context, c upstream.Call) (upstream.Answer, error) {
	if c.Header = c.Header.Clone(); c.Header == nil {
		c.Header = http.Header{}
	}
	given := c.Header["If-None-Match"]
	c.Header.Del("If-None-Match")
	if len(given) == 0 || c.Method != http.MethodGet {
		given = nil
	}
	answer, err := v.answer(ctx, c)
	if refused, ok := models.AsError(err); ok {
		return Deny(refused), nil
	}
	if err != nil {
		return answer, err
	}
	return conditional(answer, given), nil
}

// Deny is the answer to a call that the policy refuses.
func Deny(refused *models.Error) upstream.Answer {
	a := v0.Refuse(refused)
	a.Denied = a.Status == http.StatusForbidden || a.Status == http.StatusNotFound
	return a
}

func (v *seer) answer(ctx context.Context, c upstream.Call) (upstream.Answer, error) {
	switch c.Op {
	case upstream.BaseSchema:
		return v.shown(ctx, c, v.sight.schemaBody)
	case upstream.ListViews, upstream.FetchView:
		return v.shown(ctx, c, v.sight.viewsBody)
	case upstream.UploadAttachment:
		return v.upload(ctx, c)
	}
	if c.Table == "" {
		return v.up.Do(ctx, c)
	}
	t := v.sight.find(c.Table)
	if t == nil {
		return upstream.Answer{}, models.ErrModelNotFound
	}
	c = at(c, t)
	switch c.Op {
	case upstream.ListRecords:
		return v.list(ctx, c, t)
	case upstream.GetRecord:
		return v.get(ctx, c, t)
	case upstream.CreateRecords:
		return v.create(ctx, c, t)
	case upstream.UpdateRecords:
		return v.update(ctx, c, t)
	case upstream.DeleteRecords:
		return v.delete(ctx, c, t)
	case upstream.ListComments, upstream.CreateComment, upstream.UpdateComment, upstream.DeleteComment:
		if err := v.mustSee(ctx, c, t, []string{c.Record}, true); err != nil {
			return upstream.Answer{}, err
		}
	}
	return v.up.Do(ctx, c)
}

// at makes the call name its table by id.
func at(c upstream.Call, t *seenTable) upstream.Call {
	parts := strings.Split(c.Path, "/") // "", v0, base, table, …
	if len(parts) > 3 && parts[2] == c.Base {
		parts[3] = t.id
	} else if len(parts) > 5 && parts[2] == "meta" { // "", v0, meta, bases, base, tables, table
		parts[6] = t.id
	}
	c.Table, c.Path = t.id, strings.Join(parts, "/")
	return c
}

// shown passes a call on and shows its answer.
func (v *seer) shown(ctx context.Context, c upstream.Call, show func(body []byte) ([]byte, error)) (upstream.Answer, error) {
	answer, err := v.up.Do(ctx, c)
	if err != nil || answer.Status != http.StatusOK {
		return answer, err
	}
	body, err := show(answer.Body)
	return with(answer, body), err
}

func (v *seer) list(ctx context.Context, c upstream.Call, t *seenTable) (upstream.Answer, error) {
	var body []byte
	if c.Method == http.MethodPost {
		if body = c.Body; len(body) == 0 {
			body = []byte("{}")
		}
	}
	p, err := models.ParseList(c.RawQuery, body)
	if err != nil {
		return upstream.Answer{}, err
	}
	byID, walksOn := p.Output.ByFieldID, p.Offset != ""
	if err := v.narrow(t, &p); err != nil {
		return upstream.Answer{}, err
	}
	answer, err := v.up.Do(ctx, listCall(c, t, p))
	if err != nil || answer.Status != http.StatusOK {
		return answer, err
	}
	return v.page(ctx, c, t, answer, shape{byID: byID, text: p.Output.AsText}, walksOn)
}

// narrow makes the parameters ask for nothing but what the caller sees.
func (v *seer) narrow(t *seenTable, p *models.ListParams) error {
	for i, name := range p.Fields {
		f := t.field(name)
		if f == nil {
			return models.UnknownField(name)
		}
		p.Fields[i] = f.id
	}
	for i, by := range p.Sort {
		f := t.field(by.Field)
		if f == nil || v.sight.limits(f) {
			return models.UnknownField(by.Field)
		}
		p.Sort[i].Field = f.id
	}
	if p.View != "" {
		view, ok := t.view(p.View)
		if !ok {
			return models.ViewNotFound(p.View)
		}
		p.View = view.id
	}
	own, err := v.formula(t, p.Formula)
	if err != nil {
		return err
	}
	p.Formula, p.Output.ByFieldID = all(t.rule, own), true
	return nil
}

// listCall is the call that lists by p.
func listCall(c upstream.Call, t *seenTable, p models.ListParams) upstream.Call {
	body := map[string]any{"returnFieldsByFieldId": true}
	put := func(key, value string) {
		if value != "" {
			body[key] = value
		}
	}
	put("offset", p.Offset)
	put("view", p.View)
	put("filterByFormula", p.Formula)
	body["pageSize"] = p.PageSize
	if p.MaxRecords > 0 {
		body["maxRecords"] = p.MaxRecords
	}
	if len(p.Fields) > 0 {
		body["fields"] = p.Fields
	}
	if len(p.Sort) > 0 {
		keys := make([]map[string]string, len(p.Sort))
		for i, by := range p.Sort {
			keys[i] = map[string]string{"field": by.Field, "direction": "asc"}
			if by.Desc {
				keys[i]["direction"] = "desc"
			}
		}
		body["sort"] = keys
	}
	query := url.Values{}
	if p.Output.AsText {
		body["cellFormat"] = "string"
		query.Set("timeZone", p.Output.Zone.String())
		query.Set("userLocale", p.Output.Locale)
	}
	if p.Output.Comments {
		body["recordMetadata"] = []string{"commentCount"}
	}
	c.Op, c.Method, c.RawQuery, c.Table, c.Record = upstream.ListRecords, http.MethodPost, query.Encode(), t.id, ""
	c.Path = v0.Prefix + "/" + c.Base + "/" + t.id + "/listRecords"
	c.Body = models.Marshal(body)
	return c
}

// get reads one record as a list of one: so its row rule holds for what is read.
func (v *seer) get(ctx context.Context, c upstream.Call, t *seenTable) (upstream.Answer, error) {
	output, err := models.ParseOutput(c.RawQuery)
	if err != nil {
		return upstream.Answer{}, err
	}
	show := shape{byID: output.ByFieldID, text: output.AsText}
	output.ByFieldID = true
	answer, err := v.up.Do(ctx, listCall(c, t, models.ListParams{PageSize: 1, Formula: all(t.rule, oneOf([]string{c.Record})), Output: output}))
	if err != nil || answer.Status != http.StatusOK {
		return answer, err
	}
	if answer, err = v.page(ctx, c, t, answer, show, false); err != nil {
		return answer, err
	}
	var page struct {
		Records []json.RawMessage `json:"records"`
	}
	if err := json.Unmarshal(answer.Body, &page); err != nil {
		return answer, broken(err)
	}
	if len(page.Records) == 0 {
		return upstream.Answer{}, models.ErrRecordNotFound
	}
	return with(answer, page.Records[0]), nil
}

// upload adds an attachment to a record of one of the tables that have the field.
func (v *seer) upload(ctx context.Context, c upstream.Call) (upstream.Answer, error) {
	for _, t := range v.withField(c.Field) {
		seen, err := v.visible(ctx, c, t, []string{c.Record}, true)
		if err != nil {
			return upstream.Answer{}, err
		}
		if !seen[c.Record] {
			continue
		}
		f := t.field(c.Field)
		if t.readOnly[f.id] {
			return upstream.Answer{}, notWritable(f)
		}
		c.Field, c.Path = f.id, v0.Prefix+"/"+c.Base+"/"+c.Record+"/"+f.id+"/uploadAttachment"
		answer, err := v.up.Do(ctx, c)
		if err != nil || answer.Status != http.StatusOK {
			return answer, err
		}
		body, err := v.record(ctx, c, t, answer.Body, shape{byID: true})
		return with(answer, body), err
	}
	return upstream.Answer{}, models.ErrRecordNotFound
}

// marked has the header that names the marker field name it by id.
func (v *seer) marked(c upstream.Call, t *seenTable) error {
	name := c.Header.Get(marker.Header)
	if name == "" {
		return nil
	}
	f := t.field(name)
	if f == nil {
		return models.UnknownField(name)
	}
	if t.readOnly[f.id] {
		return notWritable(f)
	}
	c.Header.Set(marker.Header, f.id)
	return nil
}

// notWritable is what Airtable says of a field whose cells the caller may not write.
func notWritable(f *field) error {
	e := *models.ErrNotPermitted
	e.Message = "You are not permitted to write cell values in field " + f.name + " (" + f.id + ")"
	return &e
}

// mustSee refuses what names records that the caller does not see, as what names unknown
// ones.
func (v *seer) mustSee(ctx context.Context, c upstream.Call, t *seenTable, ids []string, single bool) error {
	seen, err := v.visible(ctx, c, t, ids, true)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(ids, func(id string) bool { return !seen[id] })
	switch {
	case i < 0:
		return nil
	case single:
		return models.ErrRecordNotFound
	}
	return models.NoSuchRow(models.RecordID(ids[i]))
}
