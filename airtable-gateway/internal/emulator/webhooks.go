package emulator

import (
	"encoding/base64"

	"github.com/pyairtable/pyairtable/pkg/egress"
	"github.com/pyairtable/pyairtable/pkg/seal"
)

// Box seals what an emulator keeps: with a key that everybody knows, so that one that
// is started again on the same database can ping the webhooks of the one before.
func Box() *seal.Box {
	box, err := seal.New("emulator:" + base64.StdEncoding.EncodeToString(make([]byte, 32)))
	if err != nil {
		panic(err)
	}
	return box
}

// Everywhere lets webhooks be pinged on this machine too, where tests listen.
func Everywhere() egress.Guard {
	guard, err := egress.Parse("0.0.0.0/0, ::/0")
	if err != nil {
		panic(err)
	}
	return guard
}
