package instance

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// listener names the program that listens on the port, as "nginx (process 123)"; ""
// if this user may not know.
func listener(port int) string {
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		addInodes(sockets, table, port)
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || !sockets[target] {
			continue
		}
		proc := filepath.Dir(filepath.Dir(link))
		name, _ := os.ReadFile(filepath.Join(proc, "comm"))
		return fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(name)), filepath.Base(proc))
	}
	return ""
}

// addInodes adds the sockets of the table that listen on the port, as a process's
// descriptors name them.
func addInodes(sockets map[string]bool, table string, port int) {
	f, err := os.Open(table)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	suffix := fmt.Sprintf(":%04X", port)
	for s := bufio.NewScanner(f); s.Scan(); {
		const state, inode, listening = 3, 9, "0A"
		fields := strings.Fields(s.Text())
		if len(fields) > inode && strings.HasSuffix(fields[1], suffix) && fields[state] == listening {
			sockets["socket:["+fields[inode]+"]"] = true
		}
	}
}
