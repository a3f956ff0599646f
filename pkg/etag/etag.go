// Package etag makes the entity tags of things that count their versions, and reads the
// conditions of requests on them.
package etag

import (
	"slices"
	"strconv"
	"strings"
)

// Of is the entity tag of a version.
func Of(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// Match is an If-Match condition; the zero value always holds.
type Match struct {
	Given    bool
	Any      bool
	Versions []int64
}

// Read reads the header If-Match (RFC 9110, section 13.1.1). A weak tag, or one that is
// none of ours, matches nothing.
func Read(header string) Match {
	m := Match{Given: strings.TrimSpace(header) != ""}
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" {
			m.Any = true
		}
		if v, err := strconv.ParseInt(strings.Trim(tag, `"`), 10, 64); err == nil && tag == Of(v) {
			m.Versions = append(m.Versions, v)
		}
	}
	return m
}

// Holds reports whether what is at that version may be changed.
func (m Match) Holds(version int64) bool {
	return !m.Given || m.Any || slices.Contains(m.Versions, version)
}
