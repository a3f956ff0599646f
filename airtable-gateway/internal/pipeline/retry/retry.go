// Package retry repeats calls that failed, where repeating cannot do a thing twice.
//
//	what came back            repeated
//	nothing was sent          whatever the call is
//	502, 503                  whatever the call is: Airtable documents both as not executed
//	500, no answer            reads; PATCH and PUT by record id; DELETE of one record; keyed upserts
//	anything else             never
//
// A create whose request may have left is never repeated: Airtable has no key to tell
// the second from the first. Nor is an upsert, unless it is keyed (package marker makes
// such ones of creates), nor a DELETE of several records, where the answer to the second
// try would hide what became of the first.
package retry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
)

const (
	mostTries  = 4
	firstPause = 200 * time.Millisecond
	mostPause  = 10 * time.Second
)

// Retrier repeats calls. It is safe for concurrent use.
type Retrier struct {
	jitter func() float64 // in [0, 1)
	tries  *prometheus.CounterVec
}

// New registers its metrics with reg.
func New(reg prometheus.Registerer) *Retrier {
	r := &Retrier{jitter: rand.Float64, tries: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "airtable_retries_total", Help: "Calls to Airtable that were repeated, by the reason.",
	}, []string{"reason"})}
	reg.MustRegister(r.tries)
	return r
}

// Of puts retries in front of up. A call that is repeated carries its number in
// Attempt.
func (r *Retrier) Of(up upstream.Upstream) upstream.Upstream { return patient{up, r} }

type patient struct {
	upstream.Upstream
	r *Retrier
}

func (p patient) Do(ctx context.Context, c upstream.Call) (upstream.Answer, error) {
	mayBeDone := c.MayBeDone // an earlier try may have been executed
	for ; ; c.Attempt++ {
		answer, err := p.Upstream.Do(ctx, c)
		if mayBeDone && err == nil && gone(c, answer) {
			return deleted(c), nil
		}
		reason := reasonOf(answer, err)
		if reason == "" || !repeatable(c, reason) || c.Attempt+1 >= mostTries || ctx.Err() != nil {
			return last(c, answer, err, mayBeDone)
		}
		mayBeDone = mayBeDone || reason == broken || reason == serverError
		if !p.r.pause(ctx, c.Attempt, answer) {
			return last(c, answer, err, mayBeDone)
		}
		p.r.tries.WithLabelValues(reason).Inc()
	}
}

var errMayBeDone = errors.New("an earlier try may have been executed")

// last is what the caller hears in the end. That the last try of a keyed call was not
// executed is no news if an earlier one may have been: the caller must not take it for
// leave to come again, as he would come with another key.
func last(c upstream.Call, a upstream.Answer, err error, mayBeDone bool) (upstream.Answer, error) {
	switch {
	case !c.Keyed || !mayBeDone || err == nil && a.Status == http.StatusOK:
		return a, err
	case err != nil:
		return upstream.Answer{}, fmt.Errorf("%w; the last one: %v", errMayBeDone, err) //nolint:errorlint // what it wraps is about the last try alone
	}
	return upstream.Answer{}, fmt.Errorf("%w; the last one: status %d", errMayBeDone, a.Status)
}

// The reasons to repeat a call.
const (
	notSent     = "not_sent"
	broken      = "broken"
	serverError = "500"
	unavailable = "502_503"
)

// reasonOf is "" for an answer that stands.
func reasonOf(a upstream.Answer, err error) string {
	switch {
	case errors.Is(err, upstream.ErrNotSent):
		return notSent
	case err != nil:
		return broken
	case a.Status == http.StatusBadGateway || a.Status == http.StatusServiceUnavailable:
		return unavailable
	case a.Status == http.StatusInternalServerError:
		return serverError
	}
	return ""
}

func repeatable(c upstream.Call, reason string) bool {
	return reason == notSent || reason == unavailable || Idempotent(c)
}

// Idempotent reports whether executing the call twice leaves what once leaves.
func Idempotent(c upstream.Call) bool {
	switch {
	case v0.Reads(c):
		return true
	case c.Op == upstream.DeleteRecords:
		return c.Record != ""
	case c.Op == upstream.UpdateRecords && c.Record == "":
		return c.Keyed || !upserts(c.Body)
	case c.Op == upstream.UpdateRecords, c.Op == upstream.UpdateTable, c.Op == upstream.UpdateField, c.Op == upstream.UpdateComment:
		return true
	}
	return false
}

// upserts reports whether the body asks for an upsert; one that cannot be read may.
func upserts(body []byte) bool {
	var in struct {
		Upsert json.RawMessage `json:"performUpsert"`
	}
	return json.Unmarshal(body, &in) != nil || in.Upsert != nil
}

// gone reports whether the record is not there that a lost try of the call was to
// delete.
func gone(c upstream.Call, a upstream.Answer) bool {
	if c.Op != upstream.DeleteRecords || a.Status != http.StatusNotFound {
		return false
	}
	e := v0.ReadError(a)
	return e != nil && (e.Type == models.ErrRecordNotFound.Type || e.Type == models.ErrNoRoute.Type)
}

// deleted is the answer that the lost try would have given.
func deleted(c upstream.Call) upstream.Answer {
	return v0.OK(struct {
		ID      string `json:"id"`
		Deleted bool   `json:"deleted"`
	}{c.Record, true})
}

// pause waits before the next try, as long as the answer says or longer each time.
// It is false when the caller's time would not suffice.
func (r *Retrier) pause(ctx context.Context, attempt int, a upstream.Answer) bool {
	d := firstPause << attempt
	d = d/2 + time.Duration(r.jitter()*float64(d))
	if seconds, err := strconv.Atoi(a.Header.Get("Retry-After")); err == nil {
		d = max(d, time.Duration(seconds)*time.Second)
	}
	if deadline, ok := ctx.Deadline(); d > mostPause || ok && time.Until(deadline) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
