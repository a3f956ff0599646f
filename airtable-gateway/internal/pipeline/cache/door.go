package cache

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/budget"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pipeline/ledger"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/v0"
)

// Header says what the cache did: HIT, MISS (Airtable was asked), STALE (older than the
// connection's freshness) or BYPASS (nothing of this kind is kept, or not now).
const Header = "X-Cache"

const (
	hit    = "HIT"
	miss   = "MISS"
	stale  = "STALE"
	bypass = "BYPASS"
)

const (
	mostWhile   = time.Minute      // given while it is renewed
	ifError     = time.Hour        // given when Airtable fails
	patience    = 2 * time.Second  // for an answer when there is an old one
	signedFresh = 15 * time.Minute // with links that expire after two hours
	signedKept  = 30 * time.Minute

	// A list that is longer passes through.
	mostPages = 1_000
	mostBytes = 32 << 20
	// mostAgain is how many pages are read again to find a place in a list.
	mostAgain = 100
)

func lower(s string) string { return strings.ToLower(s) }

// scopeOf is whose answers these are: the tenant's, as the connection's token sees it,
// treated as the connection says.
func scopeOf(c models.Connection) (scope [32]byte) {
	h := sha256.New()
	for _, part := range [][]byte{
		[]byte(c.Tenant.String()), []byte(c.ID.String()), []byte(c.APIURL), c.Token,
		strconv.AppendBool(nil, c.Settings.StableAttachments),
	} {
		h.Write([]byte(strconv.Itoa(len(part)) + ":"))
		h.Write(part)
	}
	h.Sum(scope[:0])
	return scope
}

// door is the cache as one connection sees it.
type door struct {
	*Cache
	up    upstream.Upstream
	conn  models.Connection
	scope [32]byte
}

// wish is what a read asks for.
type wish struct {
	place
	key    key
	list   key    // of a list, whatever the size of its pages
	size   int    // of a page; 0: it is no list
	offset string // as the caller sent it
	step   step   // where offset leads to
	ours   bool   // whether it is the gateway's
	again  bool   // the list is read again to find a place in it
	keep   bool   // what comes may be kept
}

// wishOf reads a call; ok is false if it is not of a kind that is kept, or such that
// Airtable will refuse it.
func (d door) wishOf(c upstream.Call) (w wish, ok bool) {
	w.place = place{site{d.conn.APIURL, c.Base}, whole}
	var text []byte
	var err error
	switch c.Op {
	case upstream.ListRecords:
		var p models.ListParams
		var body []byte
		if c.Method != http.MethodGet {
			body = c.Body
			if body == nil {
				body = []byte{}
			}
		}
		text, p, err = models.CanonicalList(c.RawQuery, body)
		w.part, w.size, w.offset = tablePart(c.Table), p.PageSize, p.Offset
	case upstream.GetRecord:
		text, err = models.CanonicalRecord(c.RawQuery)
		w.part = tablePart(c.Table)
	case upstream.BaseSchema, upstream.ListViews, upstream.FetchView:
		text, err = models.CanonicalSchema(c.RawQuery)
		w.part = schemaPart
	case upstream.ListBases:
		if c.RawQuery != "" { // a page that Airtable keeps the place of
			return w, false
		}
	default:
		return w, false
	}
	if err != nil {
		return w, false
	}
	w.key = d.keyOf(c, text)
	if w.size > 0 {
		w.list = w.key
		w.key = step{}.key(w.list, w.size)
	}
	if w.offset != "" {
		w.step, w.ours = readStep(w.offset, w.list)
	}
	return w, true
}

// keyOf is the digest of whose answer it is and to what. Each part says where it ends.
func (d door) keyOf(c upstream.Call, text []byte) key {
	b := make([]byte, 0, 256)
	b = append(b, d.scope[:]...)
	for _, part := range []string{string(c.Op), c.Base, c.Table, c.Record, c.View, string(text)} {
		b = strconv.AppendInt(b, int64(len(part)), 10)
		b = append(b, ':')
		b = append(b, part...)
	}
	return sha256.Sum256(b)
}

// Do answers reads from what is kept, and sees to it that writes make stale what they
// change.
func (d door) Do(ctx context.Context, c upstream.Call) (upstream.Answer, error) {
	if !v0.Reads(c) {
		return d.write(ctx, c)
	}
	asks := controlOf(c.Header)
	w, ok := d.wishOf(c)
	w.keep = d.conn.Settings.Freshness > 0 && !asks.noStore
	switch {
	case !ok, !w.keep && !w.ours, w.offset != "" && !w.ours:
		if asks.onlyIfCached {
			return notCached(), nil
		}
		return d.pass(ctx, c)
	case !w.keep:
		asks.noCache = true
	}
	got, state, err := d.obtain(ctx, c, w, asks)
	if err != nil {
		return upstream.Answer{}, err
	}
	return d.reply(c, got, state), nil
}

// pass asks Airtable, for nobody else.
func (d door) pass(ctx context.Context, c upstream.Call) (upstream.Answer, error) {
	answer, err := d.up.Do(ctx, c)
	if err != nil {
		return answer, err
	}
	d.results[bypass].Inc()
	return with(answer, bypass), nil
}

func with(a upstream.Answer, state string) upstream.Answer {
	a.Header = maps.Clone(a.Header)
	if a.Header == nil {
		a.Header = http.Header{}
	}
	a.Header.Set(Header, state)
	return a
}

// Anew is the header of a call that wants to know how things are now.
func Anew() http.Header { return http.Header{"Cache-Control": {"no-cache"}} }

// notCached is the answer to a request that wants nothing but what is kept.
func notCached() upstream.Answer {
	return with(v0.Refuse(&models.Error{Status: http.StatusGatewayTimeout, Type: "NOT_CACHED",
		Message: "The answer is not cached, and the request wants no other (Cache-Control: only-if-cached)."}), miss)
}

// fresh is how long the entry is fresh; kept, how long it is kept.
func (d door) fresh(e *entry) time.Duration {
	if e.signed {
		return min(d.conn.Settings.Freshness, signedFresh)
	}
	return d.conn.Settings.Freshness
}

func (d door) kept(e *entry) time.Duration {
	if e.signed {
		return signedKept
	}
	return d.conn.Settings.Freshness + ifError
}

// while is for how long an entry that is fresh for so long is given while it is renewed.
func while(fresh time.Duration) time.Duration { return fresh + min(fresh, mostWhile) }

// obtain finds what is asked for; state says where. Without an entry, the answer is
// not to be kept.
func (d door) obtain(ctx context.Context, c upstream.Call, w wish, asks control) (found, string, error) {
	m, err := d.marks.of(ctx, w.place)
	if err != nil {
		return found{}, "", err
	}
	k := w.key
	if w.ours {
		k = w.step.key(w.list, w.size)
	}
	var old *entry
	if !asks.noCache {
		old = d.lookUp(ctx, w.site, k, m, asks)
	}
	if old != nil {
		age, fresh := old.age(d.opts.Now()), d.fresh(old)
		switch {
		case asks.fits(age, fresh):
			return found{entry: old}, d.stateOf(age, fresh), nil
		case asks.maxStale >= 0 && !asks.bounds() && age <= min(fresh+asks.maxStale, d.kept(old)):
			return found{entry: old}, stale, nil
		case asks.maxStale < 0 && !asks.bounds() && age <= while(fresh):
			if !w.ours { // the pages of a walk are of one age
				d.refresh(ctx, c, w, m)
			}
			return found{entry: old}, stale, nil
		case asks.bounds() || age > d.kept(old):
			old = nil
		}
	}
	if asks.onlyIfCached {
		return found{answer: notCached()}, miss, nil
	}
	if asks.noCache {
		got := d.ask(ctx, c, w, m)
		return got, miss, got.err
	}
	return d.wait(ctx, c, w, question{k, m, asks.bounds()}, old)
}

// stateOf tells a fresh answer from one that a request was content with.
func (d door) stateOf(age, fresh time.Duration) string {
	if age > fresh {
		return stale
	}
	return hit
}

// lookUp returns the entry if nothing was written since: the front's if it is as fresh
// as is wanted, else the younger one of the front's and of Redis's.
func (d door) lookUp(ctx context.Context, at site, k key, m mark, asks control) *entry {
	now := d.opts.Now()
	e, ok := d.store.front.GetIfPresent(k)
	if ok && !e.stands(m, now) {
		e = nil
	}
	if m.alone || e != nil && asks.fits(e.age(now), d.fresh(e)) {
		return e
	}
	other := d.store.load(ctx, at, k)
	if other == nil || !other.stands(m, now) || e != nil && !other.born.After(e.born) {
		return e
	}
	d.store.front.Set(k, other)
	return other
}

// wait asks Airtable, together with all that ask the same. For the old entry, if there
// is one, it does not wait long.
func (d door) wait(ctx context.Context, c upstream.Call, w wish, q question, old *entry) (found, string, error) {
	var enough <-chan time.Time
	if old != nil {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		enough = timer.C
	}
	for {
		fl, first := d.flights.join(ctx, q, func(ctx context.Context) found { return d.fetch(ctx, c, w, q, true) })
		select {
		case <-fl.done:
		case <-enough:
			return found{entry: old}, stale, nil // the flight goes on for those who come
		case <-ctx.Done():
			d.flights.leave(q, fl)
			return found{}, "", ctx.Err()
		}
		got := fl.found
		switch {
		case errors.Is(got.err, errBusy): // it was a refresh, which waits for nobody
			continue
		case got.failed() && old != nil:
			return found{entry: old}, stale, nil
		case got.err != nil:
			return found{}, "", got.err
		case !first && got.lone:
			got = d.ask(ctx, c, w, q.mark)
			return got, miss, got.err
		case got.entry != nil && (!first || !got.asked):
			return got, hit, nil
		}
		return got, miss, nil
	}
}

// fetch asks for the entry, or takes what another replica that asks for it comes back
// with. Unless it is to wait for that, it comes back empty.
func (d door) fetch(ctx context.Context, c upstream.Call, w wish, q question, wait bool) found {
	began := d.opts.Now().Truncate(time.Millisecond)
	for !q.mark.alone {
		release, ok := d.store.lease(ctx, w.site, q.key, q.mark)
		if !ok && !wait {
			return found{err: errBusy}
		}
		if e := d.store.load(ctx, w.site, q.key); e != nil && e.stands(q.mark, d.opts.Now()) && d.answers(e, q, began) {
			if ok {
				release()
			}
			d.store.front.Set(q.key, e)
			return found{entry: e}
		}
		if ok {
			defer release()
			break
		}
		if err := rest(ctx, leasePoll); err != nil {
			return found{err: err}
		}
		// What the other replica comes back with may have a later mark than this.
		m, err := d.marks.of(ctx, w.place)
		if err != nil {
			return found{err: err}
		}
		q.mark = m
	}
	return d.ask(ctx, c, w, q.mark)
}

// answers reports whether the entry, which another replica brought, is what a flight
// that began then was to bring.
func (d door) answers(e *entry, q question, began time.Time) bool {
	if q.strict {
		return !e.born.Before(began)
	}
	return e.age(d.opts.Now()) <= d.fresh(e)
}

var errBusy = errors.New("another replica asks")

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

// refresh renews the entry in the background, if nobody does.
func (d door) refresh(ctx context.Context, c upstream.Call, w wish, m mark) {
	q := question{key: w.key, mark: m}
	if d.flights.flying(q) {
		return
	}
	select {
	case d.spare <- struct{}{}:
	default:
		return
	}
	c.Refresh = true
	c.Header = maps.Clone(c.Header)
	if c.Header == nil {
		c.Header = http.Header{}
	}
	c.Header.Set(budget.Header, string(budget.Automation))
	_, first := d.flights.join(ctx, q, func(ctx context.Context) found {
		defer func() { <-d.spare }()
		return d.fetch(ctx, c, w, q, false)
	})
	if !first {
		<-d.spare // somebody was faster, and waits for himself
	}
}

// ask asks Airtable for the entry as of the mark, and keeps what comes.
func (d door) ask(ctx context.Context, c upstream.Call, w wish, m mark) found {
	if w.ours {
		return d.goOn(ctx, c, w, m)
	}
	asked := d.opts.Now()
	answer, err := d.up.Do(ctx, at(c, ""))
	if err != nil || answer.Status != http.StatusOK {
		return found{answer: answer, err: err, asked: true}
	}
	e := newEntry(answer, m, asked)
	if w.size > 0 {
		if kept := d.begin(ctx, w, e, m); !kept {
			return found{entry: e, asked: true, lone: true}
		}
	}
	if c.Op == upstream.ListBases && hasOffset(e.body) {
		return found{entry: e, asked: true, lone: true}
	}
	d.save(ctx, w, w.key, e)
	if c.Op == upstream.BaseSchema {
		d.learn(ctx, w, e, m)
	}
	return found{entry: e, asked: true}
}

func (d door) save(ctx context.Context, w wish, k key, e *entry) {
	if w.keep {
		d.store.save(ctx, w.site, k, e, d.kept(e), d.opts.Now())
	}
}

func hasOffset(body []byte) bool {
	p, ok := readPage(body)
	return !ok || p.offset != ""
}

// begin makes a list's answer the first page of a walk, if there are more. It is false
// if the list is not to be kept.
func (d door) begin(ctx context.Context, w wish, e *entry, m mark) bool {
	p, ok := readPage(e.body)
	if !ok {
		return false
	}
	e.offset, e.last = p.offset, printOf(p.last)
	switch {
	case p.offset == "":
		return true
	case m.alone || d.store.huge(ctx, w.site, w.key):
		return false
	}
	next := step{walk: newWalk(), page: 1, last: e.last}
	if d.store.beginWalk(ctx, w.site, next.walkKey(w.list), m.stamps, w.size, len(e.body), p.offset) != nil {
		return false
	}
	e.turn(p, next.offset(w.list))
	return true
}

// turn gives the entry, which nobody else has yet, another offset.
func (e *entry) turn(p listed, offset string) {
	e.body, e.offset = p.with(offset), offset
	e.seal()
}

// goOn asks for a later page of a walk.
func (d door) goOn(ctx context.Context, c upstream.Call, w wish, m mark) found {
	if m.alone {
		return d.again(ctx, c, w)
	}
	wk := w.step.walkKey(w.list)
	known, ok := d.store.walk(ctx, w.site, wk, w.step.page)
	if !ok {
		return d.again(ctx, c, w)
	}
	asked := d.opts.Now()
	answer, err := d.up.Do(ctx, at(c, known.offset))
	switch {
	case err == nil && walkEnded(answer):
		return d.again(ctx, c, w)
	case err != nil || answer.Status != http.StatusOK:
		return found{answer: answer, err: err, asked: true}
	}
	e := newEntry(answer, m, asked)
	got := found{entry: e, asked: true}
	p, ok := readPage(e.body)
	if !ok {
		return got
	}
	e.offset, e.last = p.offset, w.step.last
	if p.last != "" {
		e.last = printOf(p.last)
	}
	if known.size != w.size {
		d.branch(ctx, w, &got, p)
		return got
	}
	if p.offset != "" {
		if known.bytes+int64(len(e.body)) > mostBytes || w.step.page+1 >= mostPages {
			d.store.noteHuge(ctx, w.site, w.key)
			d.store.forget(ctx, w.site, w.key)
			got.lone = true
			return got
		}
		next := step{walk: w.step.walk, page: w.step.page + 1, last: e.last}
		if d.store.stepWalk(ctx, w.site, wk, next.page, len(e.body), p.offset) != nil {
			got.lone = true
			return got
		}
		e.turn(p, next.offset(w.list))
	}
	if known.stamps == m.stamps {
		d.save(ctx, w, w.step.key(w.list, w.size), e)
	}
	return got
}

// branch has a walk go on with pages of another size than it began with. Such pages are
// not kept: the walk's are numbered by its own size.
func (d door) branch(ctx context.Context, w wish, got *found, p listed) {
	if p.offset == "" {
		return
	}
	next := step{walk: newWalk(), page: 1, last: got.entry.last}
	if d.store.beginWalk(ctx, w.site, next.walkKey(w.list), stamps{}, w.size, 0, p.offset) != nil {
		got.lone = true
		return
	}
	got.entry.turn(p, next.offset(w.list))
}

// walkEnded reports whether Airtable has forgotten its own offset.
func walkEnded(a upstream.Answer) bool {
	e := v0.ReadError(a)
	return e != nil && (e.Type == models.ErrIteratorGone.Type || e.Type == models.InvalidOffset("").Type)
}

// again reads the list from its beginning up to the place of the walk, from what is kept
// where it can. The place is found if the record that ended the page before it still
// ends the page of that number.
func (d door) again(ctx context.Context, c upstream.Call, w wish) found {
	gone := found{answer: v0.Refuse(models.ErrIteratorGone), asked: true}
	if w.step.page > mostAgain || w.again {
		return gone
	}
	here := w
	here.offset, here.step, here.ours, here.again = "", step{}, false, true
	for page := 0; ; page++ {
		got, err := d.follow(ctx, c, here, false)
		if err == nil && got.entry != nil && page == 0 {
			// The first page may still be kept, of the very walk that came to an end.
			if next, ours := readStep(got.entry.offset, w.list); ours && next.walk == w.step.walk {
				got, err = d.follow(ctx, c, here, true)
			}
		}
		if err != nil || got.entry == nil || page == w.step.page {
			got.err = err
			return got
		}
		e := got.entry
		if page == w.step.page-1 && e.last != w.step.last || e.offset == "" && page < w.step.page-1 {
			return gone
		}
		if e.offset == "" { // nothing is left behind the place
			return found{entry: newEntry(v0.OK(map[string]any{"records": []any{}}), mark{alone: true}, d.opts.Now()), asked: true}
		}
		here.offset = e.offset
		here.step, here.ours = readStep(e.offset, w.list)
	}
}

// follow gets one page of a list, whoever's offset leads to it.
func (d door) follow(ctx context.Context, c upstream.Call, w wish, anew bool) (found, error) {
	if w.offset == "" || w.ours {
		got, _, err := d.obtain(ctx, c, w, control{noCache: anew, maxAge: -1, maxStale: -1})
		return got, err
	}
	asked := d.opts.Now()
	answer, err := d.up.Do(ctx, at(c, w.offset))
	if err != nil || answer.Status != http.StatusOK {
		return found{answer: answer, asked: true}, err
	}
	e := newEntry(answer, mark{alone: true}, asked)
	if p, ok := readPage(e.body); ok {
		e.offset, e.last = p.offset, printOf(p.last)
	}
	return found{entry: e, asked: true, lone: true}, nil
}

// reply is the answer to the caller.
func (d door) reply(c upstream.Call, got found, state string) upstream.Answer {
	d.results[state].Inc()
	if got.entry == nil {
		return with(got.answer, state)
	}
	if state != miss {
		d.opts.Ledger.Saved(d.conn.ID, c, ledger.Cache, 1)
	}
	e := got.entry
	a := upstream.Answer{Status: http.StatusOK, Body: e.body, Kept: state != miss, Header: http.Header{
		"Etag": e.etag, Header: states[state], "Cache-Control": private, "Vary": vary,
		"Age": {strconv.Itoa(int(e.age(d.opts.Now()) / time.Second))},
	}}
	if c.Method == http.MethodGet && matches(c.Header, e.etag[0]) {
		a.Status, a.Body = http.StatusNotModified, nil
		return a
	}
	a.Header["Content-Type"] = e.contentType
	return a
}

// Values of headers, shared by all answers.
var (
	// A cache behind the gateway would not hear of writes, so it has to ask; the ETag
	// makes that cheap.
	private = []string{"private, no-cache"}
	vary    = []string{"Authorization"}
	states  = map[string][]string{hit: {hit}, miss: {miss}, stale: {stale}}
)
