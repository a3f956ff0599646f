// Command user-service runs the service alone.
package main

import (
	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/app"
	userservice "github.com/pyairtable/pyairtable/user-service"
)

func main() { app.Main(userapi.Service.Name, userservice.Wire) }
