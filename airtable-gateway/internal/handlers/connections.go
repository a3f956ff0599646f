package handlers

import (
	"context"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/services"
	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/page"
)

type connections struct {
	service *services.Connections
	apiURL  string
}

func (h connections) list(ctx context.Context, who auth.Principal, in airtableapi.ConnectionsQuery) (out api.Page[airtableapi.Connection], err error) {
	if err := insider(who); err != nil {
		return out, err
	}
	filters := page.Filters("connections", who.TenantID)
	var after models.ConnectionID
	if in.Cursor != "" {
		if err := page.Decode(in.Cursor, filters, &after); err != nil {
			return out, err
		}
	}
	found, err := h.service.List(ctx, who.TenantID, after, in.Limit+1)
	if err != nil {
		return out, err
	}
	if len(found) > in.Limit {
		found = found[:in.Limit]
		out.NextCursor = page.Encode(filters, found[in.Limit-1].ID)
	}
	out.Items = make([]airtableapi.Connection, 0, len(found))
	for _, c := range found {
		out.Items = append(out.Items, connectionOf(c))
	}
	return out, nil
}

func (h connections) create(ctx context.Context, who auth.Principal, in airtableapi.ConnectionCreate) (out airtableapi.ConnectionMade, err error) {
	if !who.IsAdmin() {
		return out, airtableapi.ErrAdminsOnly
	}
	d := services.Draft{
		Name: in.Body.Name, Kind: models.ConnectionKind(in.Body.Kind), APIURL: in.Body.APIURL, Token: in.Body.Token,
		Settings: settingsPatch(in.Body.Settings),
	}
	if d.Kind == models.AirtableConnection && d.APIURL == "" {
		d.APIURL = h.apiURL
	}
	c, err := h.service.Create(ctx, who, d)
	if err != nil {
		return out, err
	}
	return airtableapi.ConnectionMade{
		Location: "/api/v1/airtable/connections/" + c.ID.String(), ETag: etag(c), Body: connectionOf(c),
	}, nil
}

func (h connections) connection(ctx context.Context, who auth.Principal, in airtableapi.ConnectionPath) (out airtableapi.ConnectionAnswer, err error) {
	key, err := shownConnection(who, in)
	if err != nil {
		return out, err
	}
	c, err := h.service.Connection(ctx, who.TenantID, key)
	return airtableapi.ConnectionAnswer{ETag: etag(c), Body: connectionOf(c)}, err
}

func (h connections) update(ctx context.Context, who auth.Principal, in airtableapi.ConnectionUpdate) (out airtableapi.ConnectionAnswer, err error) {
	key, version, err := mayWrite(who, in.ConnectionPath, in.IfMatch)
	if err != nil {
		return out, err
	}
	p := services.Patch{Name: in.Body.Name, APIURL: in.Body.APIURL, Token: in.Body.Token, Settings: settingsPatch(in.Body.Settings)}
	c, err := h.service.Update(ctx, who, key, version, p)
	return airtableapi.ConnectionAnswer{ETag: etag(c), Body: connectionOf(c)}, err
}

func (h connections) delete(ctx context.Context, who auth.Principal, in airtableapi.ConnectionDelete) (struct{}, error) {
	key, version, err := mayWrite(who, in.ConnectionPath, in.IfMatch)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, h.service.Delete(ctx, who, key, version)
}

// mayWrite returns the connection's key and the version that it must have, 0 for
// any.
func mayWrite(who auth.Principal, at airtableapi.ConnectionPath, header string) (key models.ConnectionID, version int64, err error) {
	if !who.IsAdmin() {
		return key, 0, airtableapi.ErrAdminsOnly
	}
	if key, err = connectionID(at); err != nil {
		return key, 0, err
	}
	version, err = ifMatch(header)
	return key, version, err
}

// insider refuses guests: they are shown bases, and not how the organisation reaches them.
func insider(who auth.Principal) error {
	if who.IsGuest() {
		return airtableapi.ErrMembersOnly
	}
	return nil
}

// shownConnection is the key of a connection that the caller may look at.
func shownConnection(who auth.Principal, at airtableapi.ConnectionPath) (key models.ConnectionID, err error) {
	if err := insider(who); err != nil {
		return key, err
	}
	return connectionID(at)
}

func connectionID(at airtableapi.ConnectionPath) (key models.ConnectionID, err error) {
	if err := key.UnmarshalText([]byte(at.ID)); err != nil {
		return key, airtableapi.ErrConnectionNotFound
	}
	return key, nil
}

func etag(c models.Connection) string { return tag(c.Version) }
