package cache

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
)

// write lets the call pass and drops what it made stale, unless it certainly did not
// leave. A refusal drops too: it may be the answer to the second try of a call whose
// first one was executed.
func (d door) write(ctx context.Context, c upstream.Call) (upstream.Answer, error) {
	answer, err := d.up.Do(ctx, c)
	if err != nil && errors.Is(err, upstream.ErrNotSent) {
		return answer, err
	}
	if at, parts := d.touched(ctx, c); len(parts) > 0 {
		d.drop(ctx, at, parts...)
		if err != nil || answer.Status >= http.StatusInternalServerError {
			d.dropAgain(at, parts)
		}
	}
	return answer, err
}

// touched is what the write makes stale.
func (d door) touched(ctx context.Context, c upstream.Call) (at site, parts []string) {
	at = site{d.conn.APIURL, c.Base}
	switch c.Op {
	case upstream.CreateWebhook, upstream.DeleteWebhook, upstream.EnableWebhook, upstream.RefreshWebhook:
		return at, nil
	case upstream.CreateRecords, upstream.UpdateRecords, upstream.DeleteRecords, upstream.Other:
		g := d.graph(ctx, at)
		if c.Table == "" || !g.knows(c.Table) {
			return at, []string{whole}
		}
		parts = g.shownIn(c.Table)
		if typecasts(c.Body) { // it may have made choices
			parts = append(parts, schemaPart)
		}
		return at, parts
	case upstream.CreateComment, upstream.UpdateComment, upstream.DeleteComment: // records may tell their number
		g := d.graph(ctx, at)
		if !g.knows(c.Table) {
			return at, []string{whole}
		}
		return at, g.names(c.Table)
	}
	return at, []string{whole}
}

// typecasts reports whether the write may change the choices of a field.
func typecasts(body []byte) bool {
	var in struct {
		Typecast any `json:"typecast"`
	}
	if len(body) == 0 {
		return false
	}
	return json.Unmarshal(body, &in) != nil || in.Typecast != nil && in.Typecast != false
}
