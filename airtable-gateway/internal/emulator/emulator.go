// Package emulator is Airtable without Airtable: a base store served under /v0 with
// Airtable's limits, and with its faults when they are asked for. Programs that use
// Airtable are tested against it, this service's own pipeline first.
package emulator

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/files"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// FilesPrefix begins the paths of attachments, which need no token and count for
// nothing, as those at Airtable do.
const FilesPrefix = "/_emulator/files"

// StatsPath answers GET with Stats, without a token and without counting.
const StatsPath = "/_emulator/stats"

const (
	mostURL  = 16_000 // characters of path and query that Airtable takes
	mostBody = 8 << 20
)

// owner holds all that an emulator stores; it has one tenant. He is its first user.
var owner = upstream.Caller{Tenant: mustID[id.Tenant]("018f0000-0000-7000-8000-000000000001"), User: mustID[id.User]("018f0000-0000-7000-8000-000000000002")}

func mustID[T any](s string) id.ID[T] {
	v, err := id.Parse[T](s)
	if err != nil {
		panic(err)
	}
	return v
}

// Options are what an emulator is made of.
type Options struct {
	Store  upstream.Upstream
	Tokens []Token // none: every token that begins with pat
	// Files are the attachments of the store; nil: it has none.
	Files *files.Keeper
	// Collaborators are whom the tokens belong to, as the seed planted them.
	Collaborators []Collaborator
	Limits        Limits
	Faults        Faults
	// PlainRateLimit answers 429 in the shape of the documentation rather than in
	// the one that the live service sends.
	PlainRateLimit bool
	Now            func() time.Time // the clock of the limits
}

// Emulator is an http.Handler, safe for concurrent use.
type Emulator struct {
	opts   Options
	tokens tokens
	gate   *gate
	calls  atomic.Uint64 // that the limits let through

	mu    sync.Mutex
	stats Stats
}

// Stats are what happened since the start.
type Stats struct {
	Requests     int            `json:"requests"`
	RateLimited  int            `json:"rate_limited"`
	LockOuts     int            `json:"lock_outs"`
	OverQuota    int            `json:"over_quota"`
	BadGateways  int            `json:"bad_gateways"`
	Unavailable  int            `json:"unavailable"`
	BrokenWrites int            `json:"broken_writes"`
	Busiest      map[string]int `json:"busiest_second" doc:"by base"`
}

// New returns the emulator of the store's bases.
func New(o Options) *Emulator {
	return &Emulator{opts: o, tokens: newTokens(o.Tokens), gate: newGate(o.Limits)}
}

// Stats returns the figures so far.
func (e *Emulator) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.stats
	out.Busiest, out.LockOuts = e.gate.busiest()
	return out
}

func (e *Emulator) count(of func(*Stats) *int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	*of(&e.stats)++
}

// ServeHTTP answers as Airtable would, or closes the connection without an answer
// if that is the request's fate.
func (e *Emulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	switch {
	case r.URL.Path == StatsPath:
		write(w, v0.OK(e.Stats()))
	case strings.HasPrefix(r.URL.Path, FilesPrefix+"/") && e.opts.Files != nil:
		e.opts.Files.ServeHTTP(w, r, strings.TrimPrefix(r.URL.EscapedPath(), FilesPrefix))
	case r.Method == http.MethodOptions:
		w.Header().Set("Access-Control-Allow-Methods", "DELETE,GET,OPTIONS,PATCH,POST,PUT")
		w.Header().Set("Access-Control-Allow-Headers", "authorization,content-length,content-type,user-agent,x-airtable-application-id,x-airtable-user-agent,x-api-version,x-requested-with")
		w.WriteHeader(http.StatusNoContent)
	default:
		e.count(func(s *Stats) *int { return &s.Requests })
		write(w, e.answer(r))
	}
}

// answer makes the checks in Airtable's order: route, token, limits, permission,
// and then the call itself.
func (e *Emulator) answer(r *http.Request) upstream.Answer {
	call, ok := v0.Parse(r.Method, r.URL.EscapedPath())
	if !ok {
		return v0.Refuse(models.ErrNoRoute)
	}
	token, refusal := e.tokens.find(r.Header.Get("Authorization"))
	if refusal != nil {
		return v0.Refuse(refusal)
	}
	if len(r.RequestURI) > mostURL {
		return v0.Refuse(v0.ErrTooLarge)
	}
	metered := call.Op != upstream.Whoami && call.Op != upstream.ListBases && call.Op != upstream.BaseSchema
	switch e.gate.admit(e.opts.Now(), call.Base, token.Token, metered) {
	case limited:
		e.count(func(s *Stats) *int { return &s.RateLimited })
		return v0.Refuse(e.rateLimited())
	case spent:
		e.count(func(s *Stats) *int { return &s.OverQuota })
		return v0.Refuse(v0.ErrQuotaSpent)
	}
	if refusal := token.refuses(call); refusal != nil {
		return v0.Refuse(refusal)
	}
	return e.execute(r, call, token)
}

func (e *Emulator) rateLimited() *models.Error {
	if !e.opts.PlainRateLimit {
		return models.ErrRateLimited
	}
	plain := *models.ErrRateLimited
	plain.Shape = models.Object
	return &plain
}

// execute lets the call meet its fate.
func (e *Emulator) execute(r *http.Request, call upstream.Call, token Token) upstream.Answer {
	body, err := io.ReadAll(io.LimitReader(r.Body, mostBody+1))
	if err != nil {
		return v0.Refuse(models.ErrUnparsableBody)
	}
	if len(body) > mostBody {
		return v0.Refuse(v0.ErrTooLarge)
	}
	fate := e.opts.Faults.fate(e.calls.Add(1))
	if pause(r.Context(), fate.wait) != nil {
		panic(http.ErrAbortHandler) // the client is gone
	}
	switch {
	case fate.badGateway:
		e.count(func(s *Stats) *int { return &s.BadGateways })
		return upstream.Answer{Status: http.StatusBadGateway, Header: http.Header{"Content-Type": {"text/html"}},
			Body: []byte("<html><head><title>502 Bad Gateway</title></head></html>")}
	case fate.unavailable:
		e.count(func(s *Stats) *int { return &s.Unavailable })
		return v0.Refuse(models.ErrRetriable)
	}
	_, caller := e.owns(token)
	call.Caller, call.RawQuery, call.Header, call.Body = caller, r.URL.RawQuery, r.Header, body
	call.Scopes = token.Scopes
	answer, err := e.store(r, call, token)
	if err != nil {
		return v0.Refuse(models.ErrServer)
	}
	if fate.broken && !v0.Reads(call) && answer.Status == http.StatusOK {
		e.count(func(s *Stats) *int { return &s.BrokenWrites })
		panic(http.ErrAbortHandler) // net/http closes the connection without an answer
	}
	return answer
}

func (e *Emulator) store(r *http.Request, call upstream.Call, token Token) (upstream.Answer, error) {
	if call.Op == upstream.Whoami {
		person, _ := e.owns(token)
		if !token.opens(v0.ScopeEmail) {
			person.Email = ""
		}
		return v0.Whoami(models.Person{ID: person.ID, Email: person.Email}), nil
	}
	answer, err := e.opts.Store.Do(r.Context(), call)
	if call.Op != upstream.ListBases || err != nil || answer.Status != http.StatusOK {
		return answer, err
	}
	return token.visible(answer)
}

// visible leaves out of a list of bases those that the token does not see.
func (t Token) visible(all upstream.Answer) (upstream.Answer, error) {
	var page struct {
		Bases []struct {
			ID              string `json:"id"`
			Name            string `json:"name"`
			PermissionLevel string `json:"permissionLevel"`
		} `json:"bases"`
		Offset string `json:"offset,omitempty"`
	}
	if err := json.Unmarshal(all.Body, &page); err != nil {
		return all, errors.Join(errors.New("read the store's list of bases"), err)
	}
	seen := page.Bases[:0]
	for _, b := range page.Bases {
		if t.sees(b.ID) {
			seen = append(seen, b)
		}
	}
	page.Bases = seen
	return v0.OK(page), nil
}

func write(w http.ResponseWriter, a upstream.Answer) {
	for name, values := range a.Header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // a client that went away has no use for the error
}
