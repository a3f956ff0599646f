package coalesce

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"runtime/debug"

	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/budget"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/marker"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
)

// trip is a batch under way.
type trip struct {
	c      *Coalescer
	desk   *desk
	batch  *batch
	wasted int // calls that were refused as a whole
}

// send makes the batch's call and gives every rider its verdict.
func (c *Coalescer) send(ctx context.Context, d *desk, b *batch) {
	t := &trip{c: c, desk: d, batch: b}
	defer func() {
		if p := recover(); p != nil {
			c.opts.Log.Error("a batch ended in a panic", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
		}
		for _, r := range b.riders { // those that have no verdict
			t.arrive(r, upstream.Answer{}, errPanicked)
		}
	}()
	c.records.Observe(float64(len(b.riders)))
	t.deliver(ctx, b.riders)
}

func (t *trip) arrive(r *rider, a upstream.Answer, err error) {
	t.desk.arrived(r)
	r.tell(a, err)
}

// deliver sends the riders as one call.
func (t *trip) deliver(ctx context.Context, riders []*rider) {
	if len(riders) == 1 {
		a, err := riders[0].next.Do(ctx, riders[0].call)
		t.arrive(riders[0], a, err)
		return
	}
	whole, call := merge(riders, t.batch.priority)
	a, err := riders[0].next.Do(ctx, call)
	switch {
	case err == nil && a.Status == http.StatusOK:
		t.share(riders, whole, a)
	case err == nil && divides(call, a):
		t.c.splits.Inc()
		t.wasted++
		for _, part := range split(riders, a) {
			t.deliver(ctx, part)
		}
	case call.Op == upstream.DeleteRecords && unknown(a, err):
		t.repeat(ctx, riders, a, err)
	default:
		for _, r := range riders {
			t.arrive(r, copied(a), err)
		}
	}
}

// merge makes one call of the riders'.
func merge(riders []*rider, p budget.Priority) (v0.Write, upstream.Call) {
	first := riders[0]
	whole := first.write
	whole.Single, whole.Items = false, nil
	call := first.call
	call.Header = http.Header{}
	for _, name := range []string{"Accept", "Content-Type", "User-Agent", "X-Api-Version", "X-Airtable-Application-Id", "X-Airtable-Client-Secret", marker.Header} {
		if values := first.call.Header.Values(name); len(values) > 0 {
			call.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	call.Header.Set(budget.Header, string(p))
	call.Authors = nil
	for _, r := range riders {
		for _, it := range r.write.Items {
			whole.Items = append(whole.Items, it)
			call.Authors = append(call.Authors, r.call.Caller.User)
		}
	}
	return whole, whole.Batch(call)
}

var errUnreadable = errors.New("the answer to a batch does not name its records")

// share gives each rider its part of the answer.
func (t *trip) share(riders []*rider, whole v0.Write, a upstream.Answer) {
	written, ok := v0.ReadWritten(whole, a)
	spent := min(1+t.wasted, len(riders)) // of the calls that the riders would have made
	t.wasted -= spent - 1
	for _, r := range riders[spent:] {
		t.desk.account.Saved(r.call)
	}
	from := 0
	for _, r := range riders {
		if !ok {
			t.arrive(r, upstream.Answer{}, fmt.Errorf("%w: %.200s", errUnreadable, a.Body))
			continue
		}
		body := written.Part(r.write.Single, from, len(r.write.Items))
		from += len(r.write.Items)
		t.arrive(r, upstream.Answer{Status: a.Status, Header: v0.Headers(a.Header, body), Body: body}, nil)
	}
}

// repeat sends deletes one by one whose batch may have been executed. A caller that
// deletes several records hears that.
func (t *trip) repeat(ctx context.Context, riders []*rider, a upstream.Answer, err error) {
	for _, r := range riders {
		if r.call.Record == "" {
			t.arrive(r, copied(a), err)
			continue
		}
		call := r.call
		call.Attempt, call.MayBeDone = 1, true
		again, errAgain := r.next.Do(ctx, call)
		t.arrive(r, again, errAgain)
	}
}

// unknown reports whether the write may have been executed all the same.
func unknown(a upstream.Answer, err error) bool {
	if err != nil {
		return !errors.Is(err, upstream.ErrNotSent)
	}
	return a.Status == http.StatusInternalServerError
}

// divides reports whether the refusal may be the fault of one of the records. A
// batch that is refused so was not executed, as Airtable's are atomic.
func divides(c upstream.Call, a upstream.Answer) bool {
	if a.Status < 400 || a.Status >= 500 || a.Status == http.StatusUnauthorized || a.Status == http.StatusTooManyRequests {
		return false
	}
	if c.Op != upstream.CreateRecords {
		return true
	}
	e := v0.ReadError(a)
	switch e.Type { // no record is named in a create: it is the table that is not there
	case models.ErrModelNotFound.Type, models.ErrNoRoute.Type, "TABLE_NOT_FOUND":
		return false
	}
	return true
}

// names finds what a refusal's message may name: record ids, and what stands in
// quotes or after "field".
var names = regexp.MustCompile(`rec[A-Za-z0-9]{3,}|"([^"]+)"|for field (.+)$`)

// split makes two parts of the riders: those that the refusal seems not to be about
// first, the others behind; or halves, if it does not say.
func split(riders []*rider, a upstream.Answer) [2][]*rider {
	var innocent, suspect []*rider
	said := names.FindAllStringSubmatch(v0.ReadError(a).Message, -1)
	for _, r := range riders {
		if mentions(r, said) {
			suspect = append(suspect, r)
		} else {
			innocent = append(innocent, r)
		}
	}
	if len(innocent) == 0 || len(suspect) == 0 {
		half := len(riders) / 2
		return [2][]*rider{riders[:half], riders[half:]}
	}
	return [2][]*rider{innocent, suspect}
}

func mentions(r *rider, said [][]string) bool {
	for _, match := range said {
		for _, name := range match {
			if name == "" {
				continue
			}
			for _, it := range r.write.Items {
				if it.ID == name || bytes.Contains(it.Fields, []byte(`"`+name+`"`)) {
					return true
				}
			}
		}
	}
	return false
}

// copied is an answer that several callers may have.
func copied(a upstream.Answer) upstream.Answer {
	a.Header, a.Body = a.Header.Clone(), bytes.Clone(a.Body)
	return a
}
