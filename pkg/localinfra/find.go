package localinfra

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// oldestPostgres is the first release whose behaviour the services count on.
const oldestPostgres = 14

// Binaries is an installed PostgreSQL server.
type Binaries struct {
	Dir     string // holds postgres and initdb
	Major   int
	Version string // as the server says it
}

func (b Binaries) postgres() string { return filepath.Join(b.Dir, "postgres") }
func (b Binaries) initdb() string   { return filepath.Join(b.Dir, "initdb") }

// postgresHomes are where distributions put the server when it is not on PATH.
var postgresHomes = []string{
	"/usr/lib/postgresql/*/bin",      // Debian, Ubuntu
	"/usr/pgsql-*/bin",               // postgresql.org's packages for Fedora and Red Hat
	"/usr/libexec/postgresql*",       // Alpine
	"/usr/local/pgsql/bin",           // built from source
	"/usr/local/opt/postgresql*/bin", // Homebrew
	"/opt/homebrew/opt/postgresql*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// FindPostgres returns the PostgreSQL servers on this machine that the account which
// would run them can execute: the one on PATH first, then the newest first.
func FindPostgres() ([]Binaries, error) {
	a, err := serverAccount()
	if err != nil {
		return nil, err
	}
	return a.findPostgres(postgresHomes...), nil
}

func (a account) findPostgres(homes ...string) []Binaries {
	var onPath, elsewhere []Binaries
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			if b, ok := a.try(filepath.Dir(real)); ok {
				onPath = append(onPath, b)
			}
		}
	}
	for _, pattern := range homes {
		dirs, _ := filepath.Glob(pattern) // fails only on a malformed pattern
		for _, dir := range dirs {
			if b, ok := a.try(dir); ok {
				elsewhere = append(elsewhere, b)
			}
		}
	}
	slices.SortStableFunc(elsewhere, func(x, y Binaries) int { return cmp.Compare(y.Major, x.Major) })
	return append(onPath, elsewhere...)
}

var versionNumber = regexp.MustCompile(`(\d+)[.\d]*`)

// try returns the server in dir if the account can run it and it is new enough.
func (a account) try(dir string) (Binaries, bool) {
	b := Binaries{Dir: dir}
	if _, err := os.Stat(b.initdb()); err != nil {
		return Binaries{}, false
	}
	out, err := a.command(b.postgres(), "--version").Output()
	if err != nil {
		return Binaries{}, false
	}
	found := versionNumber.FindStringSubmatch(string(out))
	if found == nil {
		return Binaries{}, false
	}
	b.Version = found[0]
	b.Major, _ = strconv.Atoi(found[1])
	return b, b.Major >= oldestPostgres
}

// postgresFor returns a server for a data directory of the given major version, or for
// a new one if it is 0, installing one if that is allowed and none is there.
func (a account) postgresFor(ctx context.Context, major int, o Options) (Binaries, error) {
	downloads := a.downloadDir(o)
	homes := append(slices.Clone(postgresHomes), filepath.Join(downloads, "*", "bin"))
	pick := func() (Binaries, bool) {
		for _, b := range a.findPostgres(homes...) {
			if major == 0 || b.Major == major {
				return b, true
			}
		}
		return Binaries{}, false
	}
	if b, ok := pick(); ok {
		return b, nil
	}
	if major != 0 {
		return Binaries{}, &Problem{
			What: fmt.Sprintf("the data was made by PostgreSQL %d, which is not on this machine any more", major),
			Do:   fmt.Sprintf("install PostgreSQL %d again, or start anew without the data (pyairtable reset)", major),
		}
	}
	missing := &Problem{
		What: fmt.Sprintf("there is no PostgreSQL server (%d or newer) on this machine", oldestPostgres),
		Do:   "install one (Debian: apt-get install postgresql; macOS: brew install postgresql@17) or give the URL of one",
	}
	if !o.Install {
		return Binaries{}, missing
	}
	if err := install(ctx, postgresPackages, o); err != nil {
		missing.Err = err
	} else if b, ok := pick(); ok {
		return b, nil
	}
	if err := a.download(downloads, o); err != nil {
		if missing.Err == nil {
			missing.Err = err
		} else {
			missing.Err = fmt.Errorf("%w; %w", missing.Err, err)
		}
		return Binaries{}, missing
	}
	if b, ok := pick(); ok {
		return b, nil
	}
	return Binaries{}, missing
}

// FindRedis returns the path of a server that speaks Redis, and "" if there is none.
func FindRedis() string {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
		for _, dir := range []string{"/usr/local/bin", "/opt/homebrew/bin", "/usr/bin"} {
			path := filepath.Join(dir, name)
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				return path
			}
		}
	}
	return ""
}
