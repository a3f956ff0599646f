package auth

import (
	"hash/maphash"
	"sync"
	"time"
)

// Size of the cache of verified tokens. A full shard forgets a part of itself;
// which part does not matter, since every entry can be had again.
const (
	shards   = 64
	perShard = 512
)

// cache remembers verified tokens. It keeps and compares the whole token, since
// a collision of a short hash would make one user another.
type cache struct {
	seed  maphash.Seed
	shard [shards]shard
}

type shard struct {
	mu      sync.RWMutex
	gen     uint64 // of the keys that the entries were verified with
	entries map[string]Principal
}

func newCache() *cache {
	c := &cache{seed: maphash.MakeSeed()}
	for i := range c.shard {
		c.shard[i].entries = map[string]Principal{}
	}
	return c
}

func (c *cache) of(token string) *shard { return &c.shard[maphash.String(c.seed, token)%shards] }

func (c *cache) get(token string, gen uint64) (Principal, bool) {
	s := c.of(token)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.gen != gen {
		return Principal{}, false
	}
	p, ok := s.entries[token]
	return p, ok
}

func (c *cache) put(token string, p Principal, gen uint64) {
	s := c.of(token)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gen != gen {
		clear(s.entries)
		s.gen = gen
	}
	if len(s.entries) >= perShard {
		s.makeRoom()
	}
	s.entries[token] = p
}

// makeRoom drops what has expired, and if that is not enough, a quarter of the
// rest in the map's random order.
func (s *shard) makeRoom() {
	now := time.Now()
	for t, p := range s.entries {
		if now.After(p.ExpiresAt) {
			delete(s.entries, t)
		}
	}
	drop := len(s.entries) - perShard*3/4
	for t := range s.entries {
		if drop <= 0 {
			return
		}
		delete(s.entries, t)
		drop--
	}
}
