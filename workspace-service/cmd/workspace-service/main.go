// Command workspace-service runs the service alone.
package main

import (
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/app"
	workspaceservice "github.com/pyairtable/pyairtable/workspace-service"
)

func main() { app.Main(workspaceapi.Service.Name, workspaceservice.Wire) }
