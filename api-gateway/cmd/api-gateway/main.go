// Command api-gateway runs the API gateway.
package main

import (
	"github.com/pyairtable/pyairtable/pkg/app"

	apigateway "github.com/pyairtable/pyairtable/api-gateway"
)

func main() { app.Main("api-gateway", apigateway.Wire) }
