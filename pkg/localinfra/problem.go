package localinfra

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// Problem is a failure that a person can put right: what is wrong, and what to do.
type Problem struct {
	What string
	Do   string
	Err  error // the cause; may be nil
}

// Error returns one line: what is wrong, why, and what to do.
func (p *Problem) Error() string {
	text := p.What
	if p.Err != nil {
		text += " (" + p.Err.Error() + ")"
	}
	return text + ": " + p.Do
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Err }

// minFree is what a new PostgreSQL cluster, its first WAL and an append-only file need.
const minFree = 256 << 20

// FileProblem turns the errors of a full or unwritable disk into a Problem that says
// what to do about path. Any other error is returned unchanged.
func FileProblem(path string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return &Problem{What: "the disk that holds " + path + " is full", Do: "free some space on it and start again", Err: err}
	case errors.Is(err, syscall.EROFS):
		return &Problem{What: path + " is on a read-only disk", Do: "choose a directory that can be written", Err: err}
	case errors.Is(err, fs.ErrPermission):
		return &Problem{What: path + " cannot be written by this user", Do: "change its owner (chown -R) or choose another directory", Err: err}
	}
	return err
}

// makeDir makes path and its parents for this user alone, and checks that there is
// room for a server's data.
func makeDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return FileProblem(path, err)
	}
	free, err := FreeBytes(path)
	if err != nil {
		return err
	}
	if free < minFree {
		return FileProblem(path, syscall.ENOSPC)
	}
	return nil
}

// errOrphans tells that the children of a killed postmaster have not noticed yet.
var errOrphans = errors.New("shared memory is in use")

// logProblem recognises in the last lines of a server's log what a person can put
// right. It returns nil if there is nothing of the kind.
func logProblem(dir, log string) error {
	switch {
	case strings.Contains(log, "No space left on device"):
		return FileProblem(dir, syscall.ENOSPC)
	case strings.Contains(log, "Read-only file system"):
		return FileProblem(dir, syscall.EROFS)
	case strings.Contains(log, "pre-existing shared memory block"):
		return &Problem{
			What: "processes of a killed PostgreSQL still work on " + dir,
			Do:   "wait a moment and start again; if they stay, end the postgres processes that name this directory",
			Err:  errOrphans,
		}
	case strings.Contains(log, "Bad file format reading the append only file"):
		return &Problem{What: "the append-only file in " + dir + " is damaged", Do: "repair it with redis-check-aof --fix, or remove the directory: the outbox publishes again what is missing"}
	}
	return nil
}

// tail returns at most the last 4 KiB of the file, from the given offset on.
func tail(path string, from int64) string {
	const most = 4 << 10
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	from = max(from, info.Size()-most, 0)
	buf := make([]byte, info.Size()-from)
	n, _ := f.ReadAt(buf, from)
	return strings.TrimSpace(string(buf[:n]))
}
