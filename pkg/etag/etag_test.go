package etag_test

import (
	"testing"

	"github.com/pyairtable/pyairtable/pkg/etag"
)

func TestRead_HoldsForTheTagsThatItNames(t *testing.T) {
	t.Parallel()
	for header, holds := range map[string]bool{
		"": true, "  ": true, "*": true, `"7"`: true, `"6", "7"`: true, `W/"x", *`: true,
		`"6"`: false, `W/"7"`: false, `7`: false, `"07"`: false, `"7`: false, `"x"`: false, ",": false,
	} {
		if got := etag.Read(header).Holds(7); got != holds {
			t.Errorf("%q: %t", header, got)
		}
	}
	if got := etag.Read(etag.Of(7)); !got.Holds(7) || got.Holds(8) {
		t.Errorf("%+v", got)
	}
}
