package handlers

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/services"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

// The JSON of the Airtable Web API, as far as it is translated.
type (
	wireRecord struct {
		ID          string         `json:"id"`
		CreatedTime time.Time      `json:"createdTime"`
		Fields      map[string]any `json:"fields"`
	}
	wireRecords struct {
		Records []wireRecord `json:"records"`
		Offset  string       `json:"offset"`
	}
	wireTable struct {
		ID             string                   `json:"id"`
		Name           string                   `json:"name"`
		Description    string                   `json:"description"`
		PrimaryFieldID string                   `json:"primaryFieldId"`
		Fields         []airtableapi.TableField `json:"fields"`
		Views          []airtableapi.TableView  `json:"views"`
	}
	wireSchema struct {
		Tables []wireTable `json:"tables"`
	}
	wireDraft struct {
		Fields   map[string]any `json:"fields"`
		Typecast bool           `json:"typecast,omitempty"`
	}
)

func (r wireRecord) record() airtableapi.Record {
	if r.Fields == nil {
		r.Fields = map[string]any{}
	}
	return airtableapi.Record{ID: r.ID, CreatedAt: r.CreatedTime.UTC(), Fields: r.Fields}
}

func (t wireTable) table() airtableapi.Table {
	out := airtableapi.Table{
		ID: t.ID, Name: t.Name, Description: t.Description, PrimaryFieldID: t.PrimaryFieldID, Fields: t.Fields, Views: t.Views,
	}
	if out.Fields == nil {
		out.Fields = []airtableapi.TableField{}
	}
	if out.Views == nil {
		out.Views = []airtableapi.TableView{}
	}
	return out
}

func baseOf(b models.OfferedBase) airtableapi.Base {
	return airtableapi.Base{ID: b.ID, Name: b.Name, PermissionLevel: b.PermissionLevel, ConnectionID: b.Connection.String()}
}

func connectionOf(c models.Connection) airtableapi.Connection {
	return airtableapi.Connection{
		ID: c.ID.String(), Name: c.Name, Kind: string(c.Kind), APIURL: c.APIURL, Status: string(c.Status),
		WorkspaceID: c.WorkspaceID(), LastCheckedAt: c.CheckedAt, CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt,
		Settings: airtableapi.ConnectionSettings{
			FreshnessSeconds: int(c.Settings.Freshness / time.Second), StableAttachments: c.Settings.StableAttachments,
			BeforeImages: c.Settings.BeforeImages, WatchChanges: c.Settings.Watch,
		},
	}
}

func settingsPatch(p airtableapi.ConnectionSettingsPatch) services.SettingsPatch {
	out := services.SettingsPatch{StableAttachments: p.StableAttachments, BeforeImages: p.BeforeImages, Watch: p.WatchChanges}
	if p.FreshnessSeconds != nil {
		freshness := time.Duration(*p.FreshnessSeconds) * time.Second
		out.Freshness = &freshness
	}
	return out
}

// decode reads a success into out and turns a refusal into the error that says it.
func decode(c upstream.Call, a upstream.Answer, out any) error {
	if a.Status == 429 {
		return limited(a)
	}
	if e := v0.ReadError(a); e != nil {
		return problem(c, e)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(a.Body, out); err != nil {
		return fmt.Errorf("read answer of %s: %w", c.Op, err)
	}
	return nil
}

// problem is Airtable's refusal as an error of ours. The sentence stays
// Airtable's: it names the field.
func problem(c upstream.Call, e *models.Error) error {
	said := func(to *errs.Error) *errs.Error {
		if e.Message == "" {
			return to
		}
		return to.Saying("%s", e.Message)
	}
	switch {
	case e.Status >= 500:
		if v0.Reads(c) || e.Type == models.ErrRetriable.Type {
			return airtableapi.ErrUpstreamAway
		}
		return airtableapi.ErrOutcomeUnknown
	case e.Type == "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND", e.Type == "TABLE_NOT_FOUND", e.Status == 404:
		return absent(c, e)
	case e.Status == 403, e.Status == 402:
		return said(airtableapi.ErrNotPermitted)
	case e.Status == 413:
		return said(errs.New(errs.TooLarge, "body_too_large", "The body is too large."))
	case e.Type == "UNKNOWN_FIELD_NAME":
		return said(airtableapi.ErrUnknownField).With(field(e))
	case e.Type == "INVALID_VALUE_FOR_COLUMN":
		return said(airtableapi.ErrInvalidValue).With(field(e))
	}
	invalid := *airtableapi.ErrInvalidRecord
	if e.Type != "" {
		invalid.Code = strings.ToLower(e.Type)
	}
	return said(&invalid)
}

// limited says when to come again, if that helps.
func limited(a upstream.Answer) error {
	if v0.QuotaSpent(a) {
		return airtableapi.ErrQuotaSpent
	}
	if seconds, err := strconv.Atoi(a.Header.Get("Retry-After")); err == nil {
		return airtableapi.ErrRateLimited.After(time.Duration(seconds) * time.Second)
	}
	return airtableapi.ErrRateLimited
}

// absent says what is not there. Airtable says the same of an unknown and of a
// forbidden thing.
func absent(c upstream.Call, e *models.Error) error {
	switch {
	case e.Type == "MODEL_ID_NOT_FOUND", c.Record != "" && e.Status == 404:
		return airtableapi.ErrRecordNotFound
	case c.Table != "":
		return airtableapi.ErrTableNotFound
	}
	return airtableapi.ErrBaseNotFound
}

// field points at the field that a message names between its first quotes.
func field(e *models.Error) errs.Field {
	f := errs.Field{Pointer: "/fields", Detail: e.Message}
	if _, rest, ok := strings.Cut(e.Message, `"`); ok {
		if name, _, ok := strings.Cut(rest, `"`); ok {
			f.Pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		}
	}
	return f
}
