package localinfra

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
)

func listen(port int) (*net.TCPListener, error) {
	return net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
}

// freePort returns a port of 127.0.0.1 that nothing listens on at this moment.
func freePort() (int, error) {
	l, err := listen(0)
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func portIsFree(port int) bool {
	l, err := listen(port)
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// choosePort returns the port to try: the one asked for, the one in the file that the
// last start left, or a free one.
func choosePort(asked int, file string) (int, error) {
	if asked != 0 {
		if !portIsFree(asked) {
			return 0, &Problem{What: fmt.Sprintf("port %d is in use", asked), Do: "end the program that listens on it, or choose another port"}
		}
		return asked, nil
	}
	if last := readNumber(file); last != 0 && portIsFree(last) {
		return last, nil
	}
	return freePort()
}

func rememberPort(file string, port int) error {
	return FileProblem(file, os.WriteFile(file, []byte(strconv.Itoa(port)+"\n"), 0o600))
}

// errPortTaken tells that somebody else took the port between the choice and the start.
var errPortTaken = errors.New("the port was taken")
