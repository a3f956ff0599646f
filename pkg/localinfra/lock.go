package localinfra

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Held is the error of Lock when another process has the lock.
type Held struct {
	Path string
	Pid  int // 0 if the holder has not written it
}

func (h *Held) Error() string {
	return fmt.Sprintf("%s is held by process %d", h.Path, h.Pid)
}

// FileLock is an exclusive lock on a file. The kernel drops it with the process, so a
// killed holder never leaves one behind, whatever the file says.
type FileLock struct{ f *os.File }

// Lock takes the lock on the file path, which is made when absent, and writes this
// process's id into it. It returns *Held at once if another process, or another
// FileLock of this one, has it.
func Lock(path string) (*FileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, FileProblem(path, err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		pid := readNumber(path)
		_ = f.Close()
		return nil, &Held{Path: path, Pid: pid}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, strconv.Itoa(os.Getpid())+"\n"), f.Sync()); err != nil {
		_ = f.Close()
		return nil, FileProblem(path, err)
	}
	return &FileLock{f: f}, nil
}

// Unlock gives the lock up. The file stays, empty: removing it would let two
// processes hold locks on two files of one name.
func (l *FileLock) Unlock() error {
	return errors.Join(l.f.Truncate(0), l.f.Close())
}

// Holder returns the id of the process that holds the lock on path, and 0 if none does.
func Holder(path string) (int, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, FileProblem(path, err)
	}
	defer func() { _ = f.Close() }()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return readNumber(path), nil
	}
	if err != nil {
		return 0, fmt.Errorf("lock %s: %w", path, err)
	}
	return 0, nil
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// readNumber returns the number on the first line of the file, and 0 if there is none.
func readNumber(path string) int {
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	pid, _ := strconv.Atoi(strings.TrimSpace(line))
	return pid
}
