package budget

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"time"

	"go.uber.org/zap"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
	"github.com/pyairtable/pyairtable/pkg/logging"
)

// Header is what a client says its call's priority with.
const Header = "X-PyAirtable-Priority"

// Priority is how urgent a call is.
type Priority string

// The priorities. A call that names none, or another, is interactive.
const (
	Interactive Priority = "interactive" // somebody waits
	Automation  Priority = "automation"
	Bulk        Priority = "bulk" // imports, exports, walks
)

// shares are the parts of a base's rate that the priorities get when all wait.
var shares = map[Priority]float64{Interactive: 100, Automation: 10, Bulk: 1}

// PriorityOf is the priority that the call asks for.
func PriorityOf(c upstream.Call) Priority {
	p := Priority(c.Header.Get(Header))
	if _, known := shares[p]; !known {
		return Interactive
	}
	return p
}

// Of puts the budget in front of up, which is reached at origin with the token. Its
// answers of 429 are the budget's own, with a Retry-After, or say that the month's
// quota is spent. An error of a call that never left wraps upstream.ErrNotSent.
func (b *Budget) Of(up upstream.Upstream, origin, token string) Queue {
	sum := sha256.Sum256([]byte(token)) // no token is ever a key
	return Queue{up, b, origin, hex.EncodeToString(sum[:12])}
}

// Queue lets the calls of one token go.
type Queue struct {
	up            upstream.Upstream
	b             *Budget
	origin, token string
}

// Do makes the call when it is its turn: at once in a turn that ctx carries.
func (q Queue) Do(ctx context.Context, c upstream.Call) (upstream.Answer, error) {
	w := q.b.wish(ctx, c)
	for {
		g, err := q.reserved(ctx, c), error(nil)
		if g == nil {
			g, err = q.b.acquire(ctx, q.key(c), w)
		}
		if full, ok := isTooLong(err); ok {
			q.b.turned.WithLabelValues(string(w.priority)).Inc()
			return refuse(full), nil
		}
		if err != nil {
			return upstream.Answer{}, fmt.Errorf("%w: wait for the budget: %w", upstream.ErrNotSent, err)
		}
		answer, outcome, err := q.send(ctx, c, g)
		if outcome != refused {
			return answer, err
		}
		q.b.refusal.Inc()
		logging.From(ctx).Warn("airtable refused in spite of the budget", zap.String("base", c.Base))
		w.front = true
		c.Attempt++
	}
}

// send makes the call and says what became of it.
func (q Queue) send(ctx context.Context, c upstream.Call, g *grant) (answer upstream.Answer, outcome string, err error) {
	outcome = lost // also if Do panics
	defer func() { g.finish(outcome) }()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { g.sent() },
	})
	answer, err = q.up.Do(ctx, c)
	outcome = outcomeOf(answer, err)
	return answer, outcome, err
}

// wish is what the call asks of the budget.
func (b *Budget) wish(ctx context.Context, c upstream.Call) wish {
	p := PriorityOf(c)
	weight := 1.0
	if own, ok := b.opts.Weights[c.Caller.Tenant]; ok {
		weight = own
	}
	until := time.Now().Add(b.opts.Wait)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(until) {
		until = deadline
	}
	return wish{priority: p, flow: string(p) + ":" + c.Caller.Tenant.String(), weight: weight * shares[p], until: until}
}

// key is the queue of the call. The calls of a token that are for no base share one,
// at a base's rate: they are few, and Airtable does not say what they may cost.
func (q Queue) key(c upstream.Call) laneKey {
	base := c.Base
	if base == "" {
		base = "account:" + q.token
	}
	return laneKey{q.origin, base, q.token}
}

func outcomeOf(a upstream.Answer, err error) string {
	switch {
	case isNotSent(err):
		return unsent
	case err != nil:
		return lost
	case a.Status == http.StatusTooManyRequests && !v0.QuotaSpent(a):
		return refused
	}
	return answered
}

// refuse is the answer to a call that would wait too long.
func refuse(e tooLong) upstream.Answer {
	a := v0.Refuse(models.ErrRateLimited)
	a.Header.Set("Retry-After", e.retryAfter())
	return a
}

func isNotSent(err error) bool { return errors.Is(err, upstream.ErrNotSent) }
