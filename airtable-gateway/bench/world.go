package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/authapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/catalog"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/localinfra"
	"github.com/pyairtable/pyairtable/pkg/rpc"
)

// world is an Airtable, a PyAirtable before it, and a token of each.
type world struct {
	dir      string
	airtable string // the emulator's address
	gateway  string // the API gateway's
	fleet    *exec.Cmd
	emulator *exec.Cmd
	account  string // token at the emulator
	token    string // at PyAirtable
}

const (
	accountToken = "patBenchAccount.0"
	startLimit   = 3 * time.Minute
)

// open builds and starts everything.
func (s setting) open(ctx context.Context) (w *world, err error) {
	dir, err := os.MkdirTemp("", "bench-airtable")
	if err != nil {
		return nil, err
	}
	w = &world{dir: dir, account: accountToken}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, errors.New("the start took too long"))
	defer cancel()
	say("building")
	for _, program := range []string{"airtable-gateway/cmd/airtable-emulator", "pyairtable/cmd/pyairtable"} {
		build := exec.CommandContext(ctx, "go", "build", "-tags=nomsgpack", "-ldflags=-s -w", "-o", filepath.Join(dir, filepath.Base(program)), "./"+program)
		build.Dir, build.Stdout, build.Stderr = s.top, os.Stdout, os.Stderr
		if err := build.Run(); err != nil {
			return w, fmt.Errorf("build %s: %w", program, err)
		}
	}
	if err := w.startEmulator(); err != nil {
		return w, err
	}
	if err := w.startFleet(ctx); err != nil {
		return w, err
	}
	return w, w.connect(ctx)
}

// startEmulator starts the emulator with Airtable's limits, on a private server.
func (w *world) startEmulator() error {
	seed := filepath.Join(w.dir, "seed.json")
	if err := os.WriteFile(seed, seedText(), 0o600); err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(w.dir, "airtable-emulator"), "-addr", "127.0.0.1:0", "-seed", seed) //nolint:noctx // close ends it
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	w.emulator = cmd
	line, err := bufio.NewReader(out).ReadString('\n')
	address, ok := strings.CutPrefix(strings.TrimSpace(line), "serving on ")
	if err != nil || !ok {
		return fmt.Errorf("the emulator said %q: %w", line, err)
	}
	w.airtable = address
	return nil
}

// startFleet starts every service in a process of its own, with private servers.
func (w *world) startFleet(ctx context.Context) error {
	cmd := exec.Command(filepath.Join(w.dir, "pyairtable"), "--dir", filepath.Join(w.dir, "run"), "--env-file", filepath.Join(w.dir, "none"), //nolint:noctx // close ends it
		"up", "--processes", "--no-demo")
	cmd.Env = append(os.Environ(), "AIRTABLE_ALLOWED_URLS="+w.airtable,
		"API_GATEWAY_RATE_LIMIT=100000000/1m", "API_GATEWAY_RATE_LIMIT_AUTH=100000000/1m", "LOG_LEVEL=warn")
	var urls []string
	for name := range catalog.Ports() {
		address, err := freeAddress(ctx)
		if err != nil {
			return err
		}
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return err
		}
		cmd.Env = append(cmd.Env, config.Prefix(name)+"PORT="+port)
		urls = append(urls, "http://"+address)
		if name == catalog.Gateway.Name {
			w.gateway = "http://" + address
		}
	}
	log, err := os.Create(filepath.Join(w.dir, "fleet.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	w.fleet = cmd
	return w.ready(ctx, urls)
}

// ready waits until every service is.
func (w *world) ready(ctx context.Context, urls []string) error {
	for _, url := range urls {
		for {
			if status, _ := get(ctx, url+"/ready", ""); status == http.StatusOK {
				break
			}
			if err := pause(ctx, 50*time.Millisecond); err != nil {
				return fmt.Errorf("wait for %s: %w\n%s", url, err, tail(filepath.Join(w.dir, "fleet.log")))
			}
		}
	}
	return nil
}

func freeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// connect makes an account at PyAirtable with a connection to the emulator.
func (w *world) connect(ctx context.Context) error {
	client := rpc.New(rpc.Options{Callee: "bench", Addresses: []string{w.gateway}})
	const email, password = "bench@example.com", "a pass phrase for the bench"
	if _, err := rpc.Call(ctx, client.As(auth.Principal{}), authapi.Register, authapi.RegisterRequest{Email: email, Password: password, Name: "Bench"}); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	session, err := rpc.Call(ctx, client.As(auth.Principal{}), authapi.Login, authapi.LoginRequest{Email: email, Password: password})
	if err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	who := client.As(auth.Principal{Token: session.AccessToken})
	draft := airtableapi.ConnectionDraft{Name: "emulator", Kind: airtableapi.KindAirtable, APIURL: w.airtable, Token: w.account}
	if _, err := rpc.Call(ctx, who, airtableapi.CreateConnection, airtableapi.ConnectionCreate{Body: draft}); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	scopes := []string{"data.records:read", "data.records:write", "schema.bases:read"}
	token, err := rpc.Call(ctx, who, authapi.CreateToken, authapi.TokenRequest{Name: "bench", Scopes: scopes, Bases: []string{auth.Any}})
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	w.token = token.Body.Token
	return nil
}

// close stops what was started and removes its files.
func (w *world) close() error {
	var errs []error
	for _, cmd := range []*exec.Cmd{w.fleet, w.emulator} {
		if cmd == nil {
			continue
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err := <-ended:
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w\n%s", cmd.Path, err, tail(filepath.Join(w.dir, "fleet.log"))))
			}
		case <-time.After(time.Minute):
			errs = append(errs, fmt.Errorf("%s does not stop", cmd.Path), cmd.Process.Kill())
		}
	}
	if w.fleet != nil { // PostgreSQL's data may have had to be kept elsewhere
		errs = append(errs, localinfra.RemoveData(filepath.Join(w.dir, "run")))
	}
	return errors.Join(append(errs, os.RemoveAll(w.dir))...)
}

// process is the id of the fleet's process whose command line holds the words, 0 if
// there is none.
func (w *world) process(words ...string) int {
	found, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0
	}
	parents := map[int]int{}
	for _, file := range found {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it ended
		}
		// "pid (name) state parent …", and the name may hold anything.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		parents[pid], _ = strconv.Atoi(fields[1])
	}
	for pid := range parents {
		ancestor := parents[pid]
		for ancestor > 1 && ancestor != w.fleet.Process.Pid {
			ancestor = parents[ancestor]
		}
		if ancestor == w.fleet.Process.Pid && commandHolds(pid, words) {
			return pid
		}
	}
	return 0
}

func commandHolds(pid int, words []string) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false
	}
	command := strings.ReplaceAll(string(text), "\x00", " ")
	for _, word := range words {
		if !strings.Contains(command, word) {
			return false
		}
	}
	return true
}

// stats are the emulator's own figures.
type stats struct {
	Requests    int            `json:"requests"`
	RateLimited int            `json:"rate_limited"`
	LockOuts    int            `json:"lock_outs"`
	Busiest     map[string]int `json:"busiest_second"`
}

func (w *world) stats(ctx context.Context) (s stats, err error) {
	status, body := get(ctx, w.airtable+"/_emulator/stats", "")
	if status != http.StatusOK {
		return s, fmt.Errorf("the emulator's figures: %d %s", status, body)
	}
	return s, json.Unmarshal(body, &s)
}

// get asks once; status 0 is no answer, and body then says why.
func get(ctx context.Context, url, token string) (status int, body []byte) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, []byte(err.Error())
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer func() { _ = resp.Body.Close() }()
	if body, err = io.ReadAll(resp.Body); err != nil {
		return 0, []byte(err.Error())
	}
	return resp.StatusCode, body
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// tail is the end of a log.
func tail(path string) string {
	text, _ := os.ReadFile(path)
	return string(text[max(0, len(text)-3000):])
}

func say(format string, args ...any) {
	fmt.Printf("%s  "+format+"\n", append([]any{time.Now().Format(time.TimeOnly)}, args...)...)
}
