package v0

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Member is a member of a JSON object, its value as it stands there.
type Member struct {
	Name  string
	Value json.RawMessage
}

var errNotObject = errors.New("not one JSON object with distinct names")

// Members takes a JSON object apart without changing a byte of its values. An
// object that names a member twice is refused: readers differ about what it says.
func Members(object []byte) ([]Member, error) {
	dec := json.NewDecoder(bytes.NewReader(object))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errNotObject
	}
	var out []Member
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok || seen[name] {
			return nil, errNotObject
		}
		seen[name] = true
		m := Member{Name: name}
		if err := dec.Decode(&m.Value); err != nil {
			return nil, fmt.Errorf("%w: %w", errNotObject, err)
		}
		out = append(out, m)
	}
	if _, err := dec.Token(); err != nil {
		return nil, errNotObject
	}
	if dec.More() { // something follows
		return nil, errNotObject
	}
	return out, nil
}

// Object writes the object that the members make up.
func Object(members ...Member) json.RawMessage {
	b := []byte{'{'}
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		name, _ := json.Marshal(m.Name) // a string always has a JSON form
		b = append(append(append(b, name...), ':'), m.Value...)
	}
	return append(b, '}')
}

// List writes the list of the values.
func List(values []json.RawMessage) json.RawMessage {
	b := []byte{'['}
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, v...)
	}
	return append(b, ']')
}
