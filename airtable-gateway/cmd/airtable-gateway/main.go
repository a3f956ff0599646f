// Command airtable-gateway runs the service alone.
package main

import (
	airtablegateway "github.com/pyairtable/pyairtable/airtable-gateway"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/app"
)

func main() { app.Main(airtableapi.Service.Name, airtablegateway.Wire) }
