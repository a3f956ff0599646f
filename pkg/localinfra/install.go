package localinfra

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// packages names a server in each package manager, the preferred name first.
type packages map[string][]string

var (
	postgresPackages = packages{
		"apt-get": {"postgresql"}, "dnf": {"postgresql-server"}, "apk": {"postgresql17", "postgresql16", "postgresql15"},
		"pacman": {"postgresql"}, "brew": {"postgresql@17"},
	}
	redisPackages = packages{
		"apt-get": {"redis-server", "valkey-server"}, "dnf": {"valkey", "redis"}, "apk": {"redis", "valkey"},
		"pacman": {"valkey", "redis"}, "brew": {"redis"},
	}
)

// manager is a package manager: how to refresh its lists, if that is needed, and how
// to install without a question.
type manager struct {
	name             string
	refresh, install []string
	root             bool // works for root alone
}

var managers = []manager{
	{name: "apt-get", refresh: []string{"update", "-q"}, install: []string{"install", "-q", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"}, root: true},
	{name: "dnf", install: []string{"install", "-q", "-y"}, root: true},
	{name: "apk", refresh: []string{"update", "-q"}, install: []string{"add", "-q"}, root: true},
	{name: "pacman", install: []string{"-Sy", "--noconfirm", "--needed"}, root: true},
	{name: "brew", install: []string{"install", "--quiet"}},
}

// install installs the first of the packages that the machine's package manager has.
func install(ctx context.Context, p packages, o Options) error {
	for _, m := range managers {
		path, err := exec.LookPath(m.name)
		if err != nil {
			continue
		}
		argv := []string{path}
		if m.root && os.Geteuid() != 0 {
			if exec.CommandContext(ctx, "sudo", "-n", "true").Run() != nil {
				return fmt.Errorf("%s needs root, and sudo a password", m.name)
			}
			argv = []string{"sudo", "-n", path}
		}
		return m.run(ctx, argv, p[m.name], o)
	}
	return errors.New("no package manager that this program knows")
}

func (m manager) run(ctx context.Context, argv, names []string, o Options) error {
	o.say("installing %s with %s", names[0], m.name)
	var failures []error
	if m.refresh != nil {
		if err := runInstaller(ctx, append(slices.Clone(argv), m.refresh...)); err != nil {
			failures = append(failures, err) // old lists may still do
		}
	}
	for _, name := range names {
		err := runInstaller(ctx, slices.Concat(argv, m.install, []string{name}))
		if err == nil {
			return nil
		}
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

// runInstaller runs the command. When ctx ends it is asked to stop, not killed: it may
// be in the middle of a change.
func runInstaller(ctx context.Context, argv []string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, lastLine(out))
	}
	return nil
}

func lastLine(out []byte) string {
	out = bytes.TrimSpace(out)
	return string(out[bytes.LastIndexByte(out, '\n')+1:])
}

// downloadRelease is the release that download brings.
const downloadRelease = embeddedpostgres.V17

// downloadDir is where downloaded servers are kept: beside a durable instance's data,
// in the user's cache for throw-away ones, and for root where the account can reach.
func (a account) downloadDir(o Options) string {
	if a.other {
		return "/var/cache/pyairtable/postgresql"
	}
	if o.Dir != "" {
		return filepath.Join(o.Dir, "postgresql")
	}
	if cache, err := os.UserCacheDir(); err == nil {
		return filepath.Join(cache, "pyairtable", "postgresql")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("pyairtable-%d", a.uid), "postgresql")
}

// download fetches a built PostgreSQL into dir/<release>. The library can only fetch
// and run in one go, and its run fails for root; so it is given a throw-away data
// directory, and what counts is whether the program is there afterwards.
func (a account) download(dir string, o Options) error {
	home := filepath.Join(dir, string(downloadRelease))
	scratch, err := os.MkdirTemp("", "pyairtable-download-")
	if err != nil {
		return FileProblem(os.TempDir(), err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	if err := os.MkdirAll(home, 0o755); err != nil {
		return FileProblem(home, err)
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	o.say("downloading PostgreSQL %s", downloadRelease)
	config := embeddedpostgres.DefaultConfig().Version(downloadRelease).Port(uint32(port)).
		CachePath(filepath.Join(scratch, "cache")).RuntimePath(filepath.Join(scratch, "run")).
		BinariesPath(home).Logger(&bytes.Buffer{})
	if o.downloads != "" {
		config = config.BinaryRepositoryURL(o.downloads)
	}
	server := embeddedpostgres.NewDatabase(config)
	startErr := server.Start()
	if startErr == nil {
		return server.Stop()
	}
	if _, ok := a.try(filepath.Join(home, "bin")); ok {
		return nil
	}
	return fmt.Errorf("download PostgreSQL %s: %w", downloadRelease, startErr)
}
