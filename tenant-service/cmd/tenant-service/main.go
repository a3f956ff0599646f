// Command tenant-service runs the service alone.
package main

import (
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/app"
	tenantservice "github.com/pyairtable/pyairtable/tenant-service"
)

func main() { app.Main(tenantapi.Service.Name, tenantservice.Wire) }
