package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyairtable/pyairtable/pkg/localinfra"
	"github.com/pyairtable/pyairtable/pyairtable/internal/rundir"
)

// downLimit is longer than the services and servers may take to stop.
const downLimit = 2 * time.Minute

func (c *cli) down() *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "Stop everything; the data stays", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.stop(cmd.Context()) },
	}
}

// stop stops the running instance, or what a killed one has left.
func (c *cli) stop(ctx context.Context) error {
	dir, err := c.openDir()
	if err != nil {
		return err
	}
	pid, err := dir.Holder()
	if err != nil {
		return err
	}
	if pid == 0 {
		c.say("nothing is running")
		return c.sweep(ctx, dir)
	}
	c.say(fmt.Sprintf("stopping process %d", pid))
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return &localinfra.Problem{What: fmt.Sprintf("process %d cannot be stopped by this user", pid), Do: "run this as the user who started it", Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, downLimit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		holder, err := dir.Holder()
		if err != nil {
			return err
		}
		if holder != pid {
			c.say("stopped")
			return nil
		}
		select {
		case <-ctx.Done():
			return &localinfra.Problem{What: fmt.Sprintf("process %d does not stop", pid), Do: fmt.Sprintf("see `pyairtable logs`, then kill -9 %d: nothing that was acknowledged is lost", pid)}
		case <-tick.C:
		}
	}
}

// sweep stops servers that outlived a killed instance, and forgets that instance.
func (c *cli) sweep(ctx context.Context, dir rundir.Dir) error {
	lock, err := dir.Lock()
	if err != nil {
		return err
	}
	return errors.Join(localinfra.StopLeftovers(ctx, dir.Path, c.say), dir.RemoveState(), lock.Unlock())
}

func (c *cli) reset() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "reset", Short: "Remove all data and secrets", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := c.openDir()
			if err != nil {
				return err
			}
			if !yes && !confirmed(cmd, "This removes all data, secrets and logs in "+dir.Path+". Type reset to go on: ") {
				return errors.New("nothing was removed")
			}
			return c.remove(cmd.Context(), dir)
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func confirmed(cmd *cobra.Command, question string) bool {
	_, _ = fmt.Fprint(cmd.ErrOrStderr(), question)
	answer, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	return strings.TrimSpace(answer) == "reset"
}

// remove removes what pyairtable has made in the directory, and nothing else that
// somebody may keep there.
func (c *cli) remove(ctx context.Context, dir rundir.Dir) error {
	lock, err := dir.Lock()
	if err != nil {
		return err
	}
	defer func() { _ = lock.Unlock() }()
	if err := localinfra.StopLeftovers(ctx, dir.Path, c.say); err != nil {
		return err
	}
	errs := []error{localinfra.RemoveData(dir.Path)}
	for _, name := range []string{"log", "state.json", "secrets.env", "demo.json", "lock"} {
		errs = append(errs, os.RemoveAll(filepath.Join(dir.Path, name)))
	}
	if err := errors.Join(errs...); err != nil {
		return localinfra.FileProblem(dir.Path, err)
	}
	_ = os.Remove(dir.Path) // stays if something else is in it
	c.say("removed; `pyairtable up` starts anew")
	return nil
}
