// Package rundir is the directory that an instance keeps everything in, .run by
// default: its lock, its secrets, its state, its logs and the data of its servers.
package rundir

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/localinfra"
	"github.com/pyairtable/pyairtable/pkg/seal"
)

// Dir is the directory.
type Dir struct{ Path string }

// Open makes the directory when it is absent. It can be entered by others, because
// root's PostgreSQL runs as another user; what is secret in it is closed by itself.
func Open(path string) (Dir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return Dir{}, fmt.Errorf("directory %s: %w", path, err)
	}
	d := Dir{Path: abs}
	if err := os.MkdirAll(d.logs(), 0o755); err != nil {
		return Dir{}, localinfra.FileProblem(abs, err)
	}
	return d, nil
}

func (d Dir) lockFile() string    { return filepath.Join(d.Path, "lock") }
func (d Dir) stateFile() string   { return filepath.Join(d.Path, "state.json") }
func (d Dir) logs() string        { return filepath.Join(d.Path, "log") }
func (d Dir) SecretsFile() string { return filepath.Join(d.Path, "secrets.env") }

// DemoFile holds the demo account's access.
func (d Dir) DemoFile() string { return filepath.Join(d.Path, "demo.json") }

// Files holds the files of a service, which makes it.
func (d Dir) Files(service string) string { return filepath.Join(d.Path, "files", service) }

// Log is the path of a log: a service's, pyairtable's own, postgres or redis.
func (d Dir) Log(name string) string {
	if name == "postgres" || name == "redis" {
		return filepath.Join(d.Path, name+".log")
	}
	return filepath.Join(d.logs(), name+".log")
}

// Lock takes the directory for this process.
func (d Dir) Lock() (*localinfra.FileLock, error) {
	lock, err := localinfra.Lock(d.lockFile())
	var held *localinfra.Held
	if errors.As(err, &held) {
		return nil, &localinfra.Problem{
			What: fmt.Sprintf("pyairtable is running already (process %d)", held.Pid),
			Do:   "see `pyairtable status`, or stop it with `pyairtable down`",
			Err:  err,
		}
	}
	return lock, err
}

// Holder is the process that runs the instance, 0 if none does.
func (d Dir) Holder() (int, error) { return localinfra.Holder(d.lockFile()) }

// State is what a running instance tells about itself. It holds passwords.
type State struct {
	Pid       int               `json:"pid"`
	StartedAt time.Time         `json:"started_at"`
	URL       string            `json:"url"`
	Ready     bool              `json:"ready"`
	Services  []Service         `json:"services"`
	Shared    map[string]string `json:"shared"`          // variables of every service
	Redis     string            `json:"redis,omitempty"` // what serves it
	Postgres  string            `json:"postgres,omitempty"`
}

// Service is a running service.
type Service struct {
	Name string            `json:"name"`
	URL  string            `json:"url"`
	Vars map[string]string `json:"vars"` // its own variables
}

// ReadState returns the state that the last instance wrote, and false if it took its
// leave in an orderly way.
func (d Dir) ReadState() (State, bool, error) {
	var s State
	raw, err := os.ReadFile(d.stateFile())
	if errors.Is(err, fs.ErrNotExist) {
		return s, false, nil
	}
	if err != nil {
		return s, false, localinfra.FileProblem(d.stateFile(), err)
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, false, nil // cut short by a crash: as good as none
	}
	return s, true, nil
}

// WriteState replaces the state.
func (d Dir) WriteState(s State) error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return WritePrivate(d.stateFile(), append(raw, '\n'))
}

// RemoveState tells the next run that this one ended in order.
func (d Dir) RemoveState() error {
	if err := os.Remove(d.stateFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return localinfra.FileProblem(d.stateFile(), err)
	}
	return nil
}

// WritePrivate replaces a file as a whole, readable by this user alone.
func WritePrivate(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-") // mode 0600
	if err != nil {
		return localinfra.FileProblem(path, err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone after the rename
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	return localinfra.FileProblem(path, err)
}

// Secrets are the variables of secrets.env.
type Secrets map[string]string

// PasswordKey is the variable that holds the password of a database's role.
func PasswordKey(database string) string { return strings.ToUpper(database) + "_PASSWORD" }

// DemoPasswordKey is the variable that holds the demo account's password.
const DemoPasswordKey = "DEMO_PASSWORD"

// Secrets reads secrets.env and generates what the services need and the file does not
// have yet. A file that others may read is closed. If the file is gone while sealed
// data is there, it returns a *localinfra.Problem: new keys would not open that data.
func (d Dir) Secrets(services []api.Service) (Secrets, error) {
	path := d.SecretsFile()
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, dataErr := os.Stat(filepath.Join(d.Path, "postgres.password")); dataErr == nil {
			return nil, &localinfra.Problem{What: path + " is gone, and with it the keys of the data beside it", Do: "put the file back, or start anew without the data (`pyairtable reset`)"}
		}
	} else if err != nil {
		return nil, localinfra.FileProblem(path, err)
	} else if err := os.Chmod(path, 0o600); err != nil {
		return nil, localinfra.FileProblem(path, err)
	}
	have := parse(raw)
	known := len(have)
	fill := func(key string, make func() string) {
		if have[key] == "" {
			have[key] = make()
		}
	}
	fill("SEAL_KEYS", seal.NewKey)
	fill("SERVICE_SECRET", newSecret)
	fill(DemoPasswordKey, rand.Text)
	for _, s := range services {
		if s.Database != "" {
			fill(PasswordKey(s.Database), rand.Text)
		}
	}
	if len(have) == known {
		return have, nil
	}
	return have, WritePrivate(path, have.format())
}

func newSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

func parse(raw []byte) Secrets {
	s := Secrets{}
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		if key, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			s[key] = value
		}
	}
	return s
}

func (s Secrets) format() []byte {
	var b bytes.Buffer
	b.WriteString("# Generated on the first run. Without SEAL_KEYS what is sealed in the databases is lost.\n")
	for _, key := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(&b, "%s=%s\n", key, s[key])
	}
	return b.Bytes()
}
