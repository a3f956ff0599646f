package events

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	tailBatch      = 500
	tailPauseFirst = 50 * time.Millisecond
	tailPauseMost  = time.Second
)

// Tail gives every event that is put on the stream from now on to heard, until ctx ends:
// not as a group's member but as one who listens, so that every replica hears all of it.
// Nothing is remembered: what was said while Redis was away, or this process, is missed.
// began is called whenever listening begins, for the first time or again: what the caller
// has kept from before may lack something. Both are called by one goroutine at a time.
func Tail(ctx context.Context, rdb redis.UniversalClient, stream string, began func(), heard func(Event)) {
	pauseFor := tailPauseFirst
	for ctx.Err() == nil {
		started := time.Now()
		_ = tail(ctx, rdb, stream, began, heard) // whatever it was: try again
		if time.Since(started) > tailPauseMost {
			pauseFor = tailPauseFirst
		}
		pause(ctx, pauseFor)
		pauseFor = min(2*pauseFor, tailPauseMost)
	}
}

// tail listens to all shards until reading fails.
func tail(ctx context.Context, rdb redis.UniversalClient, stream string, began func(), heard func(Event)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	names := topics(stream)
	groups := [][]string{names}
	if _, cluster := rdb.(*redis.ClusterClient); cluster { // one read waits on one node
		groups = nil
		for _, n := range names {
			groups = append(groups, []string{n})
		}
	}
	from := map[string]string{}
	for _, n := range names {
		last, err := lastEntry(ctx, rdb, n)
		if err != nil {
			return err
		}
		from[n] = last
	}
	began()
	type batch struct {
		stream []redis.XStream
		err    error
	}
	read := make(chan batch)
	for _, g := range groups {
		at := map[string]string{}
		for _, n := range g {
			at[n] = from[n]
		}
		go func() {
			for ctx.Err() == nil {
				got, err := readOn(ctx, rdb, g, at)
				select {
				case read <- batch{got, err}:
				case <-ctx.Done():
				}
				if err != nil {
					return
				}
			}
		}()
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b := <-read:
			if b.err != nil {
				return b.err
			}
			for _, s := range b.stream {
				for _, m := range s.Messages {
					if e, _, err := parse(stream+":", m); err == nil {
						heard(e)
					}
				}
			}
		}
	}
}

// lastEntry is where listening begins: after what is there now.
func lastEntry(ctx context.Context, rdb redis.UniversalClient, name string) (string, error) {
	last, err := rdb.XRevRangeN(ctx, streamKey(name), "+", "-", 1).Result()
	if err != nil {
		return "", err
	}
	if len(last) == 0 {
		return "0-0", nil
	}
	return last[0].ID, nil
}

// readOn waits a moment for what comes after at, and moves at on.
func readOn(ctx context.Context, rdb redis.UniversalClient, names []string, at map[string]string) ([]redis.XStream, error) {
	args := make([]string, 0, 2*len(names))
	for _, n := range names {
		args = append(args, streamKey(n))
	}
	for _, n := range names {
		args = append(args, at[n])
	}
	got, err := rdb.XRead(ctx, &redis.XReadArgs{Streams: args, Count: tailBatch, Block: blockFor}).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, s := range got {
		for _, n := range names {
			if streamKey(n) == s.Stream && len(s.Messages) > 0 {
				at[n] = s.Messages[len(s.Messages)-1].ID
			}
		}
	}
	return got, nil
}
