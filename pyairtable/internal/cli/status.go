package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyairtable/pyairtable/pyairtable/internal/demo"
	"github.com/pyairtable/pyairtable/pyairtable/internal/fleet"
)

// notRunning is status's exit code when nothing runs, as service managers have it.
const notRunning = exitCode(3)

func (c *cli) status() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show what is running, and whether it is ready", Args: cobra.NoArgs,
		Long: "Show what is running. The exit code is 0 if all is ready, 1 if not, 3 if nothing is running.",
		RunE: c.showStatus,
	}
}

func (c *cli) showStatus(cmd *cobra.Command, _ []string) error {
	dir, err := c.openDir()
	if err != nil {
		return err
	}
	pid, err := dir.Holder()
	if err != nil {
		return err
	}
	state, known, err := dir.ReadState()
	if err != nil {
		return err
	}
	if pid == 0 {
		if known {
			_, _ = fmt.Fprintf(c.out, "not running: process %d was killed; `pyairtable up` takes over its data\n", state.Pid)
		} else {
			_, _ = fmt.Fprintln(c.out, "not running: start it with `pyairtable up`")
		}
		return notRunning
	}
	_, _ = fmt.Fprintf(c.out, "running as process %d since %s\n", pid, state.StartedAt.Local().Format(time.DateTime))
	for _, server := range []string{state.Postgres, state.Redis} {
		if server != "" {
			_, _ = fmt.Fprintln(c.out, server)
		}
	}
	table := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	all := state.Ready
	for _, s := range state.Services {
		ready, answer := fleet.Ready(cmd.Context(), s.URL)
		word := "ready"
		if !ready {
			all, word = false, "NOT READY "+answer
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", s.Name, s.URL, word)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if !all {
		return exitCode(1)
	}
	var access *demo.Access
	if raw, err := os.ReadFile(dir.DemoFile()); err == nil {
		access = &demo.Access{}
		if json.Unmarshal(raw, access) != nil {
			access = nil
		}
	}
	printAccess(c.out, state.URL, access)
	return nil
}
