package cache

import (
	"context"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/maypok86/otter/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/seal"
)

// key names an entry: a digest of whose it is and of what it answers.
type key [32]byte

func (k key) String() string { return hex.EncodeToString(k[:]) }

var (
	//go:embed store.lua
	storeText string
	// storeScript keeps an entry, and so many bytes of a site at the most.
	storeScript = goredis.NewScript(storeText)
	// releaseScript ends a lease that is still one's own.
	releaseScript = goredis.NewScript(`if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`)
	// renewScript makes it longer.
	renewScript = goredis.NewScript(`if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0`)
)

// store keeps entries: in this process those that are asked for most, in Redis, sealed,
// all for a time. Its methods do without Redis when that is away.
type store struct {
	front *otter.Cache[key, *entry]
	rdb   goredis.UniversalClient
	box   *seal.Box
	marks *marks
	most  int64 // bytes of a site in Redis
}

// mostEntry bounds what Redis keeps of one entry.
const mostEntry = 4 << 20

// redisContext bounds what Redis may take, whoever waits.
func redisContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), answerLimit)
}

func sealContext(name string) []byte { return []byte("airtable-gateway/cache/" + name) }

// load returns the entry that Redis has, nil if none that can be read.
func (s *store) load(ctx context.Context, at site, k key) *entry {
	ctx, cancel := redisContext(ctx)
	defer cancel()
	name := at.key("entry", k.String())
	sealed, err := s.rdb.Get(ctx, name).Bytes()
	if err != nil {
		if !errors.Is(err, goredis.Nil) {
			s.marks.heard(fmt.Errorf("load entry: %w", err))
		}
		return nil
	}
	plain, err := s.box.Open(sealed, sealContext(name))
	if err != nil {
		return nil // of another key: it is asked for again
	}
	e, err := decode(plain)
	if err != nil {
		return nil
	}
	return e
}

// save keeps the entry for so long in Redis, unless it was asked for without.
func (s *store) save(ctx context.Context, at site, k key, e *entry, keep time.Duration, now time.Time) {
	s.front.Set(k, e)
	if e.alone {
		return
	}
	name := at.key("entry", k.String())
	plain, err := e.encode()
	if err != nil || len(plain) > mostEntry {
		return
	}
	sealed, err := s.box.Seal(plain, sealContext(name))
	if err != nil {
		return
	}
	ctx, cancel := redisContext(ctx)
	defer cancel()
	err = storeScript.Run(ctx, s.rdb, []string{name, at.key("index"), at.key("sizes")},
		sealed, keep.Milliseconds(), now.UnixMilli(), s.most).Err()
	var said goredis.Error
	if err != nil && !errors.As(err, &said) { // if its memory is full, this one is not kept
		s.marks.heard(fmt.Errorf("store entry: %w", err))
	}
}

// forget drops an entry of this process and of Redis.
func (s *store) forget(ctx context.Context, at site, k key) {
	s.front.Invalidate(k)
	ctx, cancel := redisContext(ctx)
	defer cancel()
	if err := s.rdb.Del(ctx, at.key("entry", k.String())).Err(); err != nil {
		s.marks.heard(fmt.Errorf("drop entry: %w", err))
	}
}

const (
	leaseTime  = 3 * time.Second
	leaseRenew = time.Second
	// leasePoll is how often those who wait for another replica's answer look for it.
	leasePoll = 25 * time.Millisecond
)

// lease reports whether this replica is the one to ask for the entry as of the mark. It
// is for as long as it lives and has not called release. Without Redis every replica is.
func (s *store) lease(ctx context.Context, at site, k key, m mark) (release func(), ok bool) {
	name, mine := at.key("lease", k.String(), strconv.FormatInt(m.base, 36), strconv.FormatInt(m.part, 36)), id.New[struct{}]().String()
	asked, cancel := redisContext(ctx)
	defer cancel()
	err := s.rdb.SetArgs(asked, name, mine, goredis.SetArgs{Mode: "NX", TTL: leaseTime}).Err()
	switch {
	case errors.Is(err, goredis.Nil):
		return nil, false
	case err != nil:
		s.marks.heard(fmt.Errorf("lease: %w", err))
		return func() {}, true
	}
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		s.prolong(ctx, name, mine, over)
	}()
	return func() {
		close(over)
		<-ended
		last, cancel := redisContext(ctx)
		defer cancel()
		_ = releaseScript.Run(last, s.rdb, []string{name}, mine).Err() // else it runs out
	}, true
}

func (s *store) prolong(ctx context.Context, name, mine string, over <-chan struct{}) {
	tick := time.NewTicker(leaseRenew)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return
		case <-tick.C:
			asked, cancel := redisContext(ctx)
			_ = renewScript.Run(asked, s.rdb, []string{name}, mine, leaseTime.Milliseconds()).Err() // at the worst two replicas ask
			cancel()
		}
	}
}

// walkLife is how long the pages of a walk can be asked for one after another: the time
// for which Airtable keeps its own place in the list, which is unconfirmed.
const walkLife = 10 * time.Minute

// walk is what is known of a walk: its mark when it began, the size of its pages, and
// where Airtable's begin.
type walk struct {
	stamps stamps
	size   int
	bytes  int64
	offset string // Airtable's, of the page that was asked for
}

// beginWalk keeps Airtable's offset of the second page.
func (s *store) beginWalk(ctx context.Context, at site, k key, m stamps, size, bytes int, offset string) error {
	ctx, cancel := redisContext(ctx)
	defer cancel()
	name := at.key("walk", k.String())
	pipe := s.rdb.TxPipeline()
	pipe.HSet(ctx, name, "base", m.base, "part", m.part, "size", size, "bytes", bytes, "1", offset)
	pipe.PExpire(ctx, name, walkLife)
	_, err := pipe.Exec(ctx)
	if err != nil {
		s.marks.heard(fmt.Errorf("begin walk: %w", err))
	}
	return err
}

// stepWalk keeps Airtable's offset of the page.
func (s *store) stepWalk(ctx context.Context, at site, k key, page, size int, offset string) error {
	ctx, cancel := redisContext(ctx)
	defer cancel()
	name := at.key("walk", k.String())
	pipe := s.rdb.TxPipeline()
	pipe.HSet(ctx, name, strconv.Itoa(page), offset)
	pipe.HIncrBy(ctx, name, "bytes", int64(size))
	pipe.PExpire(ctx, name, walkLife)
	_, err := pipe.Exec(ctx)
	if err != nil {
		s.marks.heard(fmt.Errorf("step walk: %w", err))
	}
	return err
}

// walk returns what is known of the page of a walk; ok is false if nothing is.
func (s *store) walk(ctx context.Context, at site, k key, page int) (w walk, ok bool) {
	ctx, cancel := redisContext(ctx)
	defer cancel()
	out, err := s.rdb.HMGet(ctx, at.key("walk", k.String()), "base", "part", "bytes", "size", strconv.Itoa(page)).Result()
	if err != nil {
		s.marks.heard(fmt.Errorf("read walk: %w", err))
		return w, false
	}
	var size int64
	for i, into := range []*int64{&w.stamps.base, &w.stamps.part, &w.bytes, &size} {
		text, _ := out[i].(string)
		*into, _ = strconv.ParseInt(text, 10, 64)
	}
	w.size = int(size)
	w.offset, ok = out[4].(string)
	return w, ok
}

// noteHuge has lists that are too long to be kept pass for a while; huge asks for it.
func (s *store) noteHuge(ctx context.Context, at site, k key) {
	ctx, cancel := redisContext(ctx)
	defer cancel()
	if err := s.rdb.Set(ctx, at.key("huge", k.String()), 1, walkLife).Err(); err != nil {
		s.marks.heard(fmt.Errorf("note huge list: %w", err))
	}
}

func (s *store) huge(ctx context.Context, at site, k key) bool {
	ctx, cancel := redisContext(ctx)
	defer cancel()
	n, err := s.rdb.Exists(ctx, at.key("huge", k.String())).Result()
	if err != nil {
		s.marks.heard(fmt.Errorf("look for huge list: %w", err))
	}
	return n > 0
}
