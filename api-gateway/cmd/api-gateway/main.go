// Command api-gateway runs the API gateway.
package main

import (
	"os"
	"runtime/debug"

	"github.com/pyairtable/pyairtable/pkg/app"

	apigateway "github.com/pyairtable/pyairtable/api-gateway"
)

// A gateway's live heap is a few MiB; at the default of 100 it would be collected every
// few hundred requests.
const gcPercent = 200

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	app.Main("api-gateway", apigateway.Wire)
}
