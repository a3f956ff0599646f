// Package pyairtable is the list of the services that the one binary runs.
package pyairtable

import (
	airtablegateway "github.com/pyairtable/pyairtable/airtable-gateway"
	apigateway "github.com/pyairtable/pyairtable/api-gateway"
	auditservice "github.com/pyairtable/pyairtable/audit-service"
	authservice "github.com/pyairtable/pyairtable/auth-service"
	permissionservice "github.com/pyairtable/pyairtable/permission-service"
	"github.com/pyairtable/pyairtable/pkg/app"
	tenantservice "github.com/pyairtable/pyairtable/tenant-service"
	userservice "github.com/pyairtable/pyairtable/user-service"
	workspaceservice "github.com/pyairtable/pyairtable/workspace-service"
)

// Services are all of them, a line each, in the order of the catalog.
var Services = []app.Service{
	apigateway.Service,
	authservice.Service,
	userservice.Service,
	airtablegateway.Service,
	tenantservice.Service,
	workspaceservice.Service,
	permissionservice.Service,
	auditservice.Service,
}
