package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// limit is Airtable's: requests a second for a base.
const limit = 5

// creation is what creates.py prints.
type creation struct {
	Created   map[string]string `json:"created"` // id by name
	Errors    map[string]int    `json:"errors"`
	Elapsed   float64           `json:"elapsed"`
	UntilLast float64           `json:"until_last"`
	Median    float64           `json:"median"`
	Slowest   float64           `json:"slowest"`
}

func (c creation) errors() (n int) {
	for _, times := range c.Errors {
		n += times
	}
	return n
}

// create runs creates.py with the flags.
func (s setting) create(ctx context.Context, url, token, base string, flags ...string) (c creation, err error) {
	python := s.python
	if !filepath.IsAbs(python) {
		python = filepath.Join(s.top, python)
	}
	args := append([]string{filepath.Join(s.top, "airtable-gateway/bench/creates.py"), "--url", url, "--token", token,
		"--base", base, "--table", tableName, "--callers", fmt.Sprint(s.callers), "--records", fmt.Sprint(s.records)}, flags...)
	cmd := exec.CommandContext(ctx, python, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return c, fmt.Errorf("creates.py (make clients installs what it needs): %w", err)
	}
	return c, json.Unmarshal(out, &c)
}

// writes: the same program at Airtable and through the gateway.
func (s setting) writes(ctx context.Context, w *world, r *report) error {
	say("writes: %d callers create at the emulator for %s", s.callers, s.slice)
	direct, err := s.create(ctx, w.airtable, w.account, directBase, "--seconds", fmt.Sprint(s.slice.Seconds()), "--records", "1000000")
	if err != nil {
		return err
	}
	say("writes: %d callers create %d records through the gateway", s.callers, s.records)
	through, err := s.create(ctx, w.gateway, w.token, writeBase, "--seconds", "600")
	if err != nil {
		return err
	}
	figures, err := w.stats(ctx)
	if err != nil {
		return err
	}
	// A slice that ends in a lock-out counts as a whole: the program waits in it.
	before := float64(len(direct.Created)) / direct.Elapsed
	after := float64(len(through.Created)) / through.UntilLast
	fmt.Printf("\n== %d callers create records one by one, pyairtable with its own retries\n", s.callers)
	row := func(name string, c creation, perSecond float64) []string {
		return []string{name, fmt.Sprint(len(c.Created)), fmt.Sprintf("%.1f", c.Elapsed), fmt.Sprintf("%.2f", perSecond),
			fmt.Sprint(c.errors()), told(c.Errors), fmt.Sprintf("%.2f", c.Median), fmt.Sprintf("%.2f", c.Slowest)}
	}
	table([][]string{{"", "created", "s", "records/s", "errors", "told", "median s", "slowest s"},
		row("at the emulator", direct, before), row("through the gateway", through, after)})
	r.atLeast("creates: times the records/s of the same program at Airtable", after/math.Max(before, 1e-9), 9)
	r.atLeast(fmt.Sprintf("creates: times the %d records/s of a program that never exceeds the limit", limit), after/limit, 9)
	r.atMost("creates: errors seen by a caller", through.errors(), 0)
	r.atMost("creates: requests in the busiest second at Airtable", figures.Busiest[writeBase], limit)
	r.atLeast("creates: records", float64(len(through.Created)), float64(s.records))
	return nil
}

func told(errors map[string]int) string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(errors)) {
		parts = append(parts, fmt.Sprintf("%d x %s", errors[kind], kind))
	}
	return strings.Join(parts, ", ")
}

const (
	connections = 32
	// readTime is when reads are stopped, however few were answered.
	readTime = 30 * time.Second
)

// readings: many reads of few things.
func (s setting) readings(ctx context.Context, w *world, r *report) error {
	paths := queries(readBase)
	before, err := w.stats(ctx)
	if err != nil {
		return err
	}
	say("reads: %d queries, once each", len(paths))
	cold := read(ctx, w.gateway, w.token, paths, connections, len(paths), 0)
	if err := pause(ctx, 2*time.Second); err != nil { // what the gateway asked for is out of the emulator's window
		return err
	}
	say("reads: the answers are compared with the emulator's")
	if err := same(ctx, paths, w.gateway, w.token, w.airtable, w.account); err != nil {
		return err
	}
	if err := pause(ctx, 2*time.Second); err != nil {
		return err
	}
	say("reads: %d", s.reads)
	bounded, stop := context.WithTimeout(ctx, readTime)
	defer stop()
	warm := read(bounded, w.gateway, w.token, paths, connections, s.reads, 0)
	after, err := w.stats(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("\n== list and get requests over %d queries, %d connections\n", len(paths), connections)
	rows := [][]string{{"", "requests", "s", "requests/s", "p50 ms", "p99 ms", "errors", "X-Cache"}}
	for _, l := range []struct {
		name string
		load
	}{{"once each", cold}, {"then", warm}} {
		rows = append(rows, []string{l.name, fmt.Sprint(len(l.took)), fmt.Sprintf("%.2f", l.elapsed.Seconds()), fmt.Sprintf("%.0f", l.perSecond()),
			ms(l.quantile(.5)), ms(l.quantile(.99)), fmt.Sprint(l.errors()), fmt.Sprint(l.cached)})
	}
	table(rows)
	fmt.Printf("requests at the emulator: %d, the %d of the comparison left out\n", after.Requests-before.Requests-len(paths), len(paths))
	r.atLeast(fmt.Sprintf("reads: times the %d requests/s of Airtable's limit", limit), warm.perSecond()/limit, 1_000)
	r.atMost("reads: errors seen by a caller", cold.errors()+warm.errors(), 0)
	r.atMost("reads: requests in the busiest second at Airtable", after.Busiest[readBase], limit)
	return nil
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()*1000) }

var itrID = regexp.MustCompile(`"offset":"[^"]*"`)

// normal is an answer without its offset, which is another each time.
func normal(body []byte) string { return itrID.ReplaceAllString(string(body), `"offset":"…"`) }

// mix: creates and reads of one base through the gateway while another program spends
// requests of the same base at Airtable itself.
func (s setting) mix(ctx context.Context, w *world, r *report) error {
	const outsiders = 2 // requests a second
	say("mixed: creates and reads through the gateway for %s, and %d requests/s beside it", s.mixed, outsiders)
	ctx, stop := context.WithTimeout(ctx, s.mixed+2*time.Minute)
	defer stop()
	during, end := context.WithTimeout(ctx, s.mixed)
	defer end()
	var (
		wg            sync.WaitGroup
		reads, beside load
		creates       creation
		failed        error
	)
	wg.Go(func() {
		// A thousand reads a second leave the machine time for the rest.
		reads = read(during, w.gateway, w.token, queries(mixBase), 20, math.MaxInt, 20*time.Millisecond)
	})
	wg.Go(func() {
		beside = read(during, w.airtable, w.account, queries(mixBase), 1, math.MaxInt, time.Second/outsiders)
	})
	wg.Go(func() {
		creates, failed = s.create(ctx, w.gateway, w.token, mixBase, "--seconds", fmt.Sprint(s.mixed.Seconds()), "--records", "1000000")
	})
	wg.Wait()
	if failed != nil {
		return failed
	}
	fmt.Printf("\n== %d callers create and 20 read one base through the gateway, and a program beside it sends %d requests/s\n", s.callers, outsiders)
	table([][]string{
		{"", "done", "per second", "p50 ms", "slowest ms", "errors", "told"},
		{"creates", fmt.Sprint(len(creates.Created)), fmt.Sprintf("%.1f", float64(len(creates.Created))/creates.Elapsed),
			fmt.Sprintf("%.0f", creates.Median*1000), fmt.Sprintf("%.0f", creates.Slowest*1000), fmt.Sprint(creates.errors()), told(creates.Errors)},
		{"reads", fmt.Sprint(len(reads.took)), fmt.Sprintf("%.1f", reads.perSecond()), ms(reads.quantile(.5)), ms(reads.quantile(1)), fmt.Sprint(reads.errors()), fmt.Sprint(reads.answers, reads.cached)},
		{"the program beside", fmt.Sprint(len(beside.took)), fmt.Sprintf("%.1f", beside.perSecond()), ms(beside.quantile(.5)), ms(beside.quantile(1)), fmt.Sprint(beside.errors()), fmt.Sprint(beside.answers)},
	})
	refused := reads.answers[http.StatusTooManyRequests]
	for kind, times := range creates.Errors {
		if strings.Contains(kind, "429") {
			refused += times
		}
	}
	r.atMost("mixed: 429s that reached a caller of the gateway", refused, 0)
	r.atMost("mixed: other errors seen by a caller of the gateway", reads.errors()+creates.errors()-refused, 0)
	return nil
}

// kill: creates, with everything that PyAirtable consists of killed meanwhile.
func (s setting) kill(ctx context.Context, w *world, r *report) error {
	say("kill: %d callers create %d records, and everything is killed -9 meanwhile", s.callers, s.records)
	running, stop := context.WithCancel(ctx)
	defer stop()
	var (
		wg     sync.WaitGroup
		killed []string
	)
	wg.Go(func() { killed = w.killAll(running) })
	made, err := s.create(ctx, w.gateway, w.token, killBase, "--seconds", "300", "--once", "--prefix", "k")
	stop()
	wg.Wait()
	if err != nil {
		return err
	}
	if err := pause(ctx, 2*time.Second); err != nil { // a request may still be on its way
		return err
	}
	stored, err := w.stored(ctx, killBase)
	if err != nil {
		return err
	}
	lost, twice, another := 0, 0, 0
	for name, id := range made.Created {
		switch ids := stored[name]; {
		case len(ids) == 0:
			lost++
		case len(ids) == 1 && ids[0] != id:
			another++
		}
	}
	for _, ids := range stored {
		if len(ids) > 1 {
			twice++
		}
	}
	fmt.Printf("\n== %d callers create records one by one; killed meanwhile: %s\n", s.callers, strings.Join(killed, ", "))
	table([][]string{{"acknowledged", "not acknowledged", "told", "at Airtable", "of these not acknowledged"},
		{fmt.Sprint(len(made.Created)), fmt.Sprint(made.errors()), told(made.Errors), fmt.Sprint(len(stored)), fmt.Sprint(len(stored) - len(made.Created) + lost)}})
	r.atLeast("kill: processes killed", float64(len(killed)), 4)
	r.atLeast("kill: acknowledged records", float64(len(made.Created)), float64(s.records)/4)
	r.atMost("kill: acknowledged records that are not at Airtable", lost, 0)
	r.atMost("kill: acknowledged records under another id", another, 0)
	r.atMost("kill: records that are there twice", twice, 0)
	return nil
}

// killAll kills one process after the other until ctx ends or none is left to kill, and
// returns which. Whatever dies, pyairtable starts again.
func (w *world) killAll(ctx context.Context) (killed []string) {
	for _, victim := range [][]string{{"run", "airtable-gateway"}, {"redis-server"}, {"run", "api-gateway"}, {"-D", "postgres"}} {
		if pause(ctx, 3*time.Second) != nil {
			return killed
		}
		pid := w.process(victim...)
		if pid == 0 {
			continue
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err == nil {
			killed = append(killed, victim[len(victim)-1])
			say("kill: %s (process %d)", strings.Join(victim, " "), pid)
		}
	}
	return killed
}

// stored are the ids of the records at the emulator, by name.
func (w *world) stored(ctx context.Context, base string) (map[string][]string, error) {
	found := map[string][]string{}
	for offset := ""; ; {
		status, body := get(ctx, w.airtable+"/v0/"+base+"/"+tableName+"?pageSize=100&offset="+url.QueryEscape(offset), w.account)
		if status == http.StatusTooManyRequests {
			if err := pause(ctx, 31*time.Second); err != nil {
				return nil, err
			}
			continue
		}
		var page struct {
			Records []struct {
				ID     string
				Fields struct{ Name string }
			}
			Offset string
		}
		if err := json.Unmarshal(body, &page); err != nil || status != http.StatusOK {
			return nil, errors.Join(fmt.Errorf("list %s: %d %.300s", base, status, body), err)
		}
		for _, r := range page.Records {
			found[r.Fields.Name] = append(found[r.Fields.Name], r.ID)
		}
		if offset = page.Offset; offset == "" {
			return found, nil
		}
		if err := pause(ctx, 250*time.Millisecond); err != nil {
			return nil, err
		}
	}
}
