package handlers

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/httpx"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/origin"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
	"github.com/pyairtable/pyairtable/tenant-service/internal/scim"
	"github.com/pyairtable/pyairtable/tenant-service/internal/services"
)

// RegisterSCIM serves /scim/v2 and the operations of its tokens.
func RegisterSCIM(a *httpx.API, s *services.Directory) {
	t := scimTokens{s}
	httpx.Handle(a, tenantapi.CreateSCIMToken, t.create)
	httpx.Handle(a, tenantapi.ListSCIMTokens, t.list)
	httpx.Handle(a, tenantapi.RotateSCIMToken, t.rotate)
	httpx.Handle(a, tenantapi.RevokeSCIMToken, t.revoke)
	// No Op: its media type, its errors and its queries are SCIM's.
	httpx.Raw(a, tenantapi.SCIM, directory{s}.serve)
}

const scimType = "application/scim+json"

// directory is SCIM 2.0 for the tenant whose token comes with a request.
type directory struct{ s *services.Directory }

// answer is what a request is answered with; nil is nothing at all.
type answer struct {
	status int
	body   map[string]any
}

func (h directory) serve(c *gin.Context) {
	got, err := h.answer(c)
	if err != nil {
		e, known := scimError(err)
		httpx.Note(c, known)
		if e.Status == http.StatusUnauthorized {
			c.Header("WWW-Authenticate", `Bearer realm="SCIM"`)
		}
		if s := known.RetrySeconds(); s > 0 {
			c.Header("Retry-After", strconv.Itoa(s))
		}
		got = answer{e.Status, e.Body()}
	}
	if got.body == nil {
		c.Status(got.status)
		c.Writer.WriteHeaderNow()
		return
	}
	raw, err := json.Marshal(got.body)
	if err != nil {
		httpx.Fail(c, err)
		return
	}
	c.Data(got.status, scimType, raw)
}

// scimError is an error as SCIM has it, and as the log has it.
func scimError(err error) (*scim.Error, *errs.Error) {
	var own *scim.Error
	if errors.As(err, &own) {
		kind := errs.Invalid
		if own.Status == http.StatusConflict {
			kind = errs.Conflict
		}
		return own, errs.New(kind, "scim_refused", own.Detail)
	}
	e := errs.From(err)
	out := &scim.Error{Status: e.Kind.Status(), Detail: e.Message}
	switch {
	case e.Kind == errs.Internal:
		out.Detail = errs.ErrInternal.Message
	case errors.Is(err, tenantapi.ErrAlreadyMember), errors.Is(err, tenantapi.ErrGroupNameTaken), errors.Is(err, authapi.ErrEmailTaken),
		errors.Is(err, authapi.ErrLinkRefused):
		out.Type = scim.Uniqueness
	case errors.Is(err, tenantapi.ErrEmailDomain), e.Kind == errs.Invalid:
		out.Status, out.Type = http.StatusBadRequest, scim.InvalidValue
	}
	return out, e
}

var errMethod = &scim.Error{Status: http.StatusMethodNotAllowed, Detail: "The endpoint does not take this method."}

func (h directory) answer(c *gin.Context) (answer, error) {
	scheme, token, _ := strings.Cut(c.GetHeader("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return answer{}, errs.ErrUnauthenticated
	}
	tenant, with, err := h.s.Open(c.Request.Context(), strings.TrimSpace(token))
	if err != nil {
		return answer{}, err
	}
	from := origin.From(c.Request.Context())
	from.Actor, from.Token = "scim", with.ID.String()
	c.Request = c.Request.WithContext(origin.Into(c.Request.Context(), from))

	parts := strings.Split(strings.Trim(strings.TrimPrefix(c.Request.URL.Path, tenantapi.SCIM.Prefix), "/"), "/")
	switch parts[0] {
	case "Users", "Groups":
		return h.resources(c, tenant, parts)
	case "ServiceProviderConfig", "ResourceTypes", "Schemas":
		return h.discovery(c, parts)
	case ".search":
		if len(parts) > 1 || c.Request.Method != http.MethodPost {
			return answer{}, errMethod
		}
		q, err := search(c)
		if err != nil {
			return answer{}, err
		}
		body, err := h.s.Search(c.Request.Context(), tenant.ID, q)
		return answer{http.StatusOK, body}, err
	case "Me", "Bulk":
		return answer{}, &scim.Error{Status: http.StatusNotImplemented, Detail: parts[0] + " is not supported."}
	}
	return answer{}, errs.ErrNotFound
}

func (h directory) discovery(c *gin.Context, parts []string) (answer, error) {
	if c.Request.Method != http.MethodGet {
		return answer{}, errMethod
	}
	if c.Query("filter") != "" { // RFC 7644, section 4
		return answer{}, errs.ErrForbidden.Saying("There are no filters here.")
	}
	var all []map[string]any
	switch parts[0] {
	case "ServiceProviderConfig":
		if len(parts) > 1 {
			return answer{}, errs.ErrNotFound
		}
		return answer{http.StatusOK, scim.ServiceProviderConfig(h.s.Base())}, nil
	case "ResourceTypes":
		all = scim.ResourceTypes(h.s.Base())
	default:
		all = scim.Schemas(h.s.Base())
	}
	if len(parts) == 1 {
		return answer{http.StatusOK, scim.ListOf(all, len(all), 1)}, nil
	}
	i := slices.IndexFunc(all, func(r map[string]any) bool { return r["id"] == parts[1] })
	if i < 0 || len(parts) > 2 {
		return answer{}, errs.ErrNotFound
	}
	return answer{http.StatusOK, all[i]}, nil
}

func (h directory) resources(c *gin.Context, tenant models.Tenant, parts []string) (answer, error) {
	switch {
	case len(parts) == 1 && c.Request.Method == http.MethodGet:
		q, err := query(c)
		if err != nil {
			return answer{}, err
		}
		return h.list(c, tenant, parts[0], q)
	case len(parts) == 1 && c.Request.Method == http.MethodPost:
		return h.create(c, tenant, parts[0])
	case len(parts) == 2 && parts[1] == ".search" && c.Request.Method == http.MethodPost:
		q, err := search(c)
		if err != nil {
			return answer{}, err
		}
		return h.list(c, tenant, parts[0], q)
	case len(parts) == 2 && parts[1] != ".search":
		return h.one(c, tenant, parts)
	case len(parts) > 2:
		return answer{}, errs.ErrNotFound
	}
	return answer{}, errMethod
}

func (h directory) list(c *gin.Context, tenant models.Tenant, plural string, q services.Query) (answer, error) {
	read := h.s.Users
	if plural == "Groups" {
		read = h.s.Groups
	}
	body, err := read(c.Request.Context(), tenant.ID, q)
	return answer{http.StatusOK, body}, err
}

func (h directory) create(c *gin.Context, tenant models.Tenant, plural string) (answer, error) {
	in, err := object(c)
	if err != nil {
		return answer{}, err
	}
	view, err := viewOf(c, plural)
	if err != nil {
		return answer{}, err
	}
	var r map[string]any
	if plural == "Users" {
		r, err = h.s.CreateUser(c.Request.Context(), tenant, in)
	} else {
		r, err = h.s.CreateGroup(c.Request.Context(), tenant.ID, in)
	}
	if err != nil {
		return answer{}, err
	}
	c.Header("Location", r["meta"].(map[string]any)["location"].(string))
	return show(c, http.StatusCreated, view, r), nil
}

// show answers with the resource as it is wanted; its ETag comes with it whether or not
// meta is wanted.
func show(c *gin.Context, status int, view scim.View, r map[string]any) answer {
	c.Header("ETag", r["meta"].(map[string]any)["version"].(string))
	return answer{status, view.Of(r)}
}

func viewOf(c *gin.Context, plural string) (scim.View, error) {
	t := scim.User
	if plural == "Groups" {
		t = scim.Group
	}
	return t.View(names(c.Query("attributes")), names(c.Query("excludedAttributes")))
}

// one serves a resource that a path names. What is no id names nothing.
func (h directory) one(c *gin.Context, tenant models.Tenant, parts []string) (answer, error) {
	view, err := viewOf(c, parts[0])
	if err != nil {
		return answer{}, err
	}
	var r map[string]any
	if parts[0] == "Users" {
		ref, bad := id.Parse[models.MemberKind](parts[1])
		if bad != nil {
			return answer{}, tenantapi.ErrMemberNotFound.Because(bad)
		}
		r, err = h.user(c, tenant, ref)
	} else {
		ref, bad := id.Parse[models.GroupKind](parts[1])
		if bad != nil {
			return answer{}, tenantapi.ErrGroupNotFound.Because(bad)
		}
		r, err = h.group(c, tenant, ref)
	}
	switch {
	case err != nil:
		return answer{}, err
	case r == nil:
		return answer{http.StatusNoContent, nil}, nil
	}
	etag := r["meta"].(map[string]any)["version"].(string)
	if none := c.GetHeader("If-None-Match"); c.Request.Method == http.MethodGet && none != "" && tags(none)(etag) {
		c.Header("ETag", etag)
		return answer{http.StatusNotModified, nil}, nil
	}
	return show(c, http.StatusOK, view, r), nil
}

func (h directory) user(c *gin.Context, tenant models.Tenant, ref models.MemberID) (map[string]any, error) {
	ctx, match := c.Request.Context(), tags(c.GetHeader("If-Match"))
	switch c.Request.Method {
	case http.MethodGet:
		return h.s.User(ctx, tenant.ID, ref)
	case http.MethodPut:
		in, err := object(c)
		if err != nil {
			return nil, err
		}
		return h.s.ReplaceUser(ctx, tenant.ID, ref, match, in)
	case http.MethodPatch:
		ops, err := patch(c)
		if err != nil {
			return nil, err
		}
		return h.s.PatchUser(ctx, tenant.ID, ref, match, ops)
	case http.MethodDelete:
		return nil, h.s.DeleteUser(ctx, tenant.ID, ref, match)
	}
	return nil, errMethod
}

func (h directory) group(c *gin.Context, tenant models.Tenant, ref models.GroupID) (map[string]any, error) {
	ctx, match := c.Request.Context(), tags(c.GetHeader("If-Match"))
	switch c.Request.Method {
	case http.MethodGet:
		return h.s.Group(ctx, tenant.ID, ref)
	case http.MethodPut:
		in, err := object(c)
		if err != nil {
			return nil, err
		}
		return h.s.ReplaceGroup(ctx, tenant.ID, ref, match, in)
	case http.MethodPatch:
		ops, err := patch(c)
		if err != nil {
			return nil, err
		}
		return h.s.PatchGroup(ctx, tenant.ID, ref, match, ops)
	case http.MethodDelete:
		return nil, h.s.DeleteGroup(ctx, tenant.ID, ref, match)
	}
	return nil, errMethod
}

// tags reads a condition: nothing and * hold always. SCIM's tags are weak, and compared
// weakly.
func tags(header string) func(etag string) bool {
	return func(etag string) bool {
		if strings.TrimSpace(header) == "" {
			return true
		}
		weak := func(s string) string { return strings.TrimPrefix(strings.TrimSpace(s), "W/") }
		return slices.ContainsFunc(strings.Split(header, ","), func(t string) bool {
			return strings.TrimSpace(t) == "*" || weak(t) == weak(etag)
		})
	}
}

func body(c *gin.Context) ([]byte, error) {
	raw, err := io.ReadAll(c.Request.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &scim.Error{Status: http.StatusRequestEntityTooLarge, Detail: "The body is too large."}
	case err != nil:
		return nil, scim.Refusal(scim.InvalidSyntax, "The body could not be read.")
	}
	return raw, nil
}

func object(c *gin.Context) (map[string]any, error) {
	raw, err := body(c)
	if err != nil {
		return nil, err
	}
	var in map[string]any
	if json.Unmarshal(raw, &in) != nil || in == nil {
		return nil, scim.Refusal(scim.InvalidSyntax, "The body has to be a JSON object.")
	}
	return in, nil
}

func patch(c *gin.Context) ([]scim.Op, error) {
	raw, err := body(c)
	if err != nil {
		return nil, err
	}
	return scim.ReadPatch(raw)
}

// defaultCount is how many resources a list has if the client does not say.
const defaultCount = 100

func query(c *gin.Context) (services.Query, error) {
	q := services.Query{
		Filter: c.Query("filter"), SortBy: c.Query("sortBy"), SortOrder: c.Query("sortOrder"), StartIndex: 1, Count: defaultCount,
		Attributes: names(c.Query("attributes")), Without: names(c.Query("excludedAttributes")),
	}
	for name, into := range map[string]*int{"startIndex": &q.StartIndex, "count": &q.Count} {
		if text, given := c.GetQuery(name); given {
			n, err := strconv.Atoi(text)
			if err != nil || n > maxIndex {
				return q, scim.Refusal(scim.InvalidValue, name+" has to be a number.")
			}
			*into = n
		}
	}
	return q, nil
}

// maxIndex bounds startIndex and count to what PostgreSQL counts in.
const maxIndex = 1 << 30

func names(list string) []string {
	return slices.DeleteFunc(strings.Split(list, ","), func(s string) bool { return strings.TrimSpace(s) == "" })
}

func search(c *gin.Context) (services.Query, error) {
	raw, err := body(c)
	if err != nil {
		return services.Query{}, err
	}
	in := struct {
		Filter, SortBy, SortOrder      string
		StartIndex, Count              *int
		Attributes, ExcludedAttributes []string
	}{}
	if json.Unmarshal(raw, &in) != nil {
		return services.Query{}, scim.Refusal(scim.InvalidSyntax, "The body has to be a search request.")
	}
	q := services.Query{
		Filter: in.Filter, SortBy: in.SortBy, SortOrder: in.SortOrder, StartIndex: 1, Count: defaultCount,
		Attributes: in.Attributes, Without: in.ExcludedAttributes,
	}
	if in.StartIndex != nil {
		q.StartIndex = min(*in.StartIndex, maxIndex)
	}
	if in.Count != nil {
		q.Count = *in.Count
	}
	return q, nil
}
