// Command bench measures what the gateway makes of Airtable's limit of 5 requests a
// second, and checks it against the targets:
//
//	make bench-airtable
//
// It builds the programs, starts a private PostgreSQL and Redis, the emulator with
// Airtable's limits, and every service in a process of its own, and asks through the API
// gateway. Everything that it starts, it stops. It takes some five minutes, wants two
// cores for itself, and exits with 1 if a target is missed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// setting is what the flags say.
type setting struct {
	top, python string
	only        string
	records     int
	callers     int
	reads       int
	slice       time.Duration
	mixed       time.Duration
}

func main() {
	var s setting
	flag.StringVar(&s.top, "top", ".", "the repository's `directory`")
	flag.StringVar(&s.python, "python", "pyairtable/e2e/clients/.venv/bin/python", "a Python with pyairtable, relative to -top")
	flag.StringVar(&s.only, "only", "writes,reads,mixed,kill", "the `parts` to run")
	flag.IntVar(&s.records, "records", 1_000, "single-record creates of parts writes and kill")
	flag.IntVar(&s.callers, "callers", 50, "callers that create")
	flag.IntVar(&s.reads, "reads", 10_000, "list and get requests of part reads")
	flag.DurationVar(&s.slice, "slice", time.Minute, "how long the emulator is asked directly")
	flag.DurationVar(&s.mixed, "mixed", 75*time.Second, "how long part mixed takes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r := &report{}
	if err := s.run(ctx, r); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	if !r.verdict() {
		os.Exit(1)
	}
}

func (s setting) run(ctx context.Context, r *report) (err error) {
	w, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	for _, part := range []struct {
		name string
		run  func(context.Context, *world, *report) error
	}{{"writes", s.writes}, {"reads", s.readings}, {"mixed", s.mix}, {"kill", s.kill}} {
		if !slices.Contains(strings.Split(s.only, ","), part.name) {
			continue
		}
		if err := part.run(ctx, w, r); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// report is what was found, and whether the targets were met.
type report struct {
	checks []check
}

type check struct {
	what, target, measured string
	met                    bool
}

// atLeast, atMost and none note a figure beside its target.
func (r *report) atLeast(what string, measured, target float64) {
	r.checks = append(r.checks, check{what, fmt.Sprintf(">= %.4g", target), fmt.Sprintf("%.4g", measured), measured >= target})
}

func (r *report) atMost(what string, measured, target int) {
	r.checks = append(r.checks, check{what, fmt.Sprintf("<= %d", target), fmt.Sprint(measured), measured <= target})
}

// verdict prints the checks and returns whether every target was met.
func (r *report) verdict() bool {
	fmt.Println("\n== Targets")
	met := true
	rows := [][]string{{"figure", "target", "measured", ""}}
	for _, c := range r.checks {
		mark := "met"
		if !c.met {
			mark, met = "MISSED", false
		}
		rows = append(rows, []string{c.what, c.target, c.measured, mark})
	}
	table(rows)
	return met
}

// table prints rows under each other, the first as the head.
func table(rows [][]string) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	for i, row := range rows {
		_, _ = fmt.Fprintln(w, "| "+strings.Join(row, "\t| ")+"\t|")
		if i == 0 {
			_, _ = fmt.Fprintln(w, strings.Repeat("| ---\t", len(row))+"|")
		}
	}
	_ = w.Flush()
}
