// Command pyairtable runs PyAirtable on one machine: all services or any one.
package main

import (
	"os"

	"github.com/pyairtable/pyairtable/pyairtable"
	"github.com/pyairtable/pyairtable/pyairtable/internal/cli"
)

func main() {
	os.Exit(cli.Main(pyairtable.Services, os.Args[1:], os.Stdout, os.Stderr))
}
