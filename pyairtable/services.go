// Package pyairtable is the list of the services that the one binary runs.
package pyairtable

import (
	airtablegateway "github.com/pyairtable/pyairtable/airtable-gateway"
	apigateway "github.com/pyairtable/pyairtable/api-gateway"
	authservice "github.com/pyairtable/pyairtable/auth-service"
	"github.com/pyairtable/pyairtable/pkg/app"
	userservice "github.com/pyairtable/pyairtable/user-service"
)

// Services are all of them, a line each, in the order of the catalog.
var Services = []app.Service{
	apigateway.Service,
	authservice.Service,
	userservice.Service,
	airtablegateway.Service,
}
