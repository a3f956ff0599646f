package httpx

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
)

// Handler serves one operation for who. Errors that carry an errs.Error are
// answered as such; any other is answered as an internal one and logged.
type Handler[In, Out any] func(ctx context.Context, who auth.Principal, in In) (Out, error)

// bodyOf is the envelope of a T that is the body itself; see api.Op.
type bodyOf[T any] struct{ Body T }

const specKey = "spec"

// Handle serves op with h.
func Handle[In, Out any](a *API, op api.Op[In, Out], h Handler[In, Out]) {
	spec := op.Spec()
	switch in, out := wrapped(spec.In), wrapped(spec.Out); {
	case in && out:
		register(a, spec, h, func(i *bodyOf[In]) In { return i.Body }, func(o Out) *bodyOf[Out] { return &bodyOf[Out]{o} })
	case in:
		register(a, spec, h, func(i *bodyOf[In]) In { return i.Body }, func(o Out) *Out { return &o })
	case out:
		register(a, spec, h, func(i *In) In { return *i }, func(o Out) *bodyOf[Out] { return &bodyOf[Out]{o} })
	default:
		register(a, spec, h, func(i *In) In { return *i }, func(o Out) *Out { return &o })
	}
}

// wrapped reports whether a value of t is the body itself.
func wrapped(t reflect.Type) bool { return !api.IsEnvelope(t) && !api.IsEmpty(t) }

func register[HI, HO, In, Out any](a *API, spec api.Spec, h Handler[In, Out], open func(*HI) In, wrap func(Out) *HO) {
	huma.Register(a.huma, a.operation(spec), func(ctx context.Context, hi *HI) (*HO, error) {
		c := ctx.Value(ginKey{}).(*gin.Context)
		out, err := h(ctx, Who(c), open(hi))
		if err != nil {
			return nil, asHuma(c, err)
		}
		return wrap(out), nil
	})
}

// operation describes spec to Huma.
func (a *API) operation(spec api.Spec) huma.Operation {
	tag := spec.Tag
	if tag == "" {
		tag = a.Title
	}
	op := huma.Operation{
		OperationID: spec.Name, Method: spec.Method, Path: spec.Path, DefaultStatus: spec.Status,
		Summary: spec.Summary, Description: spec.Description, Tags: []string{tag},
		MaxBodyBytes: spec.BodyLimit, Metadata: map[string]any{specKey: spec},
		Responses: a.errorResponses(spec), Extensions: map[string]any{},
	}
	if spec.Access == api.User || spec.Access == api.Internal {
		op.Security = []map[string][]string{{bearer: {}}}
	}
	if !spec.Access.Routed() {
		op.Extensions["x-internal"] = true
	}
	if spec.Scope != "" {
		op.Extensions["x-scope"] = spec.Scope
	}
	if spec.Idempotent {
		op.Parameters = append(op.Parameters, &huma.Param{
			Name: idempotencyHeader, In: "header", Schema: &huma.Schema{Type: "string"},
			Description: "The same key and body within 24 hours give the first answer again.",
		})
	}
	return op
}

// errorResponses documents the problems that spec may answer, by status.
func (a *API) errorResponses(spec api.Spec) map[string]*huma.Response {
	codes := map[int][]string{}
	add := func(list ...*errs.Error) {
		for _, e := range list {
			codes[e.Kind.Status()] = append(codes[e.Kind.Status()], "`"+e.Code+"`: "+e.Message)
		}
	}
	add(spec.Errors...)
	add(errs.ErrInvalid, errs.ErrInternal, errs.ErrUnavailable)
	if spec.Access == api.User || spec.Access == api.Internal {
		add(errs.ErrUnauthenticated, errs.ErrForbidden)
	}
	schema := a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[errs.Problem](), true, "Problem")
	out := map[string]*huma.Response{}
	for status, lines := range codes {
		out[strconv.Itoa(status)] = &huma.Response{
			Description: http.StatusText(status) + ".\n\n- " + strings.Join(lines, "\n- "),
			Content:     map[string]*huma.MediaType{errs.ContentType: {Schema: schema}},
		}
	}
	return out
}

// Raw serves a whole prefix by h: for what no Op can describe. The chain before
// h is that of an Op with the route's access and limits; which scope a personal
// access token needs is h's to check.
func Raw(a *API, route api.RawRoute, h gin.HandlerFunc) {
	spec := api.Op[struct{}, struct{}]{
		Name: rawName(route.Prefix), Path: route.Prefix, Access: route.Access, Scope: auth.Any,
		Timeout: route.Timeout, BodyLimit: route.BodyLimit, Summary: route.Summary,
	}.Spec()
	path := route.Prefix
	if strings.HasSuffix(path, "/") {
		path += "*path"
	}
	a.served = append(a.served, fmt.Sprintf("ANY %s", route.Prefix))
	a.engine.Any(path, append(a.rawChain(spec), h)...)
}

func rawName(prefix string) string { return "raw:" + strings.Trim(prefix, "/") }
