package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pyairtable/pyairtable/pkg/await"
	"github.com/pyairtable/pyairtable/pkg/catalog"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/pgtest"
	"github.com/pyairtable/pyairtable/pkg/redistest"
)

// Eight callers create records in a connected base while everything that PyAirtable
// consists of is ended by kill -9 and comes back. A record that was acknowledged exists
// at Airtable, once, under the id that the caller was told; one that was not
// acknowledged exists once at the most.
func TestKill9_AcknowledgedRecordsExistOnceAtAirtable(t *testing.T) {
	t.Parallel()
	e := startEmulator(t, "-base-rate", "0", "-token-rate", "0")
	postgres, redis := pgtest.OwnServer(t), redistest.OwnDurableServer(t)
	vars := map[string]string{"REDIS_URL": redis.URL, "AIRTABLE_ALLOWED_URLS": e.url}
	for _, s := range catalog.Services {
		if s.Database != "" {
			vars[config.Prefix(s.Name)+"DATABASE_URL"] = postgres.NewDatabaseURL(t, s.Name, nil)
		}
	}
	in := newInstall(t, vars)
	fleet := in.up(t)
	w := &world{urls: map[string]string{catalog.Gateway.Name: in.gateway}}
	_, who := w.user(t)
	w.connectTo(t, who, e)
	base := e.newBase(t)
	c := &creators{url: in.gateway + "/v0/" + base + "/T", token: w.pat(t, who, everyScope...), acknowledged: map[string]string{}}
	c.start(t, 8)

	restarted := func(s interface {
		Kill() error
		Restart(ctx context.Context) error
	}) func() {
		return func() {
			if err := s.Kill(); err != nil {
				t.Error(err)
			}
			if err := s.Restart(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
	killed := func() {
		_ = fleet.Process.Kill()
		_ = fleet.Wait()
		fleet = in.up(t)
	}
	for i, kill := range []func(){killed, restarted(redis), restarted(postgres), killed} {
		c.awaitMore(t, 12, fmt.Sprintf("records between kill %d and the one before", i+1))
		kill()
	}
	c.awaitMore(t, 12, "records after the last kill")
	c.stop()

	stored := e.records(t, base)
	for name, id := range c.acknowledged {
		if ids := stored[name]; len(ids) != 1 || ids[0] != id {
			t.Errorf("%s was acknowledged as %s and exists as %v", name, id, ids)
		}
	}
	for name, ids := range stored {
		if len(ids) > 1 {
			t.Errorf("%s exists as %v", name, ids)
		}
	}
	t.Logf("%d records were acknowledged, %d are stored; callers were told %v", len(c.acknowledged), len(stored), c.told)
}

// creators create records, each one under a name of its own and with one request.
type creators struct {
	url, token string
	end        context.CancelFunc
	wg         sync.WaitGroup

	mu           sync.Mutex
	acknowledged map[string]string // id by name
	told         map[int]int       // other answers, by status; 0 is none at all
}

func (c *creators) start(t *testing.T, callers int) {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	c.end, c.told = end, map[int]int{}
	t.Cleanup(c.stop)
	for caller := range callers {
		c.wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if c.create(ctx, fmt.Sprintf("r%d-%d", caller, n)) {
					continue
				}
				select { // something is down
				case <-time.After(50 * time.Millisecond):
				case <-ctx.Done():
				}
			}
		})
	}
}

// stop lets requests that are under way come to their end.
func (c *creators) stop() {
	c.end()
	c.wg.Wait()
}

// create reports whether the record was acknowledged.
func (c *creators) create(ctx context.Context, name string) bool {
	status, id := c.ask(context.WithoutCancel(ctx), name)
	c.mu.Lock()
	defer c.mu.Unlock()
	if status != http.StatusOK {
		c.told[status]++
		return false
	}
	c.acknowledged[name] = id
	return true
}

func (c *creators) ask(ctx context.Context, name string) (status int, id string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, strings.NewReader(`{"fields":{"Name":"`+name+`"}}`))
	if err != nil {
		return 0, ""
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	var made struct{ ID string }
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode == http.StatusOK && json.Unmarshal(body, &made) != nil {
		return 0, ""
	}
	return resp.StatusCode, made.ID
}

func (c *creators) awaitMore(t *testing.T, n int, what string) {
	t.Helper()
	count := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.acknowledged)
	}
	begin := count()
	await.True(t, what, func() bool { return count() >= begin+n })
}

// newBase makes a base with a table T at the emulator itself.
func (e *emulator) newBase(t *testing.T) string {
	t.Helper()
	status, body := request(t, "POST", e.url+"/v0/meta/bases", accountToken,
		`{"name":"B","workspaceId":"wspAAAAAAAAAAAAAA","tables":[{"name":"T","fields":[{"name":"Name","type":"singleLineText"}]}]}`)
	id, ok := find(body, "id")
	if status != http.StatusOK || !ok {
		t.Fatalf("%d %s", status, body)
	}
	return id
}

// records are the ids of what table T of the base holds, by name.
func (e *emulator) records(t *testing.T, base string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for offset := ""; ; {
		status, body := request(t, "GET", e.url+"/v0/"+base+"/T?offset="+url.QueryEscape(offset), accountToken, "")
		var page struct {
			Records []struct {
				ID     string
				Fields struct{ Name string }
			}
			Offset string
		}
		if err := json.Unmarshal([]byte(body), &page); err != nil || status != http.StatusOK {
			t.Fatalf("%d %s: %v", status, body, err)
		}
		for _, r := range page.Records {
			found[r.Fields.Name] = append(found[r.Fields.Name], r.ID)
		}
		if offset = page.Offset; offset == "" {
			return found
		}
	}
}
