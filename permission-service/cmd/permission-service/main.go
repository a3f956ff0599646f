// Command permission-service runs the service alone.
package main

import (
	permissionservice "github.com/pyairtable/pyairtable/permission-service"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/app"
)

func main() { app.Main(permissionapi.Service.Name, permissionservice.Wire) }
