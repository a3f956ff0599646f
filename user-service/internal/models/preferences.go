package models

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"unicode/utf8"
)

// Limits of the preferences.
const (
	maxPreferences = 16 << 10 // bytes of JSON
	maxDepth       = 8        // levels, that of the preferences themselves included
)

// Preferences are a client's own: any JSON, by key. Values are kept as they were
// sent, so that no number loses digits.
type Preferences map[string]json.RawMessage

// Check returns why p cannot be stored, or nil.
func (p Preferences) Check() error {
	b, err := json.Marshal(p)
	if err != nil {
		return errors.New("is not valid JSON")
	}
	if !utf8.Valid(b) {
		return errors.New("is not valid UTF-8")
	}
	if len(b) > maxPreferences {
		return fmt.Errorf("has %d bytes, and may have %d", len(b), maxPreferences)
	}
	depth := 0
	for d := json.NewDecoder(bytes.NewReader(b)); ; {
		d.UseNumber()
		token, err := d.Token()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return errors.New("is not valid JSON")
		case token == json.Delim('{') || token == json.Delim('['):
			depth++
		case token == json.Delim('}') || token == json.Delim(']'):
			depth--
		}
		if depth > maxDepth {
			return fmt.Errorf("has more than %d levels", maxDepth)
		}
	}
}

// Merge applies a JSON merge patch (RFC 7396) and returns the result; p is left
// as it is. What it is given has passed Check.
func (p Preferences) Merge(patch Preferences) Preferences {
	out := Preferences{}
	maps.Copy(out, p)
	for k, v := range patch {
		if isNull(v) {
			delete(out, k)
			continue
		}
		out[k] = merge(out[k], v)
	}
	return out
}

func merge(old, patch json.RawMessage) json.RawMessage {
	var change Preferences
	if json.Unmarshal(patch, &change) != nil {
		return patch // not an object: it replaces
	}
	var base Preferences
	_ = json.Unmarshal(old, &base) // not an object: it is replaced
	b, err := json.Marshal(base.Merge(change))
	if err != nil {
		return patch // cannot be: both were valid JSON
	}
	return b
}

// Canonical returns p in the one way to write it, so that equal values are equal
// bytes.
func (p Preferences) Canonical() Preferences {
	b, err := json.Marshal(p)
	out := Preferences{}
	if err != nil || json.Unmarshal(b, &out) != nil {
		return p // cannot be: p has passed Check
	}
	return out
}

func isNull(v json.RawMessage) bool { return string(bytes.TrimSpace(v)) == "null" }
