package apidocs

import (
	"reflect"
	"strings"

	"github.com/pyairtable/pyairtable/pkg/api"
)

// Source is one service's OpenAPI document.
type Source struct {
	Service api.Service
	Doc     map[string]any
}

const schemaRef = "#/components/schemas/"

// Merge makes one OpenAPI 3.1 document of the services' own. It leaves out what the
// gateway does not route. A schema whose name another service uses for something else is
// renamed; equal ones are kept once.
func Merge(sources []Source) map[string]any {
	paths, schemas, tags := map[string]any{}, map[string]any{}, []any{}
	for _, src := range sources {
		renamed := addSchemas(schemas, src)
		addPaths(paths, src, renamed)
		addRaw(paths, src.Service)
		tags = append(tags, tagsOf(src.Service)...)
	}
	return map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{
			"title": "PyAirtable", "version": "1.0.0",
			"description": "Sign in at /api/v1/auth/login, or use a personal access token: both go into the Authorization header. " +
				"Below /v0 the API is Airtable's: point an Airtable client at this address.",
		},
		"servers": []any{map[string]any{"url": "/"}},
		"paths":   paths,
		"tags":    tags,
		"components": map[string]any{
			"schemas": schemas,
			"securitySchemes": map[string]any{"bearer": map[string]any{
				"type": "http", "scheme": "bearer", "description": "An access token, or a personal access token.",
			}},
		},
	}
}

// addSchemas returns the new names of the schemas that had to be renamed.
func addSchemas(into map[string]any, src Source) map[string]string {
	own := object(object(src.Doc, "components"), "schemas")
	renamed := map[string]string{}
	for name, schema := range own {
		if other, taken := into[name]; taken && !reflect.DeepEqual(other, schema) {
			renamed[name] = camel(src.Service.Name) + name
		}
	}
	// A schema that refers to a renamed one is another one too.
	for again := true; again; {
		again = false
		for name, schema := range own {
			if _, done := renamed[name]; !done && refersTo(schema, renamed) {
				if _, taken := into[name]; taken {
					renamed[name], again = camel(src.Service.Name)+name, true
				}
			}
		}
	}
	for name, schema := range own {
		if to, ok := renamed[name]; ok {
			name = to
		}
		into[name] = rewritten(schema, renamed)
	}
	return renamed
}

func addPaths(into map[string]any, src Source, renamed map[string]string) {
	offered := map[string]api.Spec{}
	for _, op := range src.Service.Ops {
		if op.Access.Routed() {
			offered[op.Method+" "+op.Path] = op
		}
	}
	for path, item := range object(src.Doc, "paths") {
		for method, op := range asObject(item) {
			if _, ok := offered[strings.ToUpper(method)+" "+path]; !ok {
				continue
			}
			operation := asObject(rewritten(op, renamed))
			operation["tags"] = []any{src.Service.Title}
			target, _ := into[path].(map[string]any)
			if target == nil {
				target = map[string]any{}
				into[path] = target
			}
			target[method] = operation
		}
	}
}

// addRaw mentions the prefixes that no operation describes.
func addRaw(into map[string]any, s api.Service) {
	for _, raw := range s.Raw {
		if !raw.Access.Routed() {
			continue
		}
		path := raw.Prefix
		if strings.HasSuffix(path, "/") {
			path += "{path}"
		}
		security := []any{map[string]any{"bearer": []any{}}}
		if raw.Access == api.Public { // a token may be wanted; the service decides
			security = append(security, map[string]any{})
		}
		item := map[string]any{}
		for _, method := range []string{"get", "post", "patch", "put", "delete"} {
			op := map[string]any{
				"summary": raw.Summary, "tags": []any{s.Title}, "security": security,
				"operationId": method + camel(strings.NewReplacer("/", "-", ".", "-").Replace(strings.Trim(raw.Prefix, "/"))),
				"parameters": []any{map[string]any{
					"name": "path", "in": "path", "required": true, "schema": map[string]any{"type": "string"},
					"description": "Everything below " + raw.Prefix + ", for example meta/bases",
				}},
				"responses": map[string]any{"200": map[string]any{"description": "As the original API answers."}},
			}
			if !strings.HasSuffix(raw.Prefix, "/") {
				delete(op, "parameters")
			}
			if method != "get" && method != "delete" {
				op["requestBody"] = map[string]any{"content": map[string]any{"application/json": map[string]any{"schema": map[string]any{}}}}
			}
			item[method] = op
		}
		into[path] = item
	}
}

func tagsOf(s api.Service) []any { return []any{map[string]any{"name": s.Title}} }

func object(m map[string]any, key string) map[string]any { return asObject(m[key]) }

func asObject(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// rewritten copies v with references to renamed schemas changed.
func rewritten(v any, renamed map[string]string) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			if ref, ok := x.(string); ok && (k == "$ref" || strings.HasPrefix(ref, schemaRef)) {
				x = newRef(ref, renamed)
			}
			out[k] = rewritten(x, renamed)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = rewritten(x, renamed)
		}
		return out
	}
	return v
}

func newRef(ref string, renamed map[string]string) string {
	if name, ok := strings.CutPrefix(ref, schemaRef); ok {
		if to, ok := renamed[name]; ok {
			return schemaRef + to
		}
	}
	return ref
}

func refersTo(v any, renamed map[string]string) bool {
	switch v := v.(type) {
	case map[string]any:
		for _, x := range v {
			if ref, ok := x.(string); ok && newRef(ref, renamed) != ref {
				return true
			}
			if refersTo(x, renamed) {
				return true
			}
		}
	case []any:
		for _, x := range v {
			if refersTo(x, renamed) {
				return true
			}
		}
	}
	return false
}

// camel makes UserService of user-service.
func camel(s string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(s, "-") {
		if part != "" {
			b.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return b.String()
}
