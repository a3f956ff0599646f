// Package catalog is the list of the services: what runs where, owns which
// database and calls whom. Ports, databases, compose files and the gateway's
// routes follow it.
package catalog

import (
	"slices"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/auditapi"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
)

// Auth is the service that every other one needs: it signs the tokens.
const Auth = "auth-service"

// Gateway is the only service that clients see. It offers no operations of its
// own and has no database.
var Gateway = api.Service{Name: "api-gateway", Title: "API gateway", Port: 8080, Phase: 1, Needs: []string{Auth}}

// Services are all of them, in the order of their ports.
var Services = []api.Service{
	Gateway,
	authapi.Service,
	userapi.Service,
	airtableapi.Service,
	tenantapi.Service,
	workspaceapi.Service,
	permissionapi.Service,
	auditapi.Service,
}

// Streams are those that any service's events travel on, each once.
func Streams() []string {
	var all []string
	for _, s := range Services {
		all = append(all, s.Streams...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Find returns the service with that name.
func Find(name string) (api.Service, bool) {
	for _, s := range Services {
		if s.Name == name {
			return s, true
		}
	}
	return api.Service{}, false
}

// Ports are the services' default ports, by name.
func Ports() map[string]int {
	ports := make(map[string]int, len(Services))
	for _, s := range Services {
		ports[s.Name] = s.Port
	}
	return ports
}
