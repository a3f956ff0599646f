package api

import "reflect"

// IsEnvelope reports whether t carries parameters or a Body field, rather than
// being the JSON body itself.
func IsEnvelope(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for f := range fields(t) {
		if f.Name == "Body" || IsParameter(f) {
			return true
		}
	}
	return false
}

// IsEmpty reports whether t is struct{}: no body and no parameters.
func IsEmpty(t reflect.Type) bool { return t.Kind() == reflect.Struct && t.NumField() == 0 }

// IsParameter reports whether f is bound to the path, the query or a header.
func IsParameter(f reflect.StructField) bool {
	for _, tag := range []string{"path", "query", "header"} {
		if _, ok := f.Tag.Lookup(tag); ok {
			return true
		}
	}
	return false
}

// fields yields t's fields, those of embedded structs in the place of the
// embedding.
func fields(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for _, f := range reflect.VisibleFields(t) {
			if !f.Anonymous && !yield(f) {
				return
			}
		}
	}
}
