package localinfra

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// account is the user that PostgreSQL runs as: this one, or when this one is root,
// whom PostgreSQL refuses, an unprivileged one.
type account struct {
	name     string
	uid, gid int
	other    bool // not the user of this process
}

// serverAccount returns the account for PostgreSQL: for root the user postgres, which
// distributions make with the package, else nobody.
func serverAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(u.Uid)
		gid, gidErr := strconv.Atoi(u.Gid)
		if uidErr == nil && gidErr == nil && uid != 0 {
			return account{name: name, uid: uid, gid: gid, other: true}, nil
		}
	}
	return account{}, &Problem{
		What: "PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody to run it as",
		Do:   "make one (useradd --system postgres) or run this as an ordinary user",
	}
}

// command returns the command as this account, with a directory that it may enter.
func (a account) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...) //nolint:noctx // a server lives longer than the call that starts it
	cmd.Dir, cmd.Env = "/", serverEnv()
	if a.other {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)},
		}
	}
	return cmd
}

// own gives path to the account.
func (a account) own(path string) error {
	if !a.other {
		return nil
	}
	return FileProblem(path, os.Chown(path, a.uid, a.gid))
}

// mayUse reports whether the account can enter the directory and write there: root's
// own files may be out of its reach by any of the parents' modes. Asking the kernel
// in the account's name is the one check that knows of groups and ACLs too.
func (a account) mayUse(dir string) bool {
	return a.command("/bin/sh", "-c", `cd "$1" && test -w . && test -r .`, "sh", dir).Run() == nil
}

// place makes the directory name inside dir for the account, and returns its path.
// If the account cannot reach it there, as under /root, the directory is made outside
// and its path noted in dir/name.path, where the next call finds it.
func (a account) place(dir, name string, say func(string, ...any)) (string, error) {
	inside, note := filepath.Join(dir, name), filepath.Join(dir, name+".path")
	raw, err := os.ReadFile(note)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", FileProblem(note, err)
	}
	if noted := strings.TrimSpace(string(raw)); noted != "" && a.claim(noted) == nil {
		return noted, nil
	}
	claimErr := a.claim(inside)
	if claimErr == nil || !a.other {
		return inside, claimErr
	}
	_ = os.Remove(inside) // only an empty one goes
	sum := sha256.Sum256([]byte(dir))
	for _, base := range []string{"/var/lib", os.TempDir(), "/tmp"} {
		outside := filepath.Join(base, "pyairtable-"+hex.EncodeToString(sum[:6]), name)
		if a.claim(outside) != nil {
			continue
		}
		if err := os.WriteFile(note, []byte(outside+"\n"), 0o600); err != nil {
			return "", FileProblem(note, err)
		}
		say("the user %s cannot enter %s: the data is kept in %s", a.name, dir, outside)
		return outside, nil
	}
	return "", &Problem{
		What: fmt.Sprintf("the user %s, whom PostgreSQL runs as, cannot enter %s", a.name, dir),
		Do:   "make its parents enterable (chmod o+x) or choose another directory",
		Err:  claimErr,
	}
}

// claim makes dir, gives it to the account, and checks that the account can work there.
func (a account) claim(dir string) error {
	if a.other {
		// The parents stay root's, but must be open to be walked through.
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return FileProblem(dir, err)
		}
	}
	if err := makeDir(dir); err != nil {
		return err
	}
	if err := a.own(dir); err != nil {
		return err
	}
	if !a.mayUse(dir) {
		return FileProblem(dir, fs.ErrPermission)
	}
	return nil
}

// ephemeralDir makes a directory in memory if there is room, else in the directory
// for temporary files, for the account alone.
func (a account) ephemeralDir(name string) (string, error) {
	const room = 1 << 30
	bases := []string{os.TempDir(), "/tmp"}
	if free, err := FreeBytes("/dev/shm"); err == nil && free >= room {
		bases = append([]string{"/dev/shm"}, bases...)
	}
	var last error
	for _, base := range bases {
		dir, err := os.MkdirTemp(base, "pyairtable-"+name+"-")
		if err == nil {
			if err = a.claim(dir); err == nil {
				return dir, nil
			}
			_ = os.Remove(dir)
		}
		last = err
	}
	return "", FileProblem(strings.Join(bases, ", "), last)
}
