//go:build unix && !linux

package instance

import (
	"fmt"
	"os/exec"
	"strings"
)

// listener names the program that listens on the port, "" if this user may not know.
func listener(port int) string {
	out, err := exec.Command("lsof", "-nP", fmt.Sprintf("-iTCP:%d", port), "-sTCP:LISTEN", "-Fc").Output()
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(out)) {
		if name, ok := strings.CutPrefix(line, "c"); ok {
			return strings.TrimSpace(name)
		}
	}
	return ""
}
