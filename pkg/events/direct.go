package events

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// directMost bounds a topic of Send: no relay trims it, and nobody may be reading.
const directMost = 100_000

// Send puts events on their streams at once, without an outbox: for what is told best
// effort, since no change is behind it. An error leaves open which of them arrived. The
// stream must be used by Send alone; it keeps the last hundred thousand events of a shard.
func Send(ctx context.Context, rdb redis.UniversalClient, evs ...Event) error {
	pipe := rdb.Pipeline()
	for _, e := range evs {
		if err := e.check(); err != nil {
			return fmt.Errorf("send %s: %w", e.Type, err)
		}
		body, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("send %s: %w", e.Type, err)
		}
		pipe.XAdd(ctx, &redis.XAddArgs{
			Stream: streamKey(topic(e.Stream, e.TenantID)), MaxLen: directMost, Approx: true, Values: []any{field, string(body)},
		})
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("send events: %w", err)
	}
	return nil
}
