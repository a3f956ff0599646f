package rpc

import (
	"encoding"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"github.com/pyairtable/pyairtable/pkg/api"
)

// request is an operation's input on the wire.
type request struct {
	target string // path and query
	header http.Header
	body   []byte
}

// encode lays in out by the rule of api.Op.
func encode(spec api.Spec, in any) (request, error) {
	r := request{target: spec.Path, header: http.Header{"Accept": {contentTypeOfJSON}}}
	v := reflect.ValueOf(in)
	switch {
	case api.IsEmpty(spec.In):
		return r, nil
	case !api.IsEnvelope(spec.In):
		return r, r.marshal(in)
	}
	query := url.Values{}
	for _, f := range reflect.VisibleFields(spec.In) {
		if f.Anonymous {
			continue
		}
		if err := r.put(f, v.FieldByIndex(f.Index), query); err != nil {
			return r, fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	if len(query) > 0 {
		r.target += "?" + query.Encode()
	}
	return r, nil
}

func (r *request) put(f reflect.StructField, v reflect.Value, query url.Values) error {
	if f.Name == "Body" {
		return r.marshal(v.Interface())
	}
	texts, err := texts(v)
	if err != nil {
		return err
	}
	if name, ok := f.Tag.Lookup("path"); ok {
		text := ""
		if len(texts) > 0 {
			text = texts[0]
		}
		r.target = strings.ReplaceAll(r.target, "{"+name+"}", url.PathEscape(text))
		return nil
	}
	if v.IsZero() {
		return nil
	}
	if name, ok := f.Tag.Lookup("header"); ok {
		r.header.Set(name, strings.Join(texts, ", "))
	}
	if name, ok := f.Tag.Lookup("query"); ok {
		name, _, explode := strings.Cut(name, ",explode")
		if !explode {
			texts = []string{strings.Join(texts, ",")}
		}
		query[name] = texts
	}
	return nil
}

func (r *request) marshal(v any) (err error) {
	r.body, err = json.Marshal(v)
	return err
}

// texts renders a parameter, a list as several.
func texts(v reflect.Value) ([]string, error) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil, nil
		}
		v = v.Elem()
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		b, err := m.MarshalText()
		return []string{string(b)}, err
	}
	if v.Kind() != reflect.Slice {
		return []string{fmt.Sprint(v.Interface())}, nil
	}
	var out []string
	for i := range v.Len() {
		one, err := texts(v.Index(i))
		if err != nil {
			return nil, err
		}
		out = append(out, one...)
	}
	return out, nil
}

// decode reads an answer into out by the rule of api.Op. Headers are read into
// strings only.
func decode(a answer, out any) error {
	v := reflect.ValueOf(out).Elem()
	switch {
	case api.IsEmpty(v.Type()):
		return nil
	case !api.IsEnvelope(v.Type()):
		return json.Unmarshal(a.body, out)
	}
	for _, f := range reflect.VisibleFields(v.Type()) {
		field := v.FieldByIndex(f.Index)
		if name, ok := f.Tag.Lookup("header"); ok && f.Type.Kind() == reflect.String {
			field.SetString(a.header.Get(name))
		}
		if f.Name == "Body" && len(a.body) > 0 {
			if err := json.Unmarshal(a.body, field.Addr().Interface()); err != nil {
				return err
			}
		}
	}
	return nil
}
