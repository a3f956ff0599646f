package coalesce_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/budget"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/coalesce"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// pace gives a turn every interval, in the order of asking.
type pace struct {
	every time.Duration

	mu   sync.Mutex
	next time.Time
}

func (p *pace) Reserve(ctx context.Context, _ upstream.Call) (*budget.Turn, upstream.Answer, error) {
	p.mu.Lock()
	at := time.Now()
	if p.next.After(at) {
		at = p.next
	}
	p.next = at.Add(p.every)
	p.mu.Unlock()
	if err := rest(ctx, time.Until(at)); err != nil {
		return nil, upstream.Answer{}, fmt.Errorf("%w: %w", upstream.ErrNotSent, err)
	}
	return &budget.Turn{}, upstream.Answer{}, nil
}

func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// far is an Airtable with one table, in memory. A record is its cells and the words
// that were written into its cell Log, in their order. A cell Bad is refused.
type far struct {
	takes time.Duration
	// fate is what becomes of the n-th call: "", "503", "429", "lost" (executed without an
	// answer), "500" (the same with one).
	fate func(n int) string

	mu    sync.Mutex
	calls []upstream.Call
	rows  map[string]*row
	order []string
	busy  map[string]bool // records that a call writes now
	wrong []string        // what no client may do
}

type row struct {
	cells map[string]any
	log   []string
	gone  bool
}

var errLost = errors.New("the connection broke")

func newFar() *far {
	return &far{takes: 50 * time.Millisecond, rows: map[string]*row{}, busy: map[string]bool{}}
}

func (f *far) Do(ctx context.Context, c upstream.Call) (upstream.Answer, error) {
	f.mu.Lock()
	n := len(f.calls)
	f.calls = append(f.calls, c)
	w, ok := v0.ReadWrite(c)
	if !ok && c.Op != upstream.ListRecords {
		f.wrong = append(f.wrong, fmt.Sprintf("call %d is not readable: %s %s", n, c.RawQuery, c.Body))
	}
	if len(c.Authors) > 0 && len(c.Authors) != len(w.Items) {
		f.wrong = append(f.wrong, fmt.Sprintf("call %d has %d authors of %d records", n, len(c.Authors), len(w.Items)))
	}
	for _, it := range w.Items {
		if it.ID != "" && f.busy[it.ID] {
			f.wrong = append(f.wrong, "two calls at once write "+it.ID)
		}
		f.busy[it.ID] = true
	}
	f.mu.Unlock()
	if err := rest(ctx, f.takes); err != nil {
		return upstream.Answer{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, it := range w.Items {
		delete(f.busy, it.ID)
	}
	fate := ""
	if f.fate != nil {
		fate = f.fate(n)
	}
	switch fate {
	case "503":
		return v0.Refuse(models.ErrRetriable), nil
	case "429":
		return v0.Refuse(models.ErrRateLimited), nil
	case "panic":
		panic("far")
	}
	a := f.execute(c, w)
	switch {
	case fate == "lost" && a.Status == http.StatusOK:
		return upstream.Answer{}, errLost
	case fate == "500" && a.Status == http.StatusOK:
		return v0.Refuse(models.ErrServer), nil
	}
	return a, nil
}

// execute does the call whole or not at all.
func (f *far) execute(c upstream.Call, w v0.Write) upstream.Answer {
	for _, it := range w.Items {
		var cells map[string]any
		_ = json.Unmarshal(it.Fields, &cells)
		if _, bad := cells["Bad"]; bad {
			return v0.Refuse(models.UnknownField("Bad"))
		}
		if it.ID != "" && (f.rows[it.ID] == nil || f.rows[it.ID].gone) {
			if w.Single {
				return v0.Refuse(models.ErrRecordNotFound)
			}
			return v0.Refuse(models.NoSuchRow(models.RecordID(it.ID)))
		}
	}
	var out, created, updated []string
	for _, it := range w.Items {
		recID := it.ID
		var cells map[string]any
		_ = json.Unmarshal(it.Fields, &cells)
		if c.Op == upstream.DeleteRecords {
			f.rows[recID].gone = true
			f.rows[recID].log = append(f.rows[recID].log, "gone")
			out = append(out, `{"id":"`+recID+`",  "deleted":true}`)
			continue
		}
		if w.MergeOn != nil && recID == "" {
			for _, id := range f.order {
				if !f.rows[id].gone && f.rows[id].cells[w.MergeOn[0]] == cells[w.MergeOn[0]] {
					recID = id
				}
			}
		}
		if recID == "" {
			recID = "rec" + strconv.Itoa(len(f.order))
			f.rows[recID] = &row{cells: map[string]any{}}
			f.order = append(f.order, recID)
			created = append(created, recID)
		} else {
			updated = append(updated, recID)
		}
		r := f.rows[recID]
		if c.Method == http.MethodPut {
			r.cells = map[string]any{}
		}
		for name, v := range cells {
			r.cells[name] = v
		}
		if word, ok := cells["Log"].(string); ok {
			r.log = append(r.log, word)
		}
		out = append(out, f.show(recID))
	}
	header := http.Header{"Content-Type": {v0.ContentType}, "Airtable-Uncompressed-Content-Length": {"1"}}
	body := `{"records":[` + strings.Join(out, ",") + `]`
	if w.MergeOn != nil {
		body += `,"createdRecords":` + list(created) + `,"updatedRecords":` + list(updated)
	}
	if body += "}"; w.Single {
		body = out[0]
	}
	header.Set("Airtable-Uncompressed-Content-Length", strconv.Itoa(len(body)))
	return upstream.Answer{Status: http.StatusOK, Header: header, Body: []byte(body)}
}

// show writes a record with the odd blank, which must arrive as it is.
func (f *far) show(recID string) string {
	cells, _ := json.Marshal(f.rows[recID].cells)
	return `{"id":"` + recID + `", "fields": ` + string(cells) + ` }`
}

func list(ids []string) string {
	if ids == nil {
		return "[]"
	}
	b, _ := json.Marshal(ids)
	return string(b)
}

// put makes a record.
func (f *far) put(recID string) {
	f.rows[recID] = &row{cells: map[string]any{}}
	f.order = append(f.order, recID)
}

// seen are the calls, each as method and number of records.
func (f *far) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, c := range f.calls {
		w, _ := v0.ReadWrite(c)
		out = append(out, fmt.Sprintf("%s %d", c.Method, len(w.Items)))
	}
	return out
}

// bench is a coalescer in virtual time.
type bench struct {
	*far
	c       *coalesce.Coalescer
	up      upstream.Upstream
	turns   *pace
	metrics *prometheus.Registry
	stop    context.CancelFunc
	saved   atomic.Int64
}

var tenant, anna = id.New[id.Tenant](), id.New[id.User]()

func inTime(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{far: newFar(), turns: &pace{every: 200 * time.Millisecond}, metrics: prometheus.NewRegistry()}
		ctx, cancel := context.WithCancel(t.Context())
		b.c = coalesce.New(ctx, coalesce.Options{Log: zap.NewNop(), Metrics: b.metrics, Wait: time.Minute})
		b.up = b.c.Of(b.far, coalesce.Account{Key: "a", Turns: b.turns, Saved: func(upstream.Call) { b.saved.Add(1) }})
		ended := make(chan struct{})
		b.stop = func() {
			cancel()
			<-ended
		}
		go func() {
			defer close(ended)
			_ = b.c.Run(ctx)
		}()
		test(t, b)
		b.stop()
		if n := b.c.Desks(); n > 0 {
			t.Errorf("%d desks were left", n)
		}
		for _, w := range b.wrong {
			t.Error(w)
		}
	})
}

// call is a request of anna's.
func call(method, path, body string) upstream.Call {
	path, query, _ := strings.Cut(path, "?")
	c, ok := v0.Parse(method, "/v0/app1/"+path)
	if !ok {
		panic(path)
	}
	c.RawQuery, c.Body, c.Header = query, []byte(body), http.Header{}
	c.Caller = upstream.Caller{Tenant: tenant, User: anna}
	return c
}

// reply is what a caller got.
type reply struct {
	upstream.Answer
	err error
}

func (r reply) String() string { return fmt.Sprintf("%d %s %v", r.Status, r.Body, r.err) }

// all makes the calls in this order, each when the one before it waits.
func (b *bench) all(t *testing.T, calls ...upstream.Call) []reply {
	t.Helper()
	out := make([]reply, len(calls))
	var group sync.WaitGroup
	for i, c := range calls {
		group.Go(func() { out[i].Answer, out[i].err = b.up.Do(t.Context(), c) })
		synctest.Wait()
	}
	group.Wait()
	return out
}

func repeated(n int, of func(i int) upstream.Call) []upstream.Call {
	out := make([]upstream.Call, n)
	for i := range out {
		out[i] = of(i)
	}
	return out
}

func count(in []string, s string) (n int) {
	return len(slices.DeleteFunc(slices.Clone(in), func(x string) bool { return x != s }))
}

// counted is the value of a counter.
func (b *bench) counted(t *testing.T, name string) float64 {
	t.Helper()
	families, err := b.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	return 0
}

// crowded is a queue with little room.
type crowded struct {
	pace
	room int

	mu      sync.Mutex
	waiting int
}

func (c *crowded) Reserve(ctx context.Context, call upstream.Call) (*budget.Turn, upstream.Answer, error) {
	c.mu.Lock()
	if c.waiting >= c.room {
		c.mu.Unlock()
		return nil, v0.Refuse(models.ErrRateLimited), nil
	}
	c.waiting++
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.waiting--
	}()
	return c.pace.Reserve(ctx, call)
}
