//go:build unix

package localinfra

import (
	"fmt"
	"syscall"
)

// FreeBytes returns how much this user may still write to the disk that holds path.
func FreeBytes(path string) (uint64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", path, err)
	}
	return s.Bavail * uint64(s.Bsize), nil
}
