package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
)

func TestRun_ServesTheSeedUntilItIsStopped(t *testing.T) {
	t.Parallel()
	seed := filepath.Join(t.TempDir(), "seed.json")
	text := `{"tokens":[{"token":"patX","scopes":["*"],"bases":["*"]}],"bases":[{"id":"appX","name":"X","tables":[
		{"name":"T","fields":[{"name":"N","type":"singleLineText"}],"records":[{"id":"recX","fields":{"N":"n"}}]}]}]}`
	if err := os.WriteFile(seed, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := parse([]string{"-addr", "127.0.0.1:0", "-seed", seed, "-clock", "2026-02-01T00:00:00Z",
		"-database-url", pgtest.URL(t, "airtable-gateway", repository.Migrations)}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	address, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- s.run(ctx, func(a string) { address <- a }) }()
	select {
	case a := <-address:
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a+"/v0/appX/T", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer patX")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		attach(ctx, t, "http://"+a)
		if want := `{"records":[{"id":"recX","createdTime":"2026-02-01T00:00:00.000Z","fields":{"N":"n"}}]}`; string(body) != want {
			t.Errorf("got  %s\nwant %s", body, want)
		}
	case err := <-ended:
		t.Fatal(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// attach brings a file, and opens the link to it.
func attach(ctx context.Context, t *testing.T, url string) {
	t.Helper()
	send := func(method, target, body string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if body != "" {
			req.Header.Set("Authorization", "Bearer patX")
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: %d %s", method, target, resp.StatusCode, got)
		}
		return string(got)
	}
	var made struct {
		ID     string
		Fields map[string]json.RawMessage
	}
	read := func(s string) {
		t.Helper()
		if err := json.Unmarshal([]byte(s), &made); err != nil {
			t.Fatal(err)
		}
	}
	send("POST", url+"/v0/meta/bases/appX/tables", `{"name":"Docs","fields":[{"name":"N","type":"singleLineText"},{"name":"Files","type":"multipleAttachments"}]}`)
	read(send("POST", url+"/v0/appX/Docs", `{"fields":{"N":"x"}}`))
	read(send("POST", url+"/v0/appX/"+made.ID+"/Files/uploadAttachment", `{"contentType":"text/plain","filename":"a.txt","file":"SGk="}`))
	for _, cell := range made.Fields {
		var files []struct{ URL string }
		if json.Unmarshal(cell, &files) == nil && len(files) == 1 {
			if got := send("GET", files[0].URL, ""); got != "Hi" {
				t.Errorf("the file is %q", got)
			}
			return
		}
	}
	t.Errorf("no file in %s", made.Fields)
}

func TestParse_RefusesWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-503", "2"}, {"-502", "-0.1"}, {"-iterator-life", "0s"}, {"-nonsense"}, {"seed.json"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
	var help strings.Builder
	if _, err := parse([]string{"-help"}, &help); !errors.Is(err, flag.ErrHelp) || !strings.Contains(help.String(), "-broken-writes") {
		t.Errorf("help: %v\n%s", err, help.String())
	}
}

// session starts an emulator on the database, creates a record in it, stops it and
// returns what the client was answered.
func session(t *testing.T, database string, args ...string) string {
	t.Helper()
	s, err := parse(append([]string{"-addr", "127.0.0.1:0", "-clock", "2026-02-01T00:00:00Z", "-database-url", database}, args...), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	address, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- s.run(ctx, func(a string) { address <- a }) }()
	select {
	case err := <-ended:
		t.Fatal(err)
		return ""
	case a := <-address:
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+a+"/v0/appEmulator000001/Tasks",
			strings.NewReader(`{"fields":{"Name":"n","State":"new","Owner":["Someone"]},"typecast":true}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer patX")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
}

func TestRun_TheRandomSeedDecidesTheIds(t *testing.T) {
	t.Parallel()
	one, two := pgtest.URL(t, "airtable-gateway", repository.Migrations), pgtest.URL(t, "airtable-gateway", repository.Migrations)
	first := session(t, one, "-random-seed", "7")
	if same := session(t, two, "-random-seed", "7"); same != first {
		t.Errorf("the same seed: %s\nand %s", first, same)
	}
	// What is stored is not made again.
	if again := session(t, one, "-random-seed", "7"); again == first {
		t.Errorf("the second start on a database gives the ids of the first: %s", again)
	}
}

// Changes are told to who asked for it, also by the emulator that is started next on
// the same database.
func TestRun_PingsWebhooks(t *testing.T) {
	t.Parallel()
	pings := make(chan *http.Request, 100)
	told := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		pings <- r
	}))
	defer told.Close()
	database := pgtest.URL(t, "airtable-gateway", repository.Migrations)
	var made struct {
		ID     string
		Secret []byte `json:"macSecretBase64"`
	}
	serving(t, database, func(address string) {
		post(t, address+"/v0/bases/appEmulator000001/webhooks",
			`{"notificationUrl":"`+told.URL+`","specification":{"options":{"filters":{"dataTypes":["tableData"]}}}}`, &made)
		<-pings // of the creation
		post(t, address+"/v0/appEmulator000001/Tasks", `{"fields":{"Name":"n"}}`, nil)
		<-pings
	})
	serving(t, database, func(address string) {
		post(t, address+"/v0/appEmulator000001/Tasks", `{"fields":{"Name":"m"}}`, nil)
		r := <-pings
		body, _ := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, made.Secret)
		mac.Write(body)
		if got, want := r.Header.Get("X-Airtable-Content-MAC"), fmt.Sprintf("hmac-sha256=%x", mac.Sum(nil)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		var payloads struct {
			Payloads []struct{ Timestamp string }
			Cursor   int
		}
		ask(t, http.MethodGet, address+"/v0/bases/appEmulator000001/webhooks/"+made.ID+"/payloads?cursor=2", "", &payloads)
		if len(payloads.Payloads) != 1 || payloads.Cursor != 3 || !strings.HasPrefix(payloads.Payloads[0].Timestamp, "2026-02-01") {
			t.Errorf("%+v", payloads)
		}
	})
}

// serving runs an emulator on the database while do uses it.
func serving(t *testing.T, database string, do func(address string)) {
	t.Helper()
	s, err := parse([]string{"-addr", "127.0.0.1:0", "-clock", "2026-02-01T00:00:00Z", "-database-url", database}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	address, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- s.run(ctx, func(a string) { address <- a }) }()
	select {
	case a := <-address:
		do("http://" + a)
	case err := <-ended:
		t.Fatal(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func post(t *testing.T, address, body string, out any) {
	t.Helper()
	ask(t, http.MethodPost, address, body, out)
}

func ask(t *testing.T, method, address, body string, out any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer patX")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %s %v", resp.StatusCode, text, err)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
	}
}
