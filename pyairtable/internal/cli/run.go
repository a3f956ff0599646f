package cli

import (
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/pyairtable/pyairtable/pkg/app"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pyairtable/internal/rundir"
)

func (c *cli) run() *cobra.Command {
	var names []string
	for _, s := range c.services {
		names = append(names, s.Name)
	}
	return &cobra.Command{
		Use: "run service", Short: "Run one service alone, as its own program would",
		Long: `Run one service alone, as its own program would.

It is configured by the environment and .env; what these leave open it takes from the
instance that runs in --dir, if there is one.`,
		Args: cobra.ExactArgs(1), ValidArgs: names,
		RunE: func(cmd *cobra.Command, args []string) error {
			at := slices.IndexFunc(c.services, func(s app.Service) bool { return s.Name == args[0] })
			if at < 0 {
				return fmt.Errorf("no service is called %s; there are %v", args[0], names)
			}
			env, err := c.environment(args[0])
			if err != nil {
				return err
			}
			return c.services[at].Run(cmd.Context(), app.Options{Env: env, DotEnv: c.envFile, Log: io.Writer(os.Stdout)})
		},
	}
}

// environment is the process's, and below it what the running instance gives its
// services.
func (c *cli) environment(service string) (config.Source, error) {
	if _, err := os.Stat(c.dir); err != nil {
		return config.Environ(), nil
	}
	dir := rundir.Dir{Path: c.dir}
	state, known, err := dir.ReadState()
	if err != nil {
		return nil, err
	}
	if pid, err := dir.Holder(); err != nil || pid == 0 || !known {
		return config.Environ(), err
	}
	vars := state.Shared
	for _, s := range state.Services {
		if s.Name == service {
			for key, value := range s.Vars {
				vars[key] = value
			}
		}
	}
	environ := config.Environ()
	return func(key string) (string, bool) {
		if value, ok := environ(key); ok {
			return value, true
		}
		value, ok := vars[key]
		return value, ok
	}, nil
}
