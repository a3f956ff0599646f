// Package cli is the command line of pyairtable.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/pyairtable/pyairtable/pkg/app"
	"github.com/pyairtable/pyairtable/pkg/localinfra"
	"github.com/pyairtable/pyairtable/pyairtable/internal/demo"
	"github.com/pyairtable/pyairtable/pyairtable/internal/rundir"
)

// cli is what every command works with.
type cli struct {
	services []app.Service
	dir      string
	envFile  string
	out      io.Writer // for results
	err      io.Writer // for what happens meanwhile
}

// Main runs the command line args and returns the exit code: 0, or 1 after an error,
// which it prints with what to do about it, or 3 if status finds nothing running.
func Main(services []app.Service, args []string, stdout, stderr io.Writer) int {
	c := &cli{services: services, out: stdout, err: stderr}
	root := c.command()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	// The first signal ends the context; from then on a signal kills.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	err := root.ExecuteContext(ctx)
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	printError(stderr, err)
	return 1
}

// exitCode ends the program with a code, everything having been said.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit %d", int(e)) }

func (c *cli) command() *cobra.Command {
	root := &cobra.Command{
		Use:           "pyairtable",
		Short:         "Run PyAirtable on this machine",
		SilenceErrors: true, SilenceUsage: true,
	}
	root.PersistentFlags().StringVar(&c.dir, "dir", ".run", "directory of the instance: data, secrets, logs")
	root.PersistentFlags().StringVar(&c.envFile, "env-file", ".env", "variables of the services, beside the environment's; may be absent")
	root.AddCommand(c.up(), c.down(), c.status(), c.logs(), c.reset(), c.doctor(), c.run())
	return root
}

func (c *cli) openDir() (rundir.Dir, error) { return rundir.Open(c.dir) }

func (c *cli) say(sentence string) { _, _ = fmt.Fprintln(c.err, sentence) }

// printError prints each of the joined errors, and what a person can do about it.
func printError(w io.Writer, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			printError(w, e)
		}
		return
	}
	var p *localinfra.Problem
	if !errors.As(err, &p) {
		_, _ = fmt.Fprintln(w, "error:", err)
		return
	}
	what := p.What
	if p.Err != nil {
		what += " (" + p.Err.Error() + ")"
	}
	_, _ = fmt.Fprintf(w, "error: %s\n  to do: %s\n", what, p.Do)
}

// printAccess prints how to use the instance.
func printAccess(w io.Writer, url string, access *demo.Access) {
	_, _ = fmt.Fprintf(w, "\n  PyAirtable  %s\n  API         %s/docs\n", url, url)
	if access == nil {
		_, _ = fmt.Fprintln(w)
		return
	}
	_, _ = fmt.Fprintf(w, `  sign-in     %s / %s
  token       %s

  The demo base holds %d records. The first three, by the Airtable API:

    curl -H 'Authorization: Bearer %s' '%s'

`, access.Email, access.Password, access.Token, access.Records, access.Token, access.FirstRequest(url))
}
