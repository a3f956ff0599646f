package services

import (
	"encoding/json"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
)

// permitWatching refuses what a webhook at an Airtable account would show beyond the
// scopes of the caller's token: the account's own token has them all. The base store
// sees to that itself. What an existing webhook shows only Airtable knows, so that its
// payloads take the scopes of all kinds.
func permitWatching(who auth.Principal, conn models.Connection, c upstream.Call) error {
	if conn.Kind == models.LocalConnection {
		return nil
	}
	spec := models.WebhookSpec{DataTypes: []models.DataType{models.TableData, models.TableFields}}
	switch c.Op {
	case upstream.ListPayloads:
	case upstream.CreateWebhook:
		var body struct {
			Specification struct {
				Options struct {
					Filters struct {
						DataTypes []models.DataType `json:"dataTypes"`
					} `json:"filters"`
				} `json:"options"`
			} `json:"specification"`
		}
		if json.Unmarshal(c.Body, &body) == nil { // else all kinds: Airtable tells what is wrong with it
			spec.DataTypes = body.Specification.Options.Filters.DataTypes
		}
	default:
		return nil
	}
	for _, scope := range v0.WatchScopes(spec) {
		if !who.HasScope(scope) {
			return airtableapi.ErrNotPermitted.Saying("The token lacks the scope %s.", scope)
		}
	}
	return nil
}
