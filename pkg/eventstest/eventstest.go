// Package eventstest holds events to their samples: what other services, of
// another version maybe, read.
package eventstest

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// Sample checks that the type's data reads from text, knowing every member, and
// renders as text again.
func Sample[D any](t *testing.T, kind events.Type[D], text string) {
	t.Helper()
	var d D
	strict := json.NewDecoder(strings.NewReader(text))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&d); err != nil {
		t.Fatal(kind.Name, err)
	}
	e := kind.New(t.Context(), id.New[id.Tenant](), "u", 1, d)
	if string(e.Data) != text {
		t.Errorf("%s renders %s, the sample is %s", kind.Name, e.Data, text)
	}
	back, err := kind.Decode(e)
	if diff := cmp.Diff(d, back); err != nil || diff != "" {
		t.Error(kind.Name, err, diff)
	}
}
