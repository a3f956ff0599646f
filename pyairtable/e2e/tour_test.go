package e2e

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/pkg/catalog"
	"github.com/pyairtable/pyairtable/pkg/config"
)

// tourLimit is for the whole tour; its commands wait for what they want to see.
const tourLimit = 5 * time.Minute

// docs/tour.md, as it stands there but for the address, the program and its directory:
// every command is run by one shell, and prints what the document says.
func TestTour_AsItStandsInTheDocument(t *testing.T) {
	t.Parallel()
	binary := program(t, "pyairtable/cmd/pyairtable")
	dir, err := os.MkdirTemp("/tmp", "pyairtable-tour-") // root's PostgreSQL cannot enter t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	env, gateway := os.Environ(), ""
	for name := range catalog.Ports() {
		address := freeAddress(t)
		_, port, _ := net.SplitHostPort(address)
		env = append(env, config.Prefix(name)+"PORT="+port)
		if name == catalog.Gateway.Name {
			gateway = "http://" + address
		}
	}
	env = append(env, "DEV_INBOX=true", "AUTH_SERVICE_BCRYPT_COST=4", "API_GATEWAY_RATE_LIMIT=100000/1s", "API_GATEWAY_RATE_LIMIT_AUTH=100000/1s")
	program := []string{binary, "--dir", dir, "--env-file", filepath.Join(dir, "none")}
	t.Cleanup(func() {
		for _, end := range [][]string{{"down"}, {"reset", "--yes"}} {
			cmd := exec.Command(program[0], slices.Concat(program[1:], end)...)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %v\n%s", end, err, out)
			}
		}
		_ = os.RemoveAll(dir)
	})
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // that other user has to enter
		t.Fatal(err)
	}
	run(t, ".", env, program[0], slices.Concat(program[1:], []string{"up", "-d", "--no-demo"})...)

	blocks := tourBlocks(t)
	const mark = "= end of a block =\n"
	var script strings.Builder
	script.WriteString("set -eu\n")
	for _, b := range blocks {
		script.WriteString(b.commands + "printf '" + strings.ReplaceAll(mark, "\n", `\n`) + "'\n")
	}
	text := strings.NewReplacer(
		"make clients\n", "", "http://localhost:8080", gateway, ".bin/pyairtable", strings.Join(program, " "), ".run/", dir+"/",
	).Replace(script.String())
	ctx, cancel := context.WithTimeout(t.Context(), tourLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", text)
	var said, errors strings.Builder
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = top(t), env, &said, &errors, time.Second
	err = cmd.Run()
	printed := strings.Split(said.String(), mark)
	for i, b := range blocks {
		switch {
		case i >= len(printed)-1:
			t.Fatalf("the tour ended (%v) in:\n%s\nwhich said:\n%s\n%s", err, b.commands, printed[len(printed)-1], errors.String())
		case printed[i] != b.prints:
			t.Errorf("%s\nprinted:\n%s\nand not:\n%s", b.commands, printed[i], b.prints)
		}
	}
}

// tourBlock is a block of commands with what it prints.
type tourBlock struct{ commands, prints string }

func tourBlocks(t *testing.T) []tourBlock {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top(t), "docs", "tour.md"))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []tourBlock
	for _, m := range regexp.MustCompile("(?s)```(bash|text)\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		if m[1] == "bash" {
			blocks = append(blocks, tourBlock{commands: m[2]})
		} else {
			blocks[len(blocks)-1].prints = m[2]
		}
	}
	return blocks
}
