package events

import (
	"fmt"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/pyairtable/pyairtable/pkg/redistest"
)

func TestCut_NeverPassesWhatAGroupHasNotFinished(t *testing.T) {
	t.Parallel()
	rdb := redistest.New(t)
	ctx := t.Context()
	p := &pass{Relay: NewRelay(nil, rdb, RelayOptions{MaxLen: 5})}
	now := time.UnixMilli(2_000_000_000_000)
	at := func(age time.Duration) uint64 { return uint64(now.Add(-age).UnixMilli()) }
	const key = "stream"
	cut := func(what string, want uint64) {
		t.Helper()
		got, err := p.cut(ctx, key, now)
		if err != nil {
			t.Fatal(err)
		}
		if got.ms != want {
			t.Errorf("%s: cut at age %v, want %v", what, now.Sub(time.UnixMilli(int64(got.ms))), now.Sub(time.UnixMilli(int64(want))))
		}
	}
	add := func(age time.Duration) string {
		t.Helper()
		msg, err := rdb.XAdd(ctx, &goredis.XAddArgs{Stream: key, ID: fmt.Sprintf("%d-1", at(age)), Values: []any{"e", "x"}}).Result()
		if err != nil {
			t.Fatal(err)
		}
		return msg
	}
	for _, age := range []time.Duration{100 * time.Hour, 90 * time.Hour, 80 * time.Hour, 3 * time.Hour} {
		add(age)
	}
	cut("nobody reads: the retention rules", at(defaultRetention))

	if err := rdb.XGroupCreate(ctx, key, "slow", "0").Err(); err != nil {
		t.Fatal(err)
	}
	cut("a group has read nothing: only a week is too long", at(unreadRetention))

	read := func(n int64) []goredis.XMessage {
		t.Helper()
		res, err := rdb.XReadGroup(ctx, &goredis.XReadGroupArgs{Group: "slow", Consumer: "c", Streams: []string{key, ">"}, Count: n, Block: -1}).Result()
		if err != nil {
			t.Fatal(err)
		}
		return res[0].Messages
	}
	msgs := read(3)
	if err := rdb.XAck(ctx, key, "slow", msgs[0].ID, msgs[2].ID).Err(); err != nil {
		t.Fatal(err)
	}
	cut("the second of three is not acknowledged", at(90*time.Hour))
	if err := rdb.XAck(ctx, key, "slow", msgs[1].ID).Err(); err != nil {
		t.Fatal(err)
	}
	cut("all that was read is acknowledged", at(80*time.Hour))

	add(2 * time.Hour)
	add(time.Hour)
	msgs = read(10)
	for _, m := range msgs {
		if err := rdb.XAck(ctx, key, "slow", m.ID).Err(); err != nil {
			t.Fatal(err)
		}
	}
	cut("a long stream goes up to what all have finished", at(time.Hour))
	add(time.Second)
	for _, m := range read(10) {
		if err := rdb.XAck(ctx, key, "slow", m.ID).Err(); err != nil {
			t.Fatal(err)
		}
	}
	cut("but not its last minute", at(time.Minute))
}

func TestExponential_DoublesAndStaysWithinTheClaim(t *testing.T) {
	t.Parallel()
	for try := 1; try < maxTries; try++ {
		base := time.Second << (try - 1)
		for range 100 {
			if d := exponential(try); d < base*3/4 || d > base*5/4 {
				t.Fatalf("try %d: %v, want %v give or take a quarter", try, d, base)
			}
		}
	}
}
