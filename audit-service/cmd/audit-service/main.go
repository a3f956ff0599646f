// Command audit-service runs the service alone.
package main

import (
	auditservice "github.com/pyairtable/pyairtable/audit-service"
	"github.com/pyairtable/pyairtable/pkg/api/auditapi"
	"github.com/pyairtable/pyairtable/pkg/app"
)

func main() { app.Main(auditapi.Service.Name, auditservice.Wire) }
