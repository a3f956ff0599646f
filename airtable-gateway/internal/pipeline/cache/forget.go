package cache

import (
	"context"
	"fmt"

	goredis "github.com/redis/go-redis/v9"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
)

// forgetScript removes up to 500 of a site's entries, as store.lua counts them.
var forgetScript = goredis.NewScript(`
local names = redis.call('ZRANGE', KEYS[1], 0, 499)
for _, name in ipairs(names) do
  redis.call('UNLINK', name)
  local size = redis.call('HGET', KEYS[2], name)
  redis.call('ZREM', KEYS[1], name)
  redis.call('HDEL', KEYS[2], name)
  redis.call('HINCRBY', KEYS[2], '', size and '-' .. size or '0')
end
return #names`)

// Forget removes all answers from Redis that are kept of the base, or with "" of what
// there is at all, at the connection's address: whose they are cannot be told, so other
// tenants' ones of the same base have to be asked for again. What processes have in memory
// is stale from then on, and goes with age.
func (c *Cache) Forget(ctx context.Context, conn models.Connection, base string) error {
	at := site{conn.APIURL, base}
	c.drop(ctx, at, whole)
	for {
		n, err := forgetScript.Run(ctx, c.store.rdb, []string{at.key("index"), at.key("sizes")}).Int()
		if err != nil {
			return fmt.Errorf("forget answers: %w", err)
		}
		if n == 0 {
			return nil
		}
	}
}
