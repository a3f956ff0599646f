package cli

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
)

func (c *cli) logs() *cobra.Command {
	var follow bool
	var lines int
	cmd := &cobra.Command{
		Use: "logs [service...]", Short: "Show the logs of services, of postgres, redis and pyairtable itself",
		ValidArgs: c.logNames(),
		RunE: func(cmd *cobra.Command, names []string) error {
			for _, name := range names {
				if !slices.Contains(c.logNames(), name) {
					return fmt.Errorf("no log is called %s; there are %v", name, c.logNames())
				}
			}
			if len(names) == 0 {
				names = c.logNames()
			}
			return c.showLogs(cmd.Context(), names, lines, follow)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on showing what is added")
	cmd.Flags().IntVarP(&lines, "lines", "n", 20, "how many of the last lines of each log")
	return cmd
}

func (c *cli) logNames() []string {
	names := []string{"pyairtable", "postgres", "redis"}
	for _, s := range c.services {
		names = append(names, s.Name)
	}
	return names
}

func (c *cli) showLogs(ctx context.Context, names []string, lines int, follow bool) error {
	dir, err := c.openDir()
	if err != nil {
		return err
	}
	var tails []*logTail
	for _, name := range names {
		t := &logTail{path: dir.Log(name)}
		if len(names) > 1 {
			t.prefix = name + "  "
		}
		if err := t.last(c.out, lines); err != nil {
			return err
		}
		tails = append(tails, t)
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for follow {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, t := range tails {
			if err := t.more(c.out); err != nil {
				return err
			}
		}
	}
	return nil
}

// logTail reads a log that grows and is put aside now and then.
type logTail struct {
	path, prefix string
	offset       int64
}

// last prints the last n lines of at most the last MiB.
func (t *logTail) last(w io.Writer, n int) error {
	if info, err := os.Stat(t.path); err == nil {
		t.offset = max(0, info.Size()-1<<20)
	}
	var all [][]byte
	err := t.read(func(line []byte) error { all = append(all, line); return nil })
	for _, line := range all[max(0, len(all)-n):] {
		if _, err := fmt.Fprintf(w, "%s%s\n", t.prefix, line); err != nil {
			return err
		}
	}
	return err
}

// more prints the whole lines that were added.
func (t *logTail) more(w io.Writer) error {
	if info, err := os.Stat(t.path); err == nil && info.Size() < t.offset {
		t.offset = 0 // a new file has this name now
	}
	return t.read(func(line []byte) error {
		_, err := fmt.Fprintf(w, "%s%s\n", t.prefix, line)
		return err
	})
}

// read gives each whole line from the offset on to fn, and moves the offset behind it.
func (t *logTail) read(fn func(line []byte) error) error {
	f, err := os.Open(t.path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Seek(t.offset, io.SeekStart); err != nil {
		return err
	}
	r := bufio.NewReader(f)
	for {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		t.offset += int64(len(line))
		if err := fn(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			return err
		}
	}
}
