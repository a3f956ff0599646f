// Command auth-service runs auth-service by itself.
package main

import (
	authservice "github.com/pyairtable/pyairtable/auth-service"
	"github.com/pyairtable/pyairtable/pkg/app"
	"github.com/pyairtable/pyairtable/pkg/catalog"
)

func main() { app.Main(catalog.Auth, authservice.Wire) }
