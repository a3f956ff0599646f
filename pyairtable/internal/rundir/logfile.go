package rundir

import (
	"bytes"
	"io"
	"os"
	"sync"

	"github.com/pyairtable/pyairtable/pkg/localinfra"
)

// maxLog is the size at which a log is put aside under the name .1.
const maxLog = 10 << 20

// LogFile is a log of bounded size. Writes are safe for concurrent use; each should be
// one line.
type LogFile struct {
	mu     sync.Mutex
	path   string
	file   *os.File
	size   int64
	errors io.Writer
}

// OpenLog opens the log for appending. Lines of level error also go to errors, unless
// that is nil.
func (d Dir) OpenLog(name string, errors io.Writer) (*LogFile, error) {
	l := &LogFile{path: d.Log(name), errors: errors}
	if err := l.open(); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *LogFile) open() error {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return localinfra.FileProblem(l.path, err)
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return localinfra.FileProblem(l.path, err)
	}
	l.file, l.size = f, info.Size()
	return nil
}

// Write appends one line.
func (l *LogFile) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.errors != nil && bytes.Contains(line, []byte(`"level":"error"`)) {
		_, _ = l.errors.Write(line)
	}
	if l.size >= maxLog {
		if err := l.turn(); err != nil {
			return 0, err
		}
	}
	n, err := l.file.Write(line)
	l.size += int64(n)
	return n, err
}

// turn puts the log aside, in place of the one before it.
func (l *LogFile) turn() error {
	if err := l.file.Close(); err != nil {
		return err
	}
	if err := os.Rename(l.path, l.path+".1"); err != nil {
		return err
	}
	return l.open()
}

// Close closes the file.
func (l *LogFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}
